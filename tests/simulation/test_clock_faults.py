"""One device's bad clock never changes another device's window."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracle.windows_oracle import LogEntry, WindowKey, WindowRow
from tests.strategies import LONG_MAX, telemetry_logs
from tests.unit.test_aggregate import cut, windows_by_engine

Device = tuple[str, str]
CLOCKS = {
    "ahead": lambda ms: ms + 7_200_000,
    "behind": lambda ms: ms - 3 * 86_400_000,
    "epoch": lambda ms: ms % 86_400_000,
    "year 10,000": lambda ms: 253_402_300_800_000,
    "seconds": lambda ms: ms // 1000,
    "microseconds": lambda ms: ms * 1000,
    "least": lambda ms: -LONG_MAX - 1,
    "most": lambda ms: LONG_MAX,
}


def device_of(entry: LogEntry) -> Device:
    return entry.batch["tenant_id"], entry.batch["device_id"]


def with_clock(log: list[LogEntry], device: Device, clock: str) -> list[LogEntry]:
    """Return the log as it would be with another clock in one device."""
    changed = []
    for entry in log:
        points = entry.batch["points"]
        if device_of(entry) == device:
            points = [
                point | {"timestamp": bounded(CLOCKS[clock](point["timestamp"]))}
                for point in points
            ]
        changed.append(entry._replace(batch=entry.batch | {"points": points}))
    return changed


def bounded(timestamp_ms: int) -> int:
    return max(-LONG_MAX - 1, min(LONG_MAX, timestamp_ms))


def of_others(
    windows: dict[WindowKey, WindowRow], device: Device, groups: set[tuple[str, str, str]]
) -> dict[WindowKey, WindowRow]:
    """Return the windows to which a device cannot have added anything."""
    return {
        key: row
        for key, row in windows.items()
        if (key.scope == "device" and (key.tenant_id, key.device_id) != device)
        or (key.scope == "tenant" and key.tenant_id != device[0])
        or (
            key.scope == "group"
            and (key.tenant_id, key.deployment_group, key.model_version) not in groups
        )
    }


def points_of_tenants(windows: dict[WindowKey, WindowRow]) -> Counter[tuple[str, str]]:
    """Count the points, copies and all, in the windows of each tenant and metric."""
    counts: Counter[tuple[str, str]] = Counter()
    for key, row in windows.items():
        if key.scope == "tenant":
            told = row.count + row.nan_count + row.out_of_range_count + row.duplicate_count
            counts[key.tenant_id, key.metric] += told
    return counts


@settings(max_examples=40, deadline=None)
@given(telemetry_logs(), st.sampled_from(sorted(CLOCKS)), st.integers(0, 11), st.integers(0, 2**32))
def test_a_bad_clock_changes_no_window_of_another_device(log, clock, position, seed):
    device = device_of(log[position % len(log)])
    groups = {
        (device[0], entry.batch["deployment_group"] or "", entry.batch["model_version"] or "")
        for entry in log
        if device_of(entry) == device
    }
    right = windows_by_engine(cut(log, seed), 4, seed)
    wrong = windows_by_engine(cut(with_clock(log, device, clock), seed), 4, seed)
    assert of_others(wrong, device, groups) == of_others(right, device, groups)
    # Nothing is lost either: the points of the device itself are only elsewhere.
    assert points_of_tenants(wrong) == points_of_tenants(right)
