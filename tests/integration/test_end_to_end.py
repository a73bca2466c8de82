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
from jobs.process_records import end_processes, read_records
from jobs.settings import Settings
from schemas.dead_letter import REPLAY_OF
from schemas.topics import CLOCK_TENANT_ID, Topic, topic_name
from tests.integration.account_reading import expected_account, served_metric, stored_account
from tests.integration.poison import TENANT_WITH_TOPIC, PoisonSender, letter_of, told_by
from tests.integration.self_watching import assert_engine_watches_itself
from tests.integration.stored_rows import (
    JUDGED_TYPES,
    alerts_in_table,
    judged,
    windows_in_table,
)
from tests.integration.tenant_topic import create_tenant_topic, register_tenant_device
from tests.integration.topic_reading import Message, read_topic
from tests.oracle.alerts_oracle import (
    Contact,
    Entry,
    OfflineRules,
    Registration,
    Tick,
    partition_logs,
)
from tests.oracle.fleet_oracle import alerts_of
from tests.oracle.hearing_oracle import known_until_ms
from tests.oracle.windows_oracle import LogEntry, WindowKey, WindowRow, windows_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

SEED = 7
SENDING_S = 60.0
DEADLINE_S = 240.0
"""For one step; a machine that is busy with other work takes long to start Python workers."""
POLL_INTERVAL_S = 2.0
DEVICE_COUNT = 60
REPLAYED_COUNT = 3
DEVICE_WINDOW_S, GROUP_WINDOW_S = 20, 5
RULES = OfflineRules(warning_after_ms=6_000, critical_after_ms=20_000, resolve_hold_ms=5_000)

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
            # Whom events notify would depend on how long the jobs take to start.
            "lag_after_s": 86_400,
        },
        fleet={"device_count": DEVICE_COUNT, "seed": SEED, "speed": 30.0},
        stack={"start_timeout_s": 240.0},
    )
    with LocalStack(settings) as running:
        yield running


