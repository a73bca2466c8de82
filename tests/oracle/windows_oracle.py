"""The windows of a log, worked out the slow and obvious way.

Independent of the engine: plain dicts, exact integers, one point at a time. A row is what all
deltas of one window must add up to.
"""

import math
import struct
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

Record = dict[str, Any]

CLOCK_TENANT_ID = "__clock__"
SKEW_MAX_MS = 120_000
EARLIEST_MS = 1_420_070_400_000
"""2015-01-01T00:00Z."""
VALUE_MAX = 1e12
DAY_S = 86_400
SMALL = 2.0**10
"""Squares of smaller values keep 80 binary places, those of others 20."""
HISTOGRAM_LEAST = 2.0**-20


class LogEntry(NamedTuple):
    """One message of the telemetry topic."""

    append_time_ms: int
    partition: int
    offset: int
    batch: Record


class WindowKey(NamedTuple):
    """What a row is about."""

    tenant_id: str
    scope: str
    device_id: str | None
    deployment_group: str
    model_version: str
    metric: str
    window_start: int
    window_ms: int


@dataclass
class WindowRow:
    """The sum over one window."""

    count: int = 0
    sum_fixed: int = 0
    sum_sq_fixed: int = 0
    min: float = math.inf
    max: float = -math.inf
    histogram: Counter[int] = field(default_factory=Counter)
    nan_count: int = 0
    out_of_range_count: int = 0
    skewed_count: int = 0
    duplicate_count: int = 0


def windows_of(
    log: Iterable[LogEntry],
    *,
    device_window_ms: int = 300_000,
    group_window_ms: int = 60_000,
) -> dict[WindowKey, WindowRow]:
    """Return every window row of a log.

    Args:
        log: messages in any order; they count in the order of their partition.
        device_window_ms: length of the windows of scope device.
        group_window_ms: length of the windows of the scopes group and tenant.
    """
    rows: dict[WindowKey, WindowRow] = {}
    seen: set[Any] = set()
    counted_s: dict[Any, int] = {}
    for entry in sorted(log, key=lambda entry: (entry.partition, entry.offset)):
        batch = entry.batch
        if batch["tenant_id"] == CLOCK_TENANT_ID:
            continue
        is_copy = batch["sequence"] is not None and not _is_first(seen, _batch_identity(batch))
        for point in batch["points"]:
            is_duplicate = is_copy
            if batch["sequence"] is None:
                identity = _point_identity(batch, point)
                is_duplicate = _is_copy(counted_s, identity, entry.append_time_ms // 1000)
            at_ms, is_skewed = _corrected(point["timestamp"], entry.append_time_ms)
            for key in _keys(batch, point["name"], at_ms, device_window_ms, group_window_ms):
                row = rows.setdefault(key, WindowRow())
                _add(row, point["value"], is_skewed=is_skewed, is_duplicate=is_duplicate)
    return rows


def bin_index(value: float) -> int:
    """Return the histogram bin of a value, layout 1: 64 bins from one power of two to the next.

    >>> bin_index(0.0), bin_index(2.0**-20), bin_index(2.0**-19), bin_index(-(2.0**-19))
    (0, 1, 65, -65)
    """
    magnitude = abs(value)
    if magnitude < HISTOGRAM_LEAST:
        return 0
    index = (_bits(magnitude) >> 46) - (_bits(HISTOGRAM_LEAST) >> 46) + 1
    return index if value > 0 else -index


def fixed(value: float) -> int:
    """Return value times 2^50, truncated toward zero."""
    return int(Fraction(value) * 2**50)


def square_fixed(value: float) -> int:
    """Return the value's square as a double, times 2^80; from 2^10 on without the low 60 bits."""
    square = Fraction(value * value)
    if abs(value) < SMALL:
        return int(square * 2**80)
    return int(square * 2**20) << 60


def _is_first(seen: set[Any], identity: Any) -> bool:
    if identity in seen:
        return False
    seen.add(identity)
    return True


def _is_copy(counted_s: dict[Any, int], identity: Any, at_s: int) -> bool:
    """Tell whether a point has counted within the day before, by append time in seconds."""
    if identity in counted_s and at_s - counted_s[identity] <= DAY_S:
        return True
    counted_s[identity] = at_s
    return False


def _batch_identity(batch: Record) -> Any:
    return ("batch", batch["tenant_id"], batch["device_id"], batch["boot_id"], batch["sequence"])


def _point_identity(batch: Record, point: Record) -> Any:
    tags = tuple(sorted(point["tags"].items()))
    device = (batch["tenant_id"], batch["device_id"])
    return ("point", *device, point["name"], tags, point["timestamp"])


def _corrected(timestamp_ms: int, append_time_ms: int) -> tuple[int, bool]:
    """Return the time to use for a point, and whether the device's own was not believed."""
    if timestamp_ms > append_time_ms + SKEW_MAX_MS or timestamp_ms < EARLIEST_MS:
        return append_time_ms, True
    return timestamp_ms, False


def _keys(
    batch: Record, metric: str, at_ms: int, device_window_ms: int, group_window_ms: int
) -> list[WindowKey]:
    tenant, device = batch["tenant_id"], batch["device_id"]
    group, model = batch["deployment_group"] or "", batch["model_version"] or ""
    in_device, in_group = at_ms - at_ms % device_window_ms, at_ms - at_ms % group_window_ms
    return [
        WindowKey(tenant, "device", device, group, model, metric, in_device, device_window_ms),
        WindowKey(tenant, "group", None, group, model, metric, in_group, group_window_ms),
        WindowKey(tenant, "tenant", None, "", "", metric, in_group, group_window_ms),
    ]


def _add(row: WindowRow, value: float, *, is_skewed: bool, is_duplicate: bool) -> None:
    if is_duplicate:
        row.duplicate_count += 1
        return
    row.skewed_count += is_skewed
    if not math.isfinite(value):
        row.nan_count += 1
    elif abs(value) > VALUE_MAX:
        row.out_of_range_count += 1
    else:
        row.count += 1
        row.sum_fixed += fixed(value)
        row.sum_sq_fixed += square_fixed(value)
        row.min, row.max = min(row.min, value), max(row.max, value)
        row.histogram[bin_index(value)] += 1


def _bits(value: float) -> int:
    return int(struct.unpack("<q", struct.pack("<d", value))[0])
