-- The roster as each version of the settings states it; the highest version is the current one.
CREATE TABLE IF NOT EXISTS kpi_roster (
    version UInt64,
    tenant LowCardinality(String),
    agent_id String,
    name String,
    team LowCardinality(String),
    tier LowCardinality(String),
    zone LowCardinality(String),
    active_from DateTime64(3, 'UTC'),
    active_to Nullable(DateTime64(3, 'UTC')),
    aliases Map(String, String),
    inserted_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(inserted_at)
ORDER BY (version, tenant, agent_id, active_from)
SETTINGS non_replicated_deduplication_window = 0;
