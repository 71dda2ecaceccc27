-- Versions of the settings. Those of the log stand above those of a directory; of each the highest version is in force.
-- roster_version, targets_version: under which version kpi_roster and kpi_targets have what holds, so that an absence
-- does not write everybody again.
CREATE TABLE IF NOT EXISTS kpi_settings (
    kept_in LowCardinality(String),
    version UInt64,
    sha256 String,
    applied_at DateTime64(3, 'UTC'),
    applied_by String,
    message String,
    files Map(String, String) CODEC(ZSTD(3)),
    roster_version UInt64,
    targets_version UInt64,
    inserted_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(inserted_at)
ORDER BY (kept_in, version)
SETTINGS non_replicated_deduplication_window = 0;
