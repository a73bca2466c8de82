-- Tables that the loader writes. Every one carries `load_batch`, the number of the last batch that
-- added to the row: after a crash the loader reads from it which batches have really landed. The
-- engine's own deduplication log is written before the part it speaks of becomes visible, so a kill
-- between the two would make a re-sent batch look like a duplicate and lose it.

CREATE TABLE IF NOT EXISTS windows
(
    tenant_id LowCardinality(String) COMMENT 'Owner of the devices',
    scope LowCardinality(String) COMMENT 'device, group (tenant x deployment_group x model_version) or tenant',
    device_id String COMMENT 'The device for scope device, else empty' CODEC(ZSTD(1)),
    metric LowCardinality(String) COMMENT 'Name of the metric, unit last',
    deployment_group LowCardinality(String) COMMENT 'As the device claimed; empty when none or for scope tenant',
    model_version LowCardinality(String) COMMENT 'As the device claimed; empty when none or for scope tenant',
    window_ms UInt32 COMMENT 'Length of the window, ms' CODEC(ZSTD(1)),
    window_start DateTime64(3, 'UTC') COMMENT 'First instant of the window, event time, UTC' CODEC(Delta, ZSTD(1)),
    count SimpleAggregateFunction(sum, UInt64) COMMENT 'Accepted finite points' CODEC(T64, ZSTD(1)),
    sum_fixed SimpleAggregateFunction(sum, Int128) COMMENT 'Sum of the values times 2^50' CODEC(ZSTD(1)),
    sum_sq_fixed SimpleAggregateFunction(sum, Int256) COMMENT 'Sum of the squared values times 2^80' CODEC(ZSTD(1)),
    min SimpleAggregateFunction(min, Float64) COMMENT 'Smallest value, unit of the metric; +inf when count is 0' CODEC(ZSTD(1)),
    max SimpleAggregateFunction(max, Float64) COMMENT 'Largest value, unit of the metric; -inf when count is 0' CODEC(ZSTD(1)),
    histogram SimpleAggregateFunction(sumMap, Tuple(Array(Int32), Array(UInt64))) COMMENT 'Bin index and points of each bin that is not empty, histogram layout 1' CODEC(ZSTD(1)),
    missing_count SimpleAggregateFunction(sum, UInt64) COMMENT 'Points announced but absent' CODEC(T64, ZSTD(1)),
    nan_count SimpleAggregateFunction(sum, UInt64) COMMENT 'Points refused because NaN or infinite' CODEC(T64, ZSTD(1)),
    out_of_range_count SimpleAggregateFunction(sum, UInt64) COMMENT 'Points refused because the magnitude is over 1e12' CODEC(T64, ZSTD(1)),
    skewed_count SimpleAggregateFunction(sum, UInt64) COMMENT 'Points whose device timestamp was clamped to the append time' CODEC(T64, ZSTD(1)),
    duplicate_count SimpleAggregateFunction(sum, UInt64) COMMENT 'Points of batches that had been counted before' CODEC(T64, ZSTD(1)),
    load_batch SimpleAggregateFunction(max, UInt64) COMMENT 'Number of the last load batch that added to the row' CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
-- By month: late data may touch any month, so the parts of one insert stay few.
PARTITION BY toYYYYMM(window_start)
-- One device's history, and one group's (there device_id is empty), are each one stretch of the key.
ORDER BY (tenant_id, scope, device_id, metric, deployment_group, model_version, window_ms, window_start)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Window aggregates: rows of one key are deltas that merge by addition; read through the views';

CREATE TABLE IF NOT EXISTS alert_events
(
    id String COMMENT 'uuid5(episode_id, seq)',
    source LowCardinality(String) COMMENT 'What raised it: fleetpulse/<rule>',
    type LowCardinality(String) COMMENT 'fleetpulse.alert.<rule>',
    subject String COMMENT 'device/<id>, group/<name>, tenant/<id> or partition/<n>',
    tenant_id LowCardinality(String) COMMENT 'Owner of the subject',
    time DateTime64(3, 'UTC') COMMENT 'Instant of the transition by the input clock, UTC',
    emitted_at DateTime64(3, 'UTC') COMMENT 'Wall clock when the event was produced, UTC',
    dedup_key String COMMENT 'rule/tenant/subject/start',
    episode_id String COMMENT 'uuid5 of tenant, rule, subject and start of the silence',
    seq Int32 COMMENT 'Number of the transition in its episode, from 1',
    status LowCardinality(String) COMMENT 'firing, resolved or info',
    severity LowCardinality(String) COMMENT 'info, warning, critical or emergency',
    previous_severity LowCardinality(Nullable(String)) COMMENT 'Severity before this transition',
    starts_at DateTime64(3, 'UTC') COMMENT 'Exact instant at which the episode became due, UTC',
    escalated_at Nullable(DateTime64(3, 'UTC')) COMMENT 'Exact instant of the last escalation, UTC',
    ends_at Nullable(DateTime64(3, 'UTC')) COMMENT 'Append time of the contact that ended the episode, UTC',
    last_seen Nullable(DateTime64(3, 'UTC')) COMMENT 'Append time of the last contact before the silence, UTC',
    silence_s Nullable(Float64) COMMENT 'Length of the silence at time, seconds',
    threshold_s Nullable(Float64) COMMENT 'Silence that raises this severity, seconds',
    value Nullable(Float64) COMMENT 'Measured value; for a fleet the ratio offline, 0-1',
    reason LowCardinality(Nullable(String)) COMMENT 'Why, from a closed list',
    notify Bool COMMENT 'Whether a person is to be told',
    channels Array(LowCardinality(String)) COMMENT 'Channels that the severity is routed to',
    suppressed_by Array(String) COMMENT 'Episodes or rules that keep it from notifying',
    acked Bool COMMENT 'Whether somebody has acknowledged the episode',
    backfilled Bool COMMENT 'Whether the breach was old when its data arrived',
    input_clock DateTime64(3, 'UTC') COMMENT 'Input clock of the subject when the transition was found, UTC',
    detection_delay_ms Int64 COMMENT 'input_clock minus time, ms',
    blind_seconds Float64 COMMENT 'Excused time inside the silence, seconds',
    labels Map(LowCardinality(String), String) COMMENT 'tenant, group, site, model, rule',
    monitored_count Nullable(Int64) COMMENT 'Devices of the fleet that count; fleet rules only',
    offline_count Nullable(Int64) COMMENT 'Devices of the fleet in warning or critical; fleet rules only',
    offline_ratio Nullable(Float64) COMMENT 'offline_count / monitored_count, 0-1; fleet rules only',
    sample_devices Array(String) COMMENT 'At most 20 of the devices offline; fleet rules only',
    summary String COMMENT 'One sentence for a person',
    runbook_url Nullable(String) COMMENT 'Where the cure is described',
    load_batch UInt64 COMMENT 'Number of the load batch that brought the row'
)
-- An event that is emitted again has the same id, so the same key: merging keeps one of them.
ENGINE = ReplacingMergeTree
ORDER BY (tenant_id, starts_at, episode_id, id)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Every transition of every alert episode; a re-emitted event may show twice until parts merge';

CREATE TABLE IF NOT EXISTS device_status
(
    tenant_id LowCardinality(String) COMMENT 'Owner of the device',
    device_id String COMMENT 'Identity of the device within its tenant',
    status LowCardinality(String) COMMENT 'online, warning, critical, maintenance or decommissioned',
    status_since DateTime64(3, 'UTC') COMMENT 'Exact instant of the change, UTC',
    last_seen DateTime64(3, 'UTC') COMMENT 'Append time of the last contact before the change took place, UTC',
    hardware_revision LowCardinality(String) COMMENT 'As last claimed; empty when never',
    firmware_version LowCardinality(String) COMMENT 'As last claimed; empty when never',
    model_version LowCardinality(String) COMMENT 'As last claimed; empty when never',
    deployment_group LowCardinality(String) COMMENT 'As registered, else as claimed; empty when neither',
    site LowCardinality(String) COMMENT 'As registered; empty when not',
    status_order UInt64 COMMENT 'Offset of the change in its topic partition: a device stays in one, so the largest is the latest',
    load_batch UInt64 COMMENT 'Number of the load batch that brought the row'
)
ENGINE = ReplacingMergeTree(status_order)
ORDER BY (tenant_id, device_id)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'The live twin of each device; older states may show until parts merge, v_device_now has the latest';

CREATE TABLE IF NOT EXISTS dead_letters
(
    origin_topic LowCardinality(String) COMMENT 'Topic of the original message; empty when the headers do not say',
    origin_partition Int32 COMMENT 'Partition of the original message; -1 when unknown',
    origin_offset Int64 COMMENT 'Offset of the original message; -1 when unknown',
    stage LowCardinality(String) COMMENT 'Step that refused it',
    component LowCardinality(String) COMMENT 'Part of Fleetpulse that refused it',
    reason LowCardinality(String) COMMENT 'Why, from the closed list of schemas/errors.py',
    detail String COMMENT 'One line, without any value of the record',
    message_key String COMMENT 'Key of the original message as text',
    value_bytes UInt64 COMMENT 'Size of the original value, bytes',
    value_sha256 String COMMENT 'SHA-256 of the original value, hexadecimal',
    dead_partition Int32 COMMENT 'Partition of the dead letter itself',
    dead_offset Int64 COMMENT 'Offset of the dead letter itself, where the original bytes are',
    timestamp DateTime64(3, 'UTC') COMMENT 'Timestamp of the dead letter, UTC',
    load_batch UInt64 COMMENT 'Number of the load batch that brought the row'
)
ENGINE = ReplacingMergeTree(dead_offset)
ORDER BY (origin_topic, origin_partition, origin_offset, reason)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Searchable copy of the dead-letter topic, without the payloads';

CREATE TABLE IF NOT EXISTS load_ledger
(
    topic LowCardinality(String) COMMENT 'Full name of the topic',
    partition Int32 COMMENT 'Partition of the topic',
    batch_number UInt64 COMMENT 'Number of the batch within its topic, from 1',
    first_offset Int64 COMMENT 'First offset of the batch in this partition',
    last_offset Int64 COMMENT 'Last offset of the batch in this partition, inclusive',
    is_done Bool COMMENT 'False before the insert, true after it was verified',
    row_count UInt64 COMMENT 'Rows that the whole batch adds to its table, before merging',
    recorded_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When the entry was written, UTC',
    version UInt64 MATERIALIZED batch_number * 2 + is_done COMMENT 'The larger entry is the later one'
)
-- A partition has one batch at a time, so its latest entry says all: resume after it, or send it again.
ENGINE = ReplacingMergeTree(version)
ORDER BY (topic, partition)
COMMENT 'How far each topic partition is loaded; the authority for resuming, not the consumer group';