def test_every_row_is_that_of_the_oracle_and_every_message_is_accounted_for(stack):
    settings = stack.settings
    create_tenant_topic(settings)
    register_tenant_device(settings)
    with PoisonSender(settings) as poison:
        sent = run_simulation(settings, duration_s=SENDING_S, faults=FAULTS)
    # The fleet has gone and only the clock goes on: when nearly everybody is offline, we look.
    wait_for(lambda: len(offline_devices(settings)) > DEVICE_COUNT * 3 // 4, "offline fleet")
    # An old message that is sent again does not bring a silent device back.
    for device_id in sorted(offline_devices(settings))[:REPLAYED_COUNT]:
        poison.send_replay(settings.fleet.tenant_id, device_id)
    rejected = {m.place: letter_of(m) for m in poison.sent if m.reason is not None}
    shared, tenants_own = read_telemetry(settings).values()
    good = [m for m in [*shared, *tenants_own] if m.place not in rejected]
    assert_is_what_was_sent(good, sent)
    expected_windows = windows_of(
        [LogEntry(m.at_ms, m.partition, m.offset, m.record) for m in good],
        device_window_ms=DEVICE_WINDOW_S * 1000,
        group_window_ms=GROUP_WINDOW_S * 1000,
    )
    # What cannot be read still moves the clock of its partition.
    expected_alerts, end_ms = settled_alerts(
        [*shared, *tenants_own], set(rejected), read_topic(settings, Topic.DEVICES)
    )
    assert_covers_the_faults(expected_windows, expected_alerts)

    assert_becomes(lambda: alerts_on_topic(settings, end_ms), expected_alerts)
    assert_becomes(lambda: alerts_in_table(settings, end_ms), expected_alerts)
    assert_becomes(lambda: windows_in_table(settings), expected_windows)
    assert_becomes(lambda: letters_by_place(settings), rejected)
    assert_engine_watches_itself(settings)
    end_clock(stack)
    assert_account_balances(settings, rejected)


def read_telemetry(settings: Settings) -> dict[str, list[Message]]:
    """Return all messages of the shared topic and of the tenant's own."""
    shared = topic_name(Topic.TELEMETRY, settings.kafka.topic_prefix)
    return {
        shared: read_topic(settings, Topic.TELEMETRY),
        f"{shared}.{TENANT_WITH_TOPIC}": read_topic(settings, Topic.TELEMETRY, TENANT_WITH_TOPIC),
    }


def assert_is_what_was_sent(good: list[Message], sent: Any) -> None:
    reported = [
        m
        for m in good
        if m.record["tenant_id"] not in (CLOCK_TENANT_ID, TENANT_WITH_TOPIC)
        and REPLAY_OF not in m.headers
    ]
    assert len(reported) == sent.messages
    assert sum(len(m.record["points"]) for m in reported) == sent.points


def letters_by_place(settings: Settings) -> dict[Any, Any]:
    """Return what the dead letters say by where their originals are; each may be there once."""
    letters: dict[Any, Any] = {}
    for message in read_topic(settings, Topic.DEAD_LETTERS):
        told = told_by(message)
        topic, partition, offset = (text.decode() for text in told["origin"])
        place = (topic, int(partition), int(offset))
        assert place not in letters
        letters[place] = told
    return letters


def end_clock(stack: LocalStack) -> None:
    """End the ticks, so that the log has an end that the account can reach."""
    (clock,) = [record for record in read_records(stack.run_dir) if record.name == "clock"]
    end_processes([clock], grace_s=20.0)


def assert_account_balances(settings: Settings, rejected: dict[Any, Any]) -> None:
    """Check each partition's account against the log, and what is shown of it."""
    logs = read_telemetry(settings)
    expected = expected_account(logs, rejected)
    for (topic, partition), row in expected.items():
        offsets = [m.offset for m in logs[topic] if m.partition == partition]
        assert row["messages_read"] == max(offsets) + 1
        assert row["missing"] == 0
    assert_becomes(lambda: stored_account(settings), expected)
    read_count = sum(row["messages_read"] for row in expected.values())
    assert served_metric(settings, "fleetpulse_messages_total", 'outcome="read"') == read_count
    assert served_metric(settings, "fleetpulse_rejected_total", 'unit="message"') == len(rejected)
    wait_for(lambda: served_metric(settings, "fleetpulse_account_missing") == 0, "balance")


def assert_covers_the_faults(
    windows: dict[WindowKey, WindowRow], alerts: dict[str, dict[str, Any]]
) -> None:
    """Check that the minute had in it what it is meant to prove."""
    rows = [row for key, row in windows.items() if key.scope == "tenant"]
    for name in ("count", "nan_count", "skewed_count", "duplicate_count"):
        assert sum(getattr(row, name) for row in rows) > 0, name
    assert any(alert["tenant_id"] == TENANT_WITH_TOPIC for alert in alerts.values())
    found = Counter((alert["status"], alert["severity"]) for alert in alerts.values())
    for kind in ("warning", "critical", "emergency"):
        assert found["firing", kind] > 0, kind
    assert found["resolved", "warning"] > 0
    assert found["resolved", "emergency"] > 0


def settled_alerts(
    telemetry: list[Message], rejected: set[Any], devices: list[Message]
) -> tuple[dict[str, Any], int]:
    """Return what the oracle expects before the end of the log, by id, and that end."""
    log: list[Entry] = [registration(m) for m in devices]
    topics = sorted({m.place[0] for m in telemetry})
    for m in telemetry:
        # Each topic's partitions have clocks of their own.
        place = (m.at_ms, m.partition + 100 * topics.index(m.place[0]), m.offset)
        if m.place in rejected or REPLAY_OF in m.headers or is_tick(m):
            log.append(Tick(*place))
        else:
            r = m.record
            identity = (r["tenant_id"], r["device_id"], r["boot_id"], r["sequence"])
            log.append(Contact(*place, *identity))
    end_ms = known_until_ms(partition_logs(log, RULES), RULES)
    return {e["id"]: e for e in alerts_of(log, RULES) if e["time"] < end_ms}, end_ms


def is_tick(message: Message) -> bool:
    return bool(message.record["tenant_id"] == CLOCK_TENANT_ID)


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


def offline_devices(settings: Settings) -> set[str]:
    """Return the devices that are offline by the alerts so far."""
    latest: dict[str, str] = {}
    for message in read_topic(settings, Topic.ALERTS):
        if message.record["subject"].startswith("device/"):
            latest[message.record["subject"]] = message.record["status"]
    return {name.removeprefix("device/") for name, status in latest.items() if status == "firing"}


def wait_for(condition: Callable[[], bool], what: str) -> None:
    give_up_at_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < give_up_at_s, f"no {what} after {DEADLINE_S} s"
        time.sleep(POLL_INTERVAL_S)
