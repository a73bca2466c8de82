"""The whole engine on real parts: a faulty fleet for a minute, then every row against the oracle.

simulator -> telemetry, devices -> Flink jobs -> windows, alerts -> loader -> chDB
                  |                                        |                   |
                  +-> oracle of the log as the broker has it  == all of it == +
"""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.fleet_faults import MINUTE_MS, FaultPlan
from benchmarks.simulator import run_simulation
from jobs.local_stack import LocalStack
from jobs.ports import free_port_settings
from jobs.query import run_query
from jobs.settings import Settings
from schemas.topics import CLOCK_TENANT_ID, Topic
from tests.integration.topic_reading import Message, read_topic
from tests.oracle.alerts_oracle import (
    Contact,
    Entry,
    OfflineRules,
    Registration,
    Tick,
    partition_logs,
)
from tests.oracle.fleet_oracle import alerts_of, known_until_ms
from tests.oracle.windows_oracle import LogEntry, WindowKey, WindowRow, windows_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

SEED = 7
SENDING_S = 60.0
DEADLINE_S = 240.0
"""For one step; a machine that is busy with other work takes long to start Python workers."""
POLL_INTERVAL_S = 2.0
DEVICE_COUNT = 60
DEVICE_WINDOW_S, GROUP_WINDOW_S = 20, 5
RULES = OfflineRules(warning_after_ms=6_000, critical_after_ms=20_000, resolve_hold_ms=5_000)
JUDGED_TYPES = ("fleetpulse.alert.device-offline", "fleetpulse.alert.fleet-offline")

# A minute at speed 30 is half an hour of simulated time.
FAULTS = FaultPlan(
    cycle_ms=30 * MINUTE_MS,
    silence_ratio=0.06,
    silence_start_ms=(2 * MINUTE_MS, 10 * MINUTE_MS),
    silence_length_ms=(3 * MINUTE_MS, 12 * MINUTE_MS),
    site_outage_ms=(11 * MINUTE_MS, 16 * MINUTE_MS),
    death_ratio=0.02,
    death_ms=(4 * MINUTE_MS, 12 * MINUTE_MS),
    drift_start_ms=10 * MINUTE_MS,
    uncommissioned_ratio=0.05,
    ahead_ratio=0.1,
    epoch_ratio=0.1,
    delay_ratio=0.1,
    resend_ratio=0.1,
    nan_ratio=0.2,
)

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


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    settings = free_port_settings(
        tmp_path_factory.mktemp("end-to-end"),
        kafka={"partition_count": 3, "tick_interval_s": 1.0},
        windows={"device_window_s": DEVICE_WINDOW_S, "group_window_s": GROUP_WINDOW_S},
        offline={
            "warning_after_s": RULES.warning_after_ms / 1000,
            "critical_after_s": RULES.critical_after_ms / 1000,
            "resolve_hold_s": RULES.resolve_hold_ms / 1000,
        },
        fleet={"device_count": DEVICE_COUNT, "seed": SEED, "speed": 30.0},
        stack={"start_timeout_s": 240.0},
    )
    with LocalStack(settings) as running:
        yield running


