-- What was said of each rollout. The topic is transactional and the loader stores each message once;
-- only who restores an older savepoint sends verdicts again, under their ids.

CREATE TABLE IF NOT EXISTS rollout_verdicts
(
    verdict_id String COMMENT 'The same in every replay',
    tenant_id LowCardinality(String) COMMENT 'Owner of the devices',
    rollout_id String COMMENT 'Deployment group, new version and start of its first window',
    deployment_group LowCardinality(String) COMMENT 'Whose devices are compared',
    treatment_version LowCardinality(String) COMMENT 'Model version that is rolled out',
    control_version LowCardinality(String) COMMENT 'Model version that it is compared with',
    started_at DateTime64(3, 'UTC') COMMENT 'The first look begins with the first whole window after it, event time, UTC',
    decided_at DateTime64(3, 'UTC') COMMENT 'When the verdict was due, clock of telemetry, UTC',
    look Int32 COMMENT 'Number of the look, from 0; -1 before the first',
    verdict LowCardinality(String) COMMENT 'ROLLBACK, PROMOTE, CONTINUE or NODATA; NODATA is no leave to go on',
    reason LowCardinality(String) COMMENT 'One word: noticed, collecting, within_tolerance, the aspect that did harm, too_few_devices, ...',
    deciding_metric LowCardinality(String) COMMENT 'Metric that decided; empty when none alone did',
    is_final Bool COMMENT 'Whether nothing more will be said of the rollout',
    treatment_devices UInt64 COMMENT 'Devices of the new version with enough windows in the look',
    control_devices UInt64 COMMENT 'Devices of the old version with enough windows in the look',
    moved_devices UInt64 COMMENT 'Devices that changed version within the look: left out',
    metrics_metric Array(LowCardinality(String)) COMMENT 'Metrics that are judged; the arrays below have one entry each',
    metrics_verdict Array(LowCardinality(String)) COMMENT 'As of the rollout, of each metric alone',
    metrics_reason Array(LowCardinality(String)) COMMENT 'One word, as of the rollout',
    metrics_detail Array(String) COMMENT 'One sentence',
    metrics_effect_sigma Array(Nullable(Float64)) COMMENT 'Shift of the new version, positive upwards; sigma is the spread of devices within strata',
    metrics_low_sigma Array(Nullable(Float64)) COMMENT 'Lower bound of the shift at any number of looks, sigma',
    metrics_high_sigma Array(Nullable(Float64)) COMMENT 'Upper bound of the shift at any number of looks, sigma',
    metrics_log10_e Array(Float64) COMMENT 'Evidence for harm, log10 of the e-value',
    metrics_log10_e_needed Array(Float64) COMMENT 'What the evidence has to reach',
    metrics_treatment_devices Array(UInt64) COMMENT 'Devices of the new version that were compared',
    metrics_control_devices Array(UInt64) COMMENT 'Devices of the old version that were compared',
    metrics_devices_used Array(UInt64) COMMENT 'Devices of both until the evidence was complete; 0 without ROLLBACK',
    metrics_treatment_mean Array(Nullable(Float64)) COMMENT 'Mean of the devices with the new version, unit of the metric',
    metrics_control_mean Array(Nullable(Float64)) COMMENT 'The same of the old version, strata weighed as in the new one',
    load_batch UInt64 COMMENT 'Number of the load batch that brought the row'
)
-- A verdict that is sent again has the same id, so the same key: merging keeps one of them.
ENGINE = ReplacingMergeTree
ORDER BY (tenant_id, rollout_id, decided_at, verdict_id)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Every verdict on every rollout; one that was sent again may show twice until parts merge';

-- What is said last of each rollout. Of one instant the final one counts.
CREATE OR REPLACE VIEW v_rollouts AS
SELECT * EXCEPT (load_batch) FROM rollout_verdicts
ORDER BY tenant_id, rollout_id, decided_at DESC, is_final DESC, verdict_id
LIMIT 1 BY tenant_id, rollout_id;
