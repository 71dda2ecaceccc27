-- Of an alert that was not true: which one it corrects, and what was told then.
ALTER TABLE kpi_alerts
    ADD COLUMN IF NOT EXISTS corrects Nullable(UInt64) AFTER sources,
    ADD COLUMN IF NOT EXISTS told_at Nullable(DateTime64(3, 'UTC')) AFTER corrects,
    ADD COLUMN IF NOT EXISTS told_value Nullable(Float64) AFTER told_at,
    ADD COLUMN IF NOT EXISTS told_numerator Nullable(Int64) AFTER told_value,
    ADD COLUMN IF NOT EXISTS told_denominator Nullable(Int64) AFTER told_numerator;
