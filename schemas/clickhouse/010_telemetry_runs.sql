-- Points as runs: what a message has of one metric is one row with arrays, a fifth of the rows of the
-- simulated fleet. The engine sorts, writes and merges them for a quarter of the CPU time a point
-- (DECISIONS.md).

-- One statement makes the table and fills it from the points that exist, so it can be repeated.
CREATE OR REPLACE TABLE telemetry_runs
(
    tenant_id LowCardinality(String) COMMENT 'Owner of the device',
    metric LowCardinality(String) COMMENT 'Name of the metric, unit last',
    device_id String COMMENT 'The device' CODEC(ZSTD(1)),
    first_at DateTime64(3, 'UTC') COMMENT 'Time of the earliest point of the run, UTC; device time, or the append time where is_skewed' CODEC(Delta, ZSTD(1)),
    offset_ms Array(UInt32) COMMENT 'Time of each point after first_at, ms; all are of one hour, UTC' CODEC(ZSTD(1)),
    value Array(Float64) COMMENT 'Of each point: finite, magnitude at most 1e12, unit of the metric' CODEC(ZSTD(1)),
    tags Map(LowCardinality(String), String) COMMENT 'Of all points, as sent' CODEC(ZSTD(1)),
    is_skewed Bool COMMENT 'Whether the device time was before 2015 or over 120 s ahead of the append time' CODEC(ZSTD(1)),
    load_batch UInt64 COMMENT 'Low 32 bits: number of the load batch, whose offsets the ledger knows; above: a mark of its topic' CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toMonday(first_at)
ORDER BY (tenant_id, metric, device_id, first_at)
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1
COMMENT 'Points as sent, copies too, in runs; read through telemetry_points or v_points'
AS SELECT tenant_id, metric, device_id, timestamp AS first_at, [toUInt32(0)] AS offset_ms, [value] AS value, tags, is_skewed, load_batch
FROM telemetry_points
SETTINGS max_partitions_per_insert_block = 0;

DROP TABLE IF EXISTS telemetry_points;

CREATE OR REPLACE VIEW telemetry_points AS
SELECT tenant_id, metric, device_id, first_at + toIntervalMillisecond(after_ms) AS timestamp, point AS value, tags, is_skewed, load_batch
FROM telemetry_runs
ARRAY JOIN offset_ms AS after_ms, value AS point;

CREATE OR REPLACE VIEW v_points AS
SELECT tenant_id, metric, device_id, timestamp, value, tags, is_skewed
FROM telemetry_points
LIMIT 1 BY tenant_id, metric, device_id, timestamp, tags;
