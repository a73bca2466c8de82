-- Points as the devices sent them. Windows count a batch that was sent again once; here it is there
-- again, and v_points shows it once. Codecs were measured on the simulated fleet (DECISIONS.md).

CREATE TABLE IF NOT EXISTS telemetry_points
(
    tenant_id LowCardinality(String) COMMENT 'Owner of the device',
    metric LowCardinality(String) COMMENT 'Name of the metric, unit last',
    device_id String COMMENT 'The device' CODEC(ZSTD(1)),
    timestamp DateTime64(3, 'UTC') COMMENT 'Time of measurement by the device, UTC; the append time where is_skewed' CODEC(Delta, ZSTD(1)),
    value Float64 COMMENT 'Finite, magnitude at most 1e12, unit of the metric' CODEC(ZSTD(1)),
    tags Map(LowCardinality(String), String) COMMENT 'As sent' CODEC(ZSTD(1)),
    is_skewed Bool COMMENT 'Whether the device time was before 2015 or over 120 s ahead of the append time' CODEC(ZSTD(1)),
    load_batch UInt64 COMMENT 'Number of the load batch; the ledger knows its offsets' CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toMonday(timestamp)
ORDER BY (tenant_id, metric, device_id, timestamp)
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1
COMMENT 'Points as sent, copies too; read through v_points';

CREATE OR REPLACE VIEW v_points AS
SELECT tenant_id, metric, device_id, timestamp, value, tags, is_skewed
FROM telemetry_points
LIMIT 1 BY tenant_id, metric, device_id, timestamp, tags;
