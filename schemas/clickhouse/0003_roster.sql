-- The roster as each version of the settings states it; the highest version is the current one.
CREATE TABLE IF NOT EXISTS kpi_roster (
    version UInt64,
    tenant LowCardinality(String),
    agent_id String,
    attribute LowCardinality(String),
    source LowCardinality(String),
    value String,
    valid_from Nullable(DateTime64(3, 'UTC')),
    valid_to Nullable(DateTime64(3, 'UTC')),
    inserted_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(inserted_at)
ORDER BY (version, tenant, agent_id, attribute, source, value, ifNull(valid_from, toDateTime64(0, 3, 'UTC')))
SETTINGS non_replicated_deduplication_window = 0;
