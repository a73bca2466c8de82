"""The windows of a log, worked out the slow and obvious way.

Independent of the engine: plain dicts, exact integers, one point at a time. A row is what all
deltas of one window must add up to.

Copies are told by the rules that udfs/dedup.py and udfs/point_dedup.py document, applied to one
message after the other.
"""

import math
import struct
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import Any, NamedTuple

Record = dict[str, Any]

CLOCK_TENANT_ID = "__clock__"
SKEW_MAX_MS = 120_000
EARLIEST_MS = 1_420_070_400_000
"""2015-01-01T00:00Z."""
VALUE_MAX = 1e12
DAY_S = 86_400
DAY_MS = DAY_S * 1000
JUDGED_COUNT = 1024
"""Of each boot so many sequences are judged, down from the highest that was heard."""
SMALL = 2.0**10
"""Squares of smaller values keep 80 binary places, those of others 20."""
HISTOGRAM_LEAST = 2.0**-20


class LogEntry(NamedTuple):
    """One message of the telemetry topic."""

    append_time_ms: int
    partition: int
    offset: int
    batch: Record
    topic: str = "telemetry"


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


@dataclass(slots=True)
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


class Verdict(StrEnum):
    """What is known of a batch with a sequence, or of a point of one without."""

    NEW = "new"
    DUPLICATE = "duplicate"
    TOO_OLD = "too_old"
    """Over 1,023 sequences late: nobody can tell; accepted."""
    AFTER_A_DAY = "after_a_day"
    """Its boot, or the point, was last heard over a day ago: accepted, whatever it was."""


@dataclass
class Boot:
    """What one boot of a device has sent since it was last silent for over a day."""

    heard_ms: int
    highest: int = -1
    sequences: set[int] = field(default_factory=set)


@dataclass
class Memory:
    """All that was heard of devices; nothing is ever dropped, only judged by its age."""

    boots: dict[Any, Boot] = field(default_factory=dict)
    counted_s: dict[Any, int] = field(default_factory=dict)

    def judge_batch(self, batch: Record, at_ms: int) -> Verdict:
        """Tell whether the sequence of a batch was heard before, and remember it."""
        identity = (batch["tenant_id"], batch["device_id"], batch["boot_id"])
        known = self.boots.get(identity)
        is_stale = known is not None and at_ms - known.heard_ms > DAY_MS
        if known is None or is_stale:
            known = self.boots[identity] = Boot(at_ms)
        known.heard_ms = max(known.heard_ms, at_ms)
        sequence = batch["sequence"]
        if sequence <= known.highest - JUDGED_COUNT:
            return Verdict.TOO_OLD
        is_copy = sequence in known.sequences
        known.sequences.add(sequence)
        known.highest = max(known.highest, sequence)
        if is_copy:
            return Verdict.DUPLICATE
        return Verdict.AFTER_A_DAY if is_stale else Verdict.NEW

    def judge_point(self, batch: Record, point: Record, at_ms: int) -> Verdict:
        """Tell whether a point has counted within the day before, by whole seconds."""
        tags = tuple(sorted(point["tags"].items()))
        device = (batch["tenant_id"], batch["device_id"])
        identity = (*device, point["name"], tags, point["timestamp"])
        at_s = at_ms // 1000
        before_s = self.counted_s.get(identity)
        if before_s is not None and at_s - before_s <= DAY_S:
            return Verdict.DUPLICATE
        self.counted_s[identity] = at_s
        return Verdict.NEW if before_s is None else Verdict.AFTER_A_DAY


AccountKey = tuple[str, int, str, str, str]
"""Topic, partition, unit, outcome, reason: as the account has them."""


@dataclass
class Reading:
    """What a log comes to.

    Args:
        windows: every row.
        account: messages and points by what became of them.
        verdicts: how often each was given, to batches ("batch") and points ("point").
    """

    windows: dict[WindowKey, WindowRow] = field(default_factory=dict)
    account: Counter[AccountKey] = field(default_factory=Counter)
    verdicts: Counter[tuple[str, Verdict]] = field(default_factory=Counter)


