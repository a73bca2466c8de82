-- What drift detectors found. The topic is transactional and the loader stores each message once;
-- only who restores an older savepoint sends findings again, under their ids.

CREATE TABLE IF NOT EXISTS drift_findings
(
    finding_id String COMMENT 'The same in every replay',
    incident_id String COMMENT 'The same for all findings of one incident',
    tenant_id LowCardinality(String) COMMENT 'Owner of the subject',
    scope LowCardinality(String) COMMENT 'device, group, tenant, model_version or rollout',
    subject String COMMENT 'Device id, group, model version or rollout; empty for the whole tenant',
    metric LowCardinality(String) COMMENT 'Name of the metric, unit last; empty when it is about all of them',
    rule LowCardinality(String) COMMENT 'drift, data-quality, canary or power-drain',
    detector LowCardinality(String) COMMENT 'Which one of the family: esr, psi, missing_rate, stuck, unit_change, ...',
    state LowCardinality(String) COMMENT 'firing, resolved or info',
    severity LowCardinality(String) COMMENT 'info, watch, minor, major or critical; the first two never page',
    window_ms UInt64 COMMENT 'Length of the windows that were judged, ms',
    first_seen DateTime64(3, 'UTC') COMMENT 'Start of the window in which it most likely began, event time, UTC',
    detected_at DateTime64(3, 'UTC') COMMENT 'End of the window that completed the evidence, event time, UTC',
    delay_windows UInt32 COMMENT 'Windows from the one to the other',
    log10_e Float64 COMMENT 'log10 of the value of the e-detector; 0 where a rule is no matter of chance',
    expected_false_alarms Nullable(Float64) COMMENT 'Of this kind in 10,000 device-days, by the budget',
    direction LowCardinality(String) COMMENT 'up, down, spread, or empty',
    shift_sigma Nullable(Float64) COMMENT 'Shift of the location, in standard deviations of the baseline',
    psi Nullable(Float64) COMMENT 'Population stability index of after against before',
    w1_sigma Nullable(Float64) COMMENT 'Wasserstein distance of the two, in standard deviations of the baseline',
    baseline_id String COMMENT 'Stream, versions, rule and span of the baseline; empty when there is none',
    baseline_window_count UInt64 COMMENT 'Windows it was learned from',
    baseline_from Nullable(DateTime64(3, 'UTC')) COMMENT 'Start of the first of them, UTC',
    baseline_until Nullable(DateTime64(3, 'UTC')) COMMENT 'End of the last of them, UTC',
    is_provisional Bool COMMENT 'Whether the baseline has fewer windows than wanted',
    before_count UInt64 COMMENT 'Windows of the distribution of the baseline',
    before_mean Nullable(Float64) COMMENT 'Mean of their values, unit of the metric',
    before_p05 Nullable(Float64) COMMENT '5 % quantile of their values, unit of the metric',
    before_p50 Nullable(Float64) COMMENT 'Median of their values, unit of the metric',
    before_p95 Nullable(Float64) COMMENT '95 % quantile of their values, unit of the metric',
    before_edges Array(Float64) COMMENT 'n + 1 ascending edges of their histogram, unit of the metric',
    before_counts Array(UInt64) COMMENT 'Windows in each of its n bins',
    after_count UInt64 COMMENT 'Windows since first_seen',
    after_mean Nullable(Float64) COMMENT 'Mean of their values, unit of the metric',
    after_p05 Nullable(Float64) COMMENT '5 % quantile of their values, unit of the metric',
    after_p50 Nullable(Float64) COMMENT 'Median of their values, unit of the metric',
    after_p95 Nullable(Float64) COMMENT '95 % quantile of their values, unit of the metric',
    after_edges Array(Float64) COMMENT 'n + 1 ascending edges of their histogram, unit of the metric',
    after_counts Array(UInt64) COMMENT 'Windows in each of its n bins',
    coverage Float64 COMMENT 'Share of the expected windows or devices that were there, 0-1',
    peers_affected UInt32 COMMENT 'Members of the group that drift too',
    peers UInt32 COMMENT 'Members of the group',
    co_drifting_metrics Array(LowCardinality(String)) COMMENT 'Of the same subject, strongest first',
    changed_tags Array(String) COMMENT 'Versions or groups that changed within 24 hours before, as name: old -> new',
    quality_flags Array(String) COMMENT 'Findings about the measuring itself that explain it',
    explained_by_network Nullable(Float64) COMMENT 'Share of a shift of power that network and load explain, 0-1',
    reason String COMMENT 'One sentence, or a standard word',
    suggested_action String COMMENT 'One sentence',
    notify Bool COMMENT 'Whether somebody is told',
    load_batch UInt64 COMMENT 'Number of the load batch that brought the row'
)
-- A finding that is sent again has the same id, so the same key: merging keeps one of them.
ENGINE = ReplacingMergeTree
ORDER BY (tenant_id, detected_at, finding_id)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Every finding of every drift incident; one that was sent again may show twice until parts merge';

-- What an incident says last. Of one instant the end counts: whoever resolves has looked again.
CREATE OR REPLACE VIEW v_open_drift AS
SELECT * EXCEPT (load_batch) FROM
(
    SELECT * FROM drift_findings
    WHERE state IN ('firing', 'resolved')
    ORDER BY tenant_id, incident_id, detected_at DESC, state = 'resolved' DESC, finding_id
    LIMIT 1 BY tenant_id, incident_id
)
WHERE state = 'firing';

-- The worst first is the order to ask for: ORDER BY severity_rank DESC, strongest_log10_e DESC.
CREATE OR REPLACE VIEW v_top_drift AS
SELECT
    tenant_id,
    metric,
    max(rank) AS severity_rank,
    argMax(found.severity, rank) AS severity,
    count() AS incidents,
    uniqExact(scope, subject) AS subjects,
    argMax(concat(scope, '/', subject), log10_e) AS strongest_subject,
    max(log10_e) AS strongest_log10_e,
    argMax(direction, log10_e) AS direction,
    argMax(shift_sigma, log10_e) AS shift_sigma,
    min(first_seen) AS first_seen,
    max(detected_at) AS last_detected
FROM
(
    SELECT *, indexOf(['info', 'watch', 'minor', 'major', 'critical'], severity) AS rank
    FROM v_open_drift
) AS found
GROUP BY tenant_id, metric;
