-- Views for people. Filters on the key columns reach the tables below.

CREATE OR REPLACE VIEW v_windows AS
SELECT
    tenant_id, scope, device_id, metric, deployment_group, model_version, window_ms, window_start,
    points AS count,
    if(points = 0, nan, toFloat64(total) / exp2(50) / points) AS mean,
    -- Exact integers up to the root: n * sum(x^2) - sum(x)^2, both at scale 2^100, cannot cancel badly.
    if(points = 0, nan, sqrt(greatest(0, toFloat64(
        toInt256(points) * total_sq * 1048576 - toInt256(total) * toInt256(total)))) / exp2(50) / points) AS stddev,
    smallest AS min,
    largest AS max,
    if(points = 0, nan, quantiles[1]) AS p50,
    if(points = 0, nan, quantiles[2]) AS p90,
    if(points = 0, nan, quantiles[3]) AS p95,
    if(points = 0, nan, quantiles[4]) AS p99,
    missing_points AS missing_count,
    nan_points AS nan_count,
    out_of_range_points AS out_of_range_count,
    skewed_points AS skewed_count,
    duplicate_points AS duplicate_count
FROM
(
  -- All quantiles at once: a function is pasted in wherever it is used, and analysed each time.
  SELECT *, fleetpulse_quantiles(bins, [0.5, 0.9, 0.95, 0.99]) AS quantiles FROM
  (
    SELECT
        tenant_id, scope, device_id, metric, deployment_group, model_version, window_ms, window_start,
        sum(count) AS points,
        sum(sum_fixed) AS total,
        sum(sum_sq_fixed) AS total_sq,
        min(min) AS smallest,
        max(max) AS largest,
        sumMap(histogram) AS bins,
        sum(missing_count) AS missing_points,
        sum(nan_count) AS nan_points,
        sum(out_of_range_count) AS out_of_range_points,
        sum(skewed_count) AS skewed_points,
        sum(duplicate_count) AS duplicate_points
    FROM windows
    GROUP BY tenant_id, scope, device_id, metric, deployment_group, model_version, window_ms, window_start
  )
);

CREATE OR REPLACE VIEW v_device_5m AS
SELECT * EXCEPT (scope) FROM v_windows WHERE scope = 'device';

CREATE OR REPLACE VIEW v_group_1m AS
SELECT * EXCEPT (device_id) FROM v_windows WHERE scope IN ('group', 'tenant');

CREATE OR REPLACE VIEW v_device_now AS
SELECT
    tenant_id,
    device_id,
    latest.1 AS status,
    latest.2 AS status_since,
    latest.3 AS last_seen,
    latest.4 AS deployment_group,
    latest.5 AS model_version,
    latest.6 AS firmware_version,
    latest.7 AS hardware_revision,
    latest.8 AS site
FROM
(
    SELECT
        tenant_id,
        device_id,
        argMax((status, status_since, last_seen, deployment_group, model_version, firmware_version,
            hardware_revision, site), status_order) AS latest
    FROM device_status
    GROUP BY tenant_id, device_id
)
WHERE latest.1 != 'decommissioned';

CREATE OR REPLACE VIEW v_fleet_now AS
SELECT
    tenant_id,
    deployment_group,
    model_version,
    count() AS devices,
    countIf(status = 'online') AS online,
    countIf(status = 'warning') AS warning,
    countIf(status = 'critical') AS critical,
    countIf(status = 'maintenance') AS maintenance,
    round((warning + critical) / devices, 4) AS offline_ratio,
    max(status_since) AS last_change
FROM v_device_now
GROUP BY tenant_id, deployment_group, model_version;

CREATE OR REPLACE VIEW v_alert_events AS
SELECT * EXCEPT (load_batch) FROM alert_events LIMIT 1 BY tenant_id, id;

CREATE OR REPLACE VIEW v_open_alerts AS
SELECT
    tenant_id, severity, subject, starts_at, time, last_seen, silence_s, value, notify, acked,
    offline_count, monitored_count, summary, seq, episode_id, labels
FROM
(
    SELECT * FROM alert_events ORDER BY tenant_id, episode_id, seq DESC LIMIT 1 BY tenant_id, episode_id
)
WHERE status = 'firing';