def windows_of(
    log: Iterable[LogEntry], *, device_window_ms: int = 300_000, group_window_ms: int = 60_000
) -> dict[WindowKey, WindowRow]:
    """Return every window row of a log, as `read_log` does."""
    return read_log(log, device_window_ms, group_window_ms).windows


def read_log(
    log: Iterable[LogEntry], device_window_ms: int = 300_000, group_window_ms: int = 60_000
) -> Reading:
    """Return all that a log of valid messages comes to.

    Args:
        log: messages in any order; they count in the order of their partition.
        device_window_ms: length of the windows of scope device.
        group_window_ms: length of the windows of the scopes group and tenant.
    """
    reading, memory = Reading(), Memory()
    for entry in sorted(log, key=lambda entry: (entry.topic, entry.partition, entry.offset)):
        batch = entry.batch
        if batch["tenant_id"] == CLOCK_TENANT_ID:
            _account(reading, entry, "message", "tick")
            continue
        of_batch = Verdict.NEW
        if batch["sequence"] is not None:
            of_batch = memory.judge_batch(batch, entry.append_time_ms)
            reading.verdicts["batch", of_batch] += 1
        _account(reading, entry, "message", _outcome(of_batch))
        for point in batch["points"]:
            verdict = of_batch
            if batch["sequence"] is None:
                verdict = memory.judge_point(batch, point, entry.append_time_ms)
                reading.verdicts["point", verdict] += 1
            is_duplicate = verdict is Verdict.DUPLICATE
            _account(reading, entry, "point", *_point_outcome(point["value"], verdict))
            at_ms, is_skewed = _corrected(point["timestamp"], entry.append_time_ms)
            alone = _row_of(point["value"], is_skewed=is_skewed, is_duplicate=is_duplicate)
            for key in _keys(batch, point["name"], at_ms, device_window_ms, group_window_ms):
                _add(reading.windows.setdefault(key, WindowRow()), alone)
    return reading


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


def _account(reading: Reading, entry: LogEntry, unit: str, outcome: str, reason: str = "") -> None:
    """Book one message or point on both sides: that it was read, and what it became."""
    place = (entry.topic, entry.partition)
    reading.account[(*place, unit, "read", "")] += 1
    reading.account[(*place, unit, outcome, reason)] += 1


def _outcome(verdict: Verdict) -> str:
    return "duplicate" if verdict is Verdict.DUPLICATE else "accepted"


def _point_outcome(value: float, verdict: Verdict) -> tuple[str, str]:
    if verdict is Verdict.DUPLICATE:
        return "duplicate", ""
    if not math.isfinite(value):
        return "rejected", "nan"
    return ("rejected", "out_of_range") if abs(value) > VALUE_MAX else ("accepted", "")


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


def _row_of(value: float, *, is_skewed: bool, is_duplicate: bool) -> WindowRow:
    """Return the window that has nothing but one point."""
    if is_duplicate:
        return WindowRow(duplicate_count=1)
    if not math.isfinite(value):
        return WindowRow(nan_count=1, skewed_count=int(is_skewed))
    if abs(value) > VALUE_MAX:
        return WindowRow(out_of_range_count=1, skewed_count=int(is_skewed))
    return WindowRow(
        count=1,
        sum_fixed=fixed(value),
        sum_sq_fixed=square_fixed(value),
        min=value,
        max=value,
        histogram=Counter({bin_index(value): 1}),
        skewed_count=int(is_skewed),
    )


def _add(row: WindowRow, other: WindowRow) -> None:
    row.count += other.count
    row.sum_fixed += other.sum_fixed
    row.sum_sq_fixed += other.sum_sq_fixed
    row.min, row.max = min(row.min, other.min), max(row.max, other.max)
    for index, count in other.histogram.items():
        row.histogram[index] += count
    row.nan_count += other.nan_count
    row.out_of_range_count += other.out_of_range_count
    row.skewed_count += other.skewed_count
    row.duplicate_count += other.duplicate_count


def _bits(value: float) -> int:
    return int(struct.unpack("<q", struct.pack("<d", value))[0])
