"""Windows and alerts as they were stored, in the form of the oracles."""

from collections import Counter
from typing import Any

from jobs.query import run_query
from jobs.settings import Settings
from tests.oracle.windows_oracle import WindowKey, WindowRow

JUDGED_TYPES = ("fleetpulse.alert.device-offline", "fleetpulse.alert.fleet-offline")

WINDOWS_SQL = """
    SELECT tenant_id, scope, nullIf(device_id, '') AS device_id, deployment_group, model_version,
        metric, toUnixTimestamp64Milli(window_start) AS start_ms, window_ms,
        sum(count) AS points, toString(sum(sum_fixed)) AS total,
        toString(sum(sum_sq_fixed)) AS squares, min(min) AS smallest, max(max) AS largest,
        sumMap(histogram) AS bins, sum(nan_count) AS nan, sum(out_of_range_count) AS out_of_range,
        sum(skewed_count) AS skewed, sum(duplicate_count) AS duplicates
    FROM windows GROUP BY tenant_id, scope, device_id, deployment_group, model_version, metric,
        start_ms, window_ms"""

ALERTS_SQL = """
    SELECT DISTINCT id, type, tenant_id, subject, dedup_key, episode_id, seq, status, severity,
        toUnixTimestamp64Milli(time) AS time, toUnixTimestamp64Milli(starts_at) AS starts_at,
        toUnixTimestamp64Milli(ends_at) AS ends_at, notify, channels, suppressed_by,
        toUnixTimestamp64Milli(last_seen) AS last_seen, blind_seconds, monitored_count,
        offline_count
    FROM alert_events"""


def alerts_in_table(settings: Settings, end_ms: int) -> dict[str, Any]:
    alerts = {}
    for row in run_query(settings, ALERTS_SQL).iter_rows(named=True):
        counts = {"monitored": row["monitored_count"], "offline": row["offline_count"]}
        if row["type"] in JUDGED_TYPES and row["time"] < end_ms:
            is_fleet = counts["monitored"] is not None
            alerts[row["id"]] = judged(row | {"counts": counts if is_fleet else None})
    return alerts


def judged(record: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that the log decides."""
    names = (
        "id", "type", "tenant_id", "subject", "dedup_key", "episode_id", "seq", "time", "status",
        "severity", "starts_at", "ends_at", "last_seen", "notify", "channels", "suppressed_by",
        "blind_seconds",
    )  # fmt: skip
    counts = record["counts"]
    told = None if counts is None else {n: counts[n] for n in ("monitored", "offline")}
    return {name: record[name] for name in names} | {"counts": told}


def windows_in_table(settings: Settings) -> dict[WindowKey, WindowRow]:
    rows = {}
    for r in run_query(settings, WINDOWS_SQL).iter_rows(named=True):
        key = WindowKey(
            r["tenant_id"], r["scope"], r["device_id"], r["deployment_group"], r["model_version"],
            r["metric"], r["start_ms"], r["window_ms"],
        )  # fmt: skip
        bins, counts = r["bins"].values() if isinstance(r["bins"], dict) else r["bins"]
        assert key not in rows
        rows[key] = WindowRow(
            count=r["points"],
            sum_fixed=int(r["total"]),
            sum_sq_fixed=int(r["squares"]),
            min=r["smallest"],
            max=r["largest"],
            histogram=Counter(dict(zip(bins, counts, strict=True))),
            nan_count=r["nan"],
            out_of_range_count=r["out_of_range"],
            skewed_count=r["skewed"],
            duplicate_count=r["duplicates"],
        )
    return rows