def test_windows_and_alerts_are_those_of_the_oracle(stack):
    settings = stack.settings
    sent = run_simulation(settings, duration_s=SENDING_S, faults=FAULTS)
    # The fleet has gone and only the clock goes on: when nearly everybody is offline, we look.
    wait_for(lambda: offline_count(settings) > DEVICE_COUNT * 3 // 4, "fleet that is offline")
    telemetry = read_topic(settings, Topic.TELEMETRY)
    reported = [m for m in telemetry if m.record["tenant_id"] != CLOCK_TENANT_ID]
    assert len(reported) == sent.messages
    assert sum(len(m.record["points"]) for m in reported) == sent.points
    expected_windows = windows_of(
        [LogEntry(m.at_ms, m.partition, m.offset, m.record) for m in telemetry],
        device_window_ms=DEVICE_WINDOW_S * 1000,
        group_window_ms=GROUP_WINDOW_S * 1000,
    )
    expected_alerts, end_ms = settled_alerts(telemetry, read_topic(settings, Topic.DEVICES))
    assert_covers_the_faults(expected_windows, expected_alerts)

    assert_becomes(lambda: alerts_on_topic(settings, end_ms), expected_alerts)
    assert_becomes(lambda: alerts_in_table(settings, end_ms), expected_alerts)
    assert_becomes(lambda: windows_in_table(settings), expected_windows)


def assert_covers_the_faults(
    windows: dict[WindowKey, WindowRow], alerts: dict[str, dict[str, Any]]
) -> None:
    """Check that the minute had in it what it is meant to prove."""
    rows = [row for key, row in windows.items() if key.scope == "tenant"]
    for name in ("count", "nan_count", "skewed_count", "duplicate_count"):
        assert sum(getattr(row, name) for row in rows) > 0, name
    found = Counter((alert["status"], alert["severity"]) for alert in alerts.values())
    for kind in ("warning", "critical", "emergency"):
        assert found["firing", kind] > 0, kind
    assert found["resolved", "warning"] > 0
    assert found["resolved", "emergency"] > 0


def settled_alerts(telemetry: list[Message], devices: list[Message]) -> tuple[dict[str, Any], int]:
    """Return what the oracle expects before the end of the log, by id, and that end."""
    log: list[Entry] = [registration(m) for m in devices]
    for m in telemetry:
        place, r = (m.at_ms, m.partition, m.offset), m.record
        if r["tenant_id"] == CLOCK_TENANT_ID:
            log.append(Tick(*place))
        else:
            identity = (r["tenant_id"], r["device_id"], r["boot_id"], r["sequence"])
            log.append(Contact(*place, *identity))
    end_ms = known_until_ms(partition_logs(log, RULES), RULES)
    return {e["id"]: e for e in alerts_of(log, RULES) if e["time"] < end_ms}, end_ms


def registration(message: Message) -> Registration:
    tenant_id, device_id = message.key.split("/")
    record = message.record
    status = None if record is None else record["status"]
    interval_s = 60 if record is None else record["report_interval_s"]
    return Registration(message.at_ms, tenant_id, device_id, status, interval_s)


def alerts_on_topic(settings: Settings, end_ms: int) -> dict[str, Any]:
    """Return the alerts before an instant by id; one that was sent again must say the same."""
    alerts: dict[str, Any] = {}
    for message in read_topic(settings, Topic.ALERTS):
        if message.record["type"] in JUDGED_TYPES and message.record["time"] < end_ms:
            alert = judged(message.record)
            assert alerts.setdefault(alert["id"], alert) == alert
    return alerts


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


def assert_becomes(read: Callable[[], dict[Any, Any]], expected: dict[Any, Any]) -> None:
    """Wait until what is read is exactly what is expected; else say where it differs."""
    give_up_at_s = time.monotonic() + DEADLINE_S
    found = read()
    while found != expected and time.monotonic() < give_up_at_s:
        time.sleep(POLL_INTERVAL_S)
        found = read()
    assert differences(found, expected) == []


def differences(found: dict[Any, Any], expected: dict[Any, Any]) -> list[Any]:
    """Return what is missing, too many, or says something else, short enough to read."""
    different: list[Any] = []
    for key in sorted(found.keys() | expected.keys(), key=str):
        one, other = found.get(key), expected.get(key)
        if one is None or other is None:
            different.append(("missing" if one is None else "too many", key, one or other))
        elif one != other:
            one, other = fields_of(one), fields_of(other)
            fields = {name: (one[name], other[name]) for name in one if one[name] != other[name]}
            different.append((key, one.get("subject"), one.get("seq"), fields))
    return different


def fields_of(row: Any) -> dict[str, Any]:
    return vars(row) if isinstance(row, WindowRow) else row


def offline_count(settings: Settings) -> int:
    """Return how many devices are offline by the alerts so far."""
    latest: dict[str, str] = {}
    for message in read_topic(settings, Topic.ALERTS):
        if message.record["subject"].startswith("device/"):
            latest[message.record["subject"]] = message.record["status"]
    return sum(status == "firing" for status in latest.values())


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


def wait_for(condition: Callable[[], bool], what: str) -> None:
    give_up_at_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < give_up_at_s, f"no {what} after {DEADLINE_S} s"
        time.sleep(POLL_INTERVAL_S)
