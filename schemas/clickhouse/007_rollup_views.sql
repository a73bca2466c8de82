-- What a person sees of windows, hours and days. A window without a point (all were NaN, say) has no
-- mean, no extremes and no quantiles: NULL.

-- Sums are cut to 2^-50, so the mean of equal values could fall beside them.
CREATE OR REPLACE FUNCTION fleetpulse_mean AS (points, total, smallest, largest) ->
    if(points = 0, NULL, least(largest, greatest(smallest, toFloat64(total) / exp2(50) / points)));

-- Exact integers up to the root: n * sum(x^2) - sum(x)^2, both at scale 2^100, cannot cancel badly.
-- But the squares were rounded as floats before they were added, so of values that hardly differ
-- the difference is noise, and may be negative. Whatever it says, n values from smallest to largest,
-- both of which occur, deviate by at least range / sqrt(2 n) and at most range / 2.
CREATE OR REPLACE FUNCTION fleetpulse_stddev AS (points, total, total_sq, smallest, largest) ->
    if(points = 0, NULL, least((largest - smallest) / 2, greatest((largest - smallest) / sqrt(2 * points),
        sqrt(greatest(0, toFloat64(toInt256(points) * total_sq * 1048576 - toInt256(total) * toInt256(total))))
            / exp2(50) / points)));

-- A bin is represented by its middle, which may lie outside of what occurred.
CREATE OR REPLACE FUNCTION fleetpulse_quantiles_within AS (histogram, quantiles, smallest, largest) ->
    arrayMap(found -> least(largest, greatest(smallest, found)), fleetpulse_quantiles(histogram, quantiles));

-- missing_count is NULL while nobody has announced points that did not come; 0 would claim that
-- none is missing.
CREATE OR REPLACE VIEW v_windows AS
SELECT
    tenant_id, scope, device_id, metric, deployment_group, model_version, window_ms, window_start,
    points AS count,
    fleetpulse_mean(points, total, smallest, largest) AS mean,
    fleetpulse_stddev(points, total, total_sq, smallest, largest) AS stddev,
    if(points = 0, NULL, smallest) AS min,
    if(points = 0, NULL, largest) AS max,
    if(points = 0, NULL, quantiles[1]) AS p50,
    if(points = 0, NULL, quantiles[2]) AS p90,
    if(points = 0, NULL, quantiles[3]) AS p95,
    if(points = 0, NULL, quantiles[4]) AS p99,
    nullIf(missing_points, 0) AS missing_count,
    nan_points AS nan_count,
    out_of_range_points AS out_of_range_count,
    skewed_points AS skewed_count,
    duplicate_points AS duplicate_count
FROM
(
  -- All quantiles at once: a function is pasted in wherever it is used, and analysed each time.
  SELECT *, fleetpulse_quantiles_within(bins, [0.5, 0.9, 0.95, 0.99], smallest, largest) AS quantiles FROM
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

-- covered_ratio, 0-1, tells of gaps: the share of the hour's windows that have a point, of the day's
-- hours that have one. Whether a device had to send in each of them depends on its report interval,
-- which is not stored here; of the hour or day that is still running the rest counts as a gap.
CREATE OR REPLACE VIEW v_windows_1h AS
SELECT
    tenant_id, scope, device_id, metric, deployment_group, model_version, window_ms, window_start,
    points AS count,
    fleetpulse_mean(points, total, smallest, largest) AS mean,
    fleetpulse_stddev(points, total, total_sq, smallest, largest) AS stddev,
    if(points = 0, NULL, smallest) AS min,
    if(points = 0, NULL, largest) AS max,
    if(points = 0, NULL, quantiles[1]) AS p50,
    if(points = 0, NULL, quantiles[2]) AS p90,
    if(points = 0, NULL, quantiles[3]) AS p95,
    if(points = 0, NULL, quantiles[4]) AS p99,
    nullIf(missing_points, 0) AS missing_count,
    nan_points AS nan_count,
    out_of_range_points AS out_of_range_count,
    skewed_points AS skewed_count,
    duplicate_points AS duplicate_count,
    least(1, bitCount(slots) / greatest(1, intDiv(window_ms, window_length_ms))) AS covered_ratio
FROM
(
  -- All quantiles at once: a function is pasted in wherever it is used, and analysed each time.
  SELECT *, fleetpulse_quantiles_within(bins, [0.5, 0.9, 0.95, 0.99], smallest, largest) AS quantiles FROM
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
        sum(duplicate_count) AS duplicate_points,
        max(source_window_ms) AS window_length_ms,
        groupBitOr(covered_slots) AS slots
    FROM windows_1h
    GROUP BY tenant_id, scope, device_id, metric, deployment_group, model_version, window_ms, window_start
  )
);

CREATE OR REPLACE VIEW v_windows_1d AS
SELECT
    tenant_id, scope, device_id, metric, deployment_group, model_version, window_ms, window_start,
    points AS count,
    fleetpulse_mean(points, total, smallest, largest) AS mean,
    fleetpulse_stddev(points, total, total_sq, smallest, largest) AS stddev,
    if(points = 0, NULL, smallest) AS min,
    if(points = 0, NULL, largest) AS max,
    if(points = 0, NULL, quantiles[1]) AS p50,
    if(points = 0, NULL, quantiles[2]) AS p90,
    if(points = 0, NULL, quantiles[3]) AS p95,
    if(points = 0, NULL, quantiles[4]) AS p99,
    nullIf(missing_points, 0) AS missing_count,
    nan_points AS nan_count,
    out_of_range_points AS out_of_range_count,
    skewed_points AS skewed_count,
    duplicate_points AS duplicate_count,
    bitCount(slots) / 24 AS covered_ratio
FROM
(
  -- All quantiles at once: a function is pasted in wherever it is used, and analysed each time.
  SELECT *, fleetpulse_quantiles_within(bins, [0.5, 0.9, 0.95, 0.99], smallest, largest) AS quantiles FROM
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
        sum(duplicate_count) AS duplicate_points,
        max(source_window_ms) AS window_length_ms,
        groupBitOr(covered_slots) AS slots
    FROM windows_1d
    GROUP BY tenant_id, scope, device_id, metric, deployment_group, model_version, window_ms, window_start
  )
);

CREATE OR REPLACE VIEW v_device_1h AS
SELECT * EXCEPT (scope) FROM v_windows_1h WHERE scope = 'device';

CREATE OR REPLACE VIEW v_group_1h AS
SELECT * EXCEPT (device_id) FROM v_windows_1h WHERE scope IN ('group', 'tenant');

CREATE OR REPLACE VIEW v_device_1d AS
SELECT * EXCEPT (scope) FROM v_windows_1d WHERE scope = 'device';

CREATE OR REPLACE VIEW v_group_1d AS
SELECT * EXCEPT (device_id) FROM v_windows_1d WHERE scope IN ('group', 'tenant');
