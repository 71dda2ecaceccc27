-- Begin of the last window in which an alert's target was told to be reached: it is told once.
ALTER TABLE kpi_alerts
    ADD COLUMN IF NOT EXISTS reached_from Nullable(DateTime64(3, 'UTC')) AFTER told_denominator;
