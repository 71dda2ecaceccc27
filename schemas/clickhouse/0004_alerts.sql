-- Transitions of alerts. The first record of a sequence in the log is the state: precedence falls with the offset.
CREATE TABLE IF NOT EXISTS kpi_alerts (
    target LowCardinality(String),
    tenant LowCardinality(String),
    scope String,
    sequence UInt64,
    alert_id String,
    from_state LowCardinality(String),
    to_state LowCardinality(String),
    at DateTime64(3, 'UTC'),
    reason LowCardinality(String),
    kpi LowCardinality(String),
    window LowCardinality(String),
    window_from DateTime64(3, 'UTC'),
    window_to DateTime64(3, 'UTC'),
    direction LowCardinality(String),
    low Nullable(Float64),
    high Nullable(Float64),
    value Nullable(Float64),
    numerator Nullable(Int64),
    denominator Nullable(Int64),
    before LowCardinality(String),
    team LowCardinality(Nullable(String)),
    display_name Nullable(String),
    owner LowCardinality(Nullable(String)),
    topic LowCardinality(String),
    `partition` UInt32,
    `offset` UInt64,
    precedence UInt64,
    inserted_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(precedence)
ORDER BY (tenant, target, scope, sequence)
SETTINGS non_replicated_deduplication_window = 0;
