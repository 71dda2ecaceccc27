-- What an alert rests on: evidence, pace, severity, where the bound comes from, and how long the state before had stood.
ALTER TABLE kpi_alerts
    ADD COLUMN IF NOT EXISTS against Nullable(Float64) AFTER owner,
    ADD COLUMN IF NOT EXISTS alpha Nullable(Float64) AFTER against,
    ADD COLUMN IF NOT EXISTS expected Nullable(Float64) AFTER alpha,
    ADD COLUMN IF NOT EXISTS basis LowCardinality(Nullable(String)) AFTER expected,
    ADD COLUMN IF NOT EXISTS severity LowCardinality(String) DEFAULT 'warning' AFTER basis,
    ADD COLUMN IF NOT EXISTS since Nullable(DateTime64(3, 'UTC')) AFTER severity,
    ADD COLUMN IF NOT EXISTS slip_from Nullable(DateTime64(3, 'UTC')) AFTER since,
    ADD COLUMN IF NOT EXISTS bound_from Nullable(String) AFTER slip_from;
