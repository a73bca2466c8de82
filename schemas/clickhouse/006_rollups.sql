-- Windows by the hour and by the day: deltas add up there just as they do in `windows`.
--
--                            +-- load_windows ----> windows
--   loader --> windows_landing -- load_windows_1h -> windows_1h
--                            +-- load_windows_1d -> windows_1d
--
-- The loader inserts into a table that keeps nothing, and each table behind it is one view's target.
-- So each of them can be repaired alone after a crash, without the others counting twice. Months of
-- all three are partitions of the same name, which is the unit that lands as a whole.

-- One statement makes a table and fills it from the windows that exist: repeated, it starts anew, so
-- they count once wherever the migration is cut. No token is compared while it runs.
CREATE OR REPLACE TABLE windows_1h
(
    tenant_id LowCardinality(String) COMMENT 'Owner of the devices',
    scope LowCardinality(String) COMMENT 'device, group (tenant x deployment_group x model_version) or tenant',
    device_id String COMMENT 'The device for scope device, else empty' CODEC(ZSTD(1)),
    metric LowCardinality(String) COMMENT 'Name of the metric, unit last',
    deployment_group LowCardinality(String) COMMENT 'As the device claimed; empty when none or for scope tenant',
    model_version LowCardinality(String) COMMENT 'As the device claimed; empty when none or for scope tenant',
    window_ms UInt32 COMMENT 'Always 3600000, ms' CODEC(ZSTD(1)),
    window_start DateTime64(3, 'UTC') COMMENT 'First instant of the hour, event time, UTC' CODEC(Delta, ZSTD(1)),
    count SimpleAggregateFunction(sum, UInt64) COMMENT 'Accepted finite points' CODEC(T64, ZSTD(1)),
    sum_fixed SimpleAggregateFunction(sum, Int128) COMMENT 'Sum of the values times 2^50; room for 1.5e11 points of 1e12' CODEC(ZSTD(1)),
    sum_sq_fixed SimpleAggregateFunction(sum, Int256) COMMENT 'Sum of the squared values times 2^80' CODEC(ZSTD(1)),
    min SimpleAggregateFunction(min, Float64) COMMENT 'Smallest value, unit of the metric; +inf when count is 0' CODEC(ZSTD(1)),
    max SimpleAggregateFunction(max, Float64) COMMENT 'Largest value, unit of the metric; -inf when count is 0' CODEC(ZSTD(1)),
    histogram SimpleAggregateFunction(sumMap, Tuple(Array(Int32), Array(UInt64))) COMMENT 'Bin index and points of each bin that is not empty, histogram layout 1' CODEC(ZSTD(1)),
    missing_count SimpleAggregateFunction(sum, UInt64) COMMENT 'Points announced but absent; 0 as long as no device announces them' CODEC(T64, ZSTD(1)),
    nan_count SimpleAggregateFunction(sum, UInt64) COMMENT 'Points refused because NaN or infinite' CODEC(T64, ZSTD(1)),
    out_of_range_count SimpleAggregateFunction(sum, UInt64) COMMENT 'Points refused because the magnitude is over 1e12' CODEC(T64, ZSTD(1)),
    skewed_count SimpleAggregateFunction(sum, UInt64) COMMENT 'Points whose device timestamp was clamped to the append time' CODEC(T64, ZSTD(1)),
    duplicate_count SimpleAggregateFunction(sum, UInt64) COMMENT 'Points of batches that had been counted before' CODEC(T64, ZSTD(1)),
    load_batch SimpleAggregateFunction(max, UInt64) COMMENT 'Number of the last load batch that added to the row' CODEC(ZSTD(1)),
    source_window_ms SimpleAggregateFunction(max, UInt32) COMMENT 'Length of the windows that were added up, ms' CODEC(ZSTD(1)),
    covered_slots SimpleAggregateFunction(groupBitOr, UInt64) COMMENT 'Bit n is set when a window that starts in minute n of the hour has a point' CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(window_start)
ORDER BY (tenant_id, scope, device_id, metric, deployment_group, model_version, window_ms, window_start)
SETTINGS ttl_only_drop_parts = 1
COMMENT 'Windows added up by the hour in which they start; read through the views'
AS SELECT
    * REPLACE (
        toUInt32(3600000) AS window_ms,
        fromUnixTimestamp64Milli(intDiv(toUnixTimestamp64Milli(window_start), 3600000) * 3600000, 'UTC') AS window_start),
    windows.window_ms AS source_window_ms,
    if(windows.count = 0, toUInt64(0), bitShiftLeft(toUInt64(1), toUInt8(intDiv(toUnixTimestamp64Milli(windows.window_start) % 3600000, 60000)))) AS covered_slots
FROM windows
SETTINGS max_partitions_per_insert_block = 0;

CREATE OR REPLACE TABLE windows_1d
(
    tenant_id LowCardinality(String) COMMENT 'Owner of the devices',
    scope LowCardinality(String) COMMENT 'device, group (tenant x deployment_group x model_version) or tenant',
    device_id String COMMENT 'The device for scope device, else empty' CODEC(ZSTD(1)),
    metric LowCardinality(String) COMMENT 'Name of the metric, unit last',
    deployment_group LowCardinality(String) COMMENT 'As the device claimed; empty when none or for scope tenant',
    model_version LowCardinality(String) COMMENT 'As the device claimed; empty when none or for scope tenant',
    window_ms UInt32 COMMENT 'Always 86400000, ms' CODEC(ZSTD(1)),
    window_start DateTime64(3, 'UTC') COMMENT 'First instant of the day, event time, UTC' CODEC(Delta, ZSTD(1)),
    count SimpleAggregateFunction(sum, UInt64) COMMENT 'Accepted finite points' CODEC(T64, ZSTD(1)),
    sum_fixed SimpleAggregateFunction(sum, Int128) COMMENT 'Sum of the values times 2^50; room for 1.5e11 points of 1e12' CODEC(ZSTD(1)),
    sum_sq_fixed SimpleAggregateFunction(sum, Int256) COMMENT 'Sum of the squared values times 2^80' CODEC(ZSTD(1)),
    min SimpleAggregateFunction(min, Float64) COMMENT 'Smallest value, unit of the metric; +inf when count is 0' CODEC(ZSTD(1)),
    max SimpleAggregateFunction(max, Float64) COMMENT 'Largest value, unit of the metric; -inf when count is 0' CODEC(ZSTD(1)),
    histogram SimpleAggregateFunction(sumMap, Tuple(Array(Int32), Array(UInt64))) COMMENT 'Bin index and points of each bin that is not empty, histogram layout 1' CODEC(ZSTD(1)),
    missing_count SimpleAggregateFunction(sum, UInt64) COMMENT 'Points announced but absent; 0 as long as no device announces them' CODEC(T64, ZSTD(1)),
    nan_count SimpleAggregateFunction(sum, UInt64) COMMENT 'Points refused because NaN or infinite' CODEC(T64, ZSTD(1)),
    out_of_range_count SimpleAggregateFunction(sum, UInt64) COMMENT 'Points refused because the magnitude is over 1e12' CODEC(T64, ZSTD(1)),
    skewed_count SimpleAggregateFunction(sum, UInt64) COMMENT 'Points whose device timestamp was clamped to the append time' CODEC(T64, ZSTD(1)),
    duplicate_count SimpleAggregateFunction(sum, UInt64) COMMENT 'Points of batches that had been counted before' CODEC(T64, ZSTD(1)),
    load_batch SimpleAggregateFunction(max, UInt64) COMMENT 'Number of the last load batch that added to the row' CODEC(ZSTD(1)),
    source_window_ms SimpleAggregateFunction(max, UInt32) COMMENT 'Length of the windows that were added up, ms' CODEC(ZSTD(1)),
    covered_slots SimpleAggregateFunction(groupBitOr, UInt64) COMMENT 'Bit n is set when a window that starts in hour n of the day, UTC, has a point' CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(window_start)
ORDER BY (tenant_id, scope, device_id, metric, deployment_group, model_version, window_ms, window_start)
SETTINGS ttl_only_drop_parts = 1
COMMENT 'Windows added up by the day in which they start; read through the views'
AS SELECT
    * REPLACE (
        toUInt32(86400000) AS window_ms,
        fromUnixTimestamp64Milli(intDiv(toUnixTimestamp64Milli(window_start), 86400000) * 86400000, 'UTC') AS window_start),
    windows.window_ms AS source_window_ms,
    if(windows.count = 0, toUInt64(0), bitShiftLeft(toUInt64(1), toUInt8(intDiv(toUnixTimestamp64Milli(windows.window_start) % 86400000, 3600000)))) AS covered_slots
FROM windows
SETTINGS max_partitions_per_insert_block = 0;

ALTER TABLE windows_1h MODIFY SETTING non_replicated_deduplication_window = 1000;
ALTER TABLE windows_1d MODIFY SETTING non_replicated_deduplication_window = 1000;
ALTER TABLE windows MODIFY SETTING ttl_only_drop_parts = 1;

-- Plain columns: each row is here for a moment only.
CREATE OR REPLACE TABLE windows_landing
(
    tenant_id String COMMENT 'As in windows',
    scope String COMMENT 'As in windows',
    device_id String COMMENT 'As in windows',
    metric String COMMENT 'As in windows',
    deployment_group String COMMENT 'As in windows',
    model_version String COMMENT 'As in windows',
    window_ms UInt32 COMMENT 'As in windows',
    window_start DateTime64(3, 'UTC') COMMENT 'As in windows',
    count UInt64 COMMENT 'As in windows',
    sum_fixed Int128 COMMENT 'As in windows',
    sum_sq_fixed Int256 COMMENT 'As in windows',
    min Float64 COMMENT 'As in windows',
    max Float64 COMMENT 'As in windows',
    histogram Tuple(Array(Int32), Array(UInt64)) COMMENT 'As in windows',
    missing_count UInt64 COMMENT 'As in windows',
    nan_count UInt64 COMMENT 'As in windows',
    out_of_range_count UInt64 COMMENT 'As in windows',
    skewed_count UInt64 COMMENT 'As in windows',
    duplicate_count UInt64 COMMENT 'As in windows',
    load_batch UInt64 COMMENT 'As in windows'
)
ENGINE = Null
COMMENT 'Where window deltas are inserted; keeps nothing itself';

CREATE MATERIALIZED VIEW IF NOT EXISTS load_windows TO windows AS
SELECT * FROM windows_landing;

CREATE MATERIALIZED VIEW IF NOT EXISTS load_windows_1h TO windows_1h AS
SELECT
    * REPLACE (
        toUInt32(3600000) AS window_ms,
        fromUnixTimestamp64Milli(intDiv(toUnixTimestamp64Milli(window_start), 3600000) * 3600000, 'UTC') AS window_start),
    windows_landing.window_ms AS source_window_ms,
    if(windows_landing.count = 0, toUInt64(0), bitShiftLeft(toUInt64(1), toUInt8(intDiv(toUnixTimestamp64Milli(windows_landing.window_start) % 3600000, 60000)))) AS covered_slots
FROM windows_landing;

CREATE MATERIALIZED VIEW IF NOT EXISTS load_windows_1d TO windows_1d AS
SELECT
    * REPLACE (
        toUInt32(86400000) AS window_ms,
        fromUnixTimestamp64Milli(intDiv(toUnixTimestamp64Milli(window_start), 86400000) * 86400000, 'UTC') AS window_start),
    windows_landing.window_ms AS source_window_ms,
    if(windows_landing.count = 0, toUInt64(0), bitShiftLeft(toUInt64(1), toUInt8(intDiv(toUnixTimestamp64Milli(windows_landing.window_start) % 86400000, 3600000)))) AS covered_slots
FROM windows_landing;
