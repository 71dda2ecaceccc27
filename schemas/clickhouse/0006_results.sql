-- How targets closed at the end of their periods, by the plain number. The result that was computed last stands.
CREATE TABLE IF NOT EXISTS kpi_results (
    result_id String,
    target LowCardinality(String),
    tenant LowCardinality(String),
    scope String,
    window LowCardinality(String),
    window_from DateTime64(3, 'UTC'),
    window_to DateTime64(3, 'UTC'),
    as_of DateTime64(3, 'UTC'),
    outcome LowCardinality(String),
    severity LowCardinality(String),
    reason LowCardinality(String),
    kpi LowCardinality(String),
    direction LowCardinality(String),
    low Nullable(Float64),
    high Nullable(Float64),
    value Nullable(Float64),
    numerator Nullable(Int64),
    denominator Nullable(Int64),
    basis LowCardinality(Nullable(String)),
    bound_from Nullable(String),
    team LowCardinality(Nullable(String)),
    display_name Nullable(String),
    owner LowCardinality(Nullable(String)),
    topic LowCardinality(String),
    `partition` UInt32,
    `offset` UInt64,
    inserted_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(as_of)
PARTITION BY toYYYYMM(window_from)
ORDER BY (tenant, target, scope, window, window_from)
SETTINGS non_replicated_deduplication_window = 0;
