"""Law L2: the alerts of a log are those of the oracle, at any shard count and block size."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.backtest import Backtest, BacktestPlan
from jobs.backtest_log import LineType, LogLine
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
from tests.strategies import NOON_MS, alert_logs
from udfs.offline_policy import OfflinePolicy

Alert = dict[str, Any]

FIELDS = (
    "id", "type", "tenant_id", "subject", "dedup_key", "episode_id", "seq", "time", "status",
    "severity", "starts_at", "ends_at", "last_seen", "notify", "channels", "suppressed_by",
    "blind_seconds", "counts",
)  # fmt: skip
FLEET_FIELDS = ("notify", "channels", "suppressed_by", "counts")
JUDGED_TYPES = tuple(
    f"fleetpulse.alert.{rule}" for rule in ("device-offline", "fleet-offline", "flapping")
)


def line_of(entry: Entry) -> LogLine:
    match entry:
        case Tick(at_ms, partition, _):
            return LogLine(at_ms, LineType.TICK, partition, {})
        case Contact(at_ms, partition, _, tenant_id, device_id, boot_id, sequence, group):
            identity = {"tenant_id": tenant_id, "device_id": device_id}
            said = identity | {"boot_id": boot_id, "sequence": sequence, "deployment_group": group}
            return LogLine(at_ms, LineType.CONTACT, partition, said)
        case Registration(at_ms, tenant_id, device_id, status, report_interval_s, group, site):
            identity = {"tenant_id": tenant_id, "device_id": device_id}
            record = {"status": status, "report_interval_s": report_interval_s}
            record |= {"deployment_group": group, "site": site}
            said = {"record": None if status is None else identity | record}
            return LogLine(at_ms, LineType.DEVICE, 0, identity | said)


def lines_of(log: list[Entry]) -> list[LogLine]:
    """Return the log in the order of its times; at one instant the registry comes first."""
    numbered = {Registration: 0, Tick: 1, Contact: 2}
    return [line_of(e) for e in sorted(log, key=lambda e: (e.at_ms, numbered[type(e)]))]


def told_by_engine(
    log: list[Entry], plan: BacktestPlan, policy: OfflinePolicy | None = None
) -> list[Alert]:
    """Return the engine's events with the oracle's fields; the sample of devices is not one."""
    events = Backtest(policy or OfflinePolicy(), plan).run(lines_of(log))
    return [judged(event) for event in events if event["type"] in JUDGED_TYPES]


def judged(event: Alert) -> Alert:
    told = {name: event[name] for name in FIELDS} | {
        "channels": list(event["channels"]),
        "suppressed_by": list(event["suppressed_by"]),
    }
    if event["type"].endswith(".flapping"):
        told.pop("last_seen")  # the oracle's transitions do not tell of mere contacts
    if event["counts"] is not None:
        told["counts"] = {name: event["counts"][name] for name in ("monitored", "offline")}
    return told


def settled(events: list[Alert], log: list[Entry]) -> list[Alert]:
    """Leave out what falls on the very end of the log: it waits for the log to move on."""
    end_ms = known_until_ms(partition_logs(log, OfflineRules()), OfflineRules())
    return [event for event in events if event["time"] < end_ms]


def ladder_of(events: list[Alert]) -> list[Alert]:
    """Return what does not depend on the fleet: each device's transitions."""
    devices = [event for event in events if event["subject"].startswith("device/")]
    return [
        {name: event[name] for name in FIELDS if name in event and name not in FLEET_FIELDS}
        for event in devices
    ]


@given(
    log=alert_logs(has_partial_blindness=False),
    shard_count=st.sampled_from([1, 4]),
    block_max_lines=st.sampled_from([60, 400, 10_000]),
)
@settings(max_examples=15, deadline=None)
def test_any_blocks_and_shards_give_the_alerts_of_the_oracle(log, shard_count, block_max_lines):
    told = told_by_engine(log, BacktestPlan(shard_count, block_max_lines))
    assert settled(told, log) == settled(alerts_of(log), log)


@given(log=alert_logs(), block_max_lines=st.sampled_from([60, 10_000]))
@settings(max_examples=15, deadline=None)
def test_a_blind_partition_excuses_its_own_devices_alone(log, block_max_lines):
    told = told_by_engine(log, BacktestPlan(2, block_max_lines))
    assert ladder_of(settled(told, log)) == ladder_of(settled(alerts_of(log), log))


def test_devices_of_a_blind_partition_are_not_monitored():
    #  p0  a b c d   |100 s ............ 900 s| blind      p1  x y z silent from 60 s on
    log: list[Entry] = [Registration(NOON_MS + 1, "t", device) for device in "abcdxyz"]
    for partition, devices, heard_until_s in ((0, "abcd", 2000), (1, "xyz", 60)):
        offset = 0
        for at_s in range(0, 1200, 5):
            if partition == 0 and 100 < at_s < 900:
                continue
            is_heard = at_s % 20 == 0 and at_s <= heard_until_s
            heard = devices if is_heard and at_s > 0 else ""
            for device in ["", *heard]:
                at_ms = NOON_MS + at_s * 1000
                place = (at_ms, partition, offset)
                log.append(Contact(*place, "t", device) if device else Tick(*place))
                offset += 1
    told = told_by_engine(log, BacktestPlan())
    expected = alerts_of(log)
    assert expected[-1]["counts"] == {"monitored": 3, "offline": 3}
    assert settled(told, log) == settled(expected, log)
