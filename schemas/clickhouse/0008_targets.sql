-- The targets as a version of the settings states them; kpi_settings.targets_version says which version holds.
-- low and high are in the unit of the KPI; `definition` is the whole target as JSON, bounds exact.
CREATE TABLE IF NOT EXISTS kpi_targets (
    version UInt64,
    target LowCardinality(String),
    kpi LowCardinality(String),
    window LowCardinality(String),
    direction LowCardinality(String),
    low Nullable(Float64),
    high Nullable(Float64),
    scope LowCardinality(String),
    tenant LowCardinality(Nullable(String)),
    team LowCardinality(Nullable(String)),
    owner Nullable(String),
    alpha Nullable(Float64),
    definition String,
    inserted_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(inserted_at)
ORDER BY (version, target)
SETTINGS non_replicated_deduplication_window = 0;
