-- Of a silent source: how many people at work nothing is known of. Of an agent: the sources they were heard through.
ALTER TABLE kpi_alerts
    ADD COLUMN IF NOT EXISTS hidden Nullable(UInt32) AFTER bound_from,
    ADD COLUMN IF NOT EXISTS sources Array(LowCardinality(String)) AFTER hidden;
