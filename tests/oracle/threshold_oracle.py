"""What threshold rules tell, worked out the slow and obvious way.

Independent of the engine: every point is kept, every figure is worked out anew from its points,
and all breaches of a series from all its windows, at each instant at which something may change.
One rule, one tenant, rules written before the log; the rules of the engine's documents otherwise.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from tests.oracle.windows_oracle import bin_index, fixed

MINUTE_MS = 60_000
COMPLETE_AFTER_MS = 10 * MINUTE_MS
GROUP_LAG_MS = 3 * MINUTE_MS
KEPT_MS = 30 * MINUTE_MS
OLD_AFTER_MS = 15 * MINUTE_MS
WINDOW_MS = {"device": 5 * MINUTE_MS, "group": MINUTE_MS}


class Heard(NamedTuple):
    """One message: a device's points as (metric, event time, value), appended at `at_ms`."""

    at_ms: int
    device_id: str
    group: str
    points: tuple[tuple[str, int, float], ...]
    model: str | None = None


@dataclass(frozen=True)
class Wanted:
    """A rule, as plain values."""

    per: str
    metric: str
    aggregate: str
    operator: str
    threshold: float
    clear: float
    for_windows: int


class Said(NamedTuple):
    """What one event says."""

    found_ms: int
    subject: str
    seq: int
    status: str
    start_ms: int
    ends_ms: int | None
    value: float | None
    reason: str | None
    is_backfilled: bool
    is_notified: bool
    is_taken_back: bool = False


class Breach(NamedTuple):
    """A stretch in breach; `end` is None while it lasts."""

    start: int
    confirmed: int
    value: float
    end: int | None
    good_value: float | None


@dataclass
class Window:
    """All points of one window, and when the last came."""

    values: list[float] = field(default_factory=list)
    touched_ms: int = 0
    is_complete: bool = False


@dataclass
class Memory:
    """What is known of one subject."""

    windows: dict[int, Window] = field(default_factory=dict)
    newest: int = -1
    told: dict[int, Said] = field(default_factory=dict)
    sealed: int = -1


def events_of(log: Sequence[Heard], wanted: Wanted, until_ms: int) -> list[Said]:
    """Return all that one rule says over a log, below an instant."""
    said: list[Said] = []
    known: dict[str, Memory] = {}
    for message in sorted(log, key=lambda each: each.at_ms):
        said += _pass_time(known, wanted, message.at_ms)
        name = message.device_id if wanted.per == "device" else message.group
        memory = known.setdefault(name, Memory())
        _seal(memory, message.at_ms, WINDOW_MS[wanted.per])
        _hear(memory, message, wanted)
        said += _look(name, memory, wanted, message.at_ms)
    return said + _pass_time(known, wanted, until_ms)


def _pass_time(known: dict[str, Memory], wanted: Wanted, below_ms: int) -> list[Said]:
    """Complete the windows that time completes before an instant, one instant after the other."""
    late = WINDOW_MS[wanted.per] + COMPLETE_AFTER_MS
    instants = {
        start + late for memory in known.values()
        for start, window in memory.windows.items() if not window.is_complete
    }  # fmt: skip
    said = []
    for now_ms in sorted(each for each in instants if each < below_ms):
        for name, memory in sorted(known.items()):
            due = [w for s, w in memory.windows.items() if s + late == now_ms]
            if any(not window.is_complete for window in due):
                _seal(memory, now_ms, WINDOW_MS[wanted.per])
                due[0].is_complete = True
                said += _look(name, memory, wanted, now_ms)
    return said


def _seal(memory: Memory, now_ms: int, length: int) -> None:
    """Note up to which window of the wanted metric nothing may change any more."""
    for start, window in memory.windows.items():
        if max(start + length, window.touched_ms) + KEPT_MS < now_ms:
            memory.sealed = max(memory.sealed, start)


def _hear(memory: Memory, message: Heard, wanted: Wanted) -> None:
    length = WINDOW_MS[wanted.per]
    for metric, time_ms, value in message.points:
        start = time_ms - time_ms % length
        memory.newest = max(memory.newest, start)
        if metric == wanted.metric and start > memory.sealed:
            window = memory.windows.setdefault(start, Window())
            window.values.append(value)
            window.touched_ms = message.at_ms
    lag = GROUP_LAG_MS if wanted.per == "group" else 0
    for start, window in memory.windows.items():
        is_left_behind = memory.newest >= start + length + lag
        is_overdue = start + length + COMPLETE_AFTER_MS < message.at_ms
        window.is_complete = window.is_complete or is_left_behind or is_overdue


def figure_of(values: list[float], aggregate: str) -> float:
    """Return the figure of a window's points."""
    if aggregate in ("count", "min", "max"):
        return float({"count": len, "min": min, "max": max}[aggregate](values))
    if aggregate in ("mean", "sum"):
        total = Fraction(sum(fixed(value) for value in values), 2**50)
        if aggregate == "sum":
            return float(total)
        return min(max(float(total / len(values)), min(values)), max(values))
    rank = max(1, math.ceil(int(aggregate[1:]) / 100 * len(values)))
    index = sorted(bin_index(value) for value in values)[rank - 1]
    return min(max(_middle(index), min(values)), max(values))


def _middle(index: int) -> float:
    """Return the middle of a bin: 64 bins of equal width from 2^e to 2^(e+1), bin 1 at 2^-20."""
    if index == 0:
        return 0.0
    octave, part = divmod(abs(index) - 1, 64)
    middle = 2.0 ** (octave - 20) * (1 + (part + 0.5) / 64)
    return math.copysign(middle, index)


def _is_bad(value: float, operator: str, limit: float) -> bool:
    return {
        ">": value > limit, ">=": value >= limit, "<": value < limit, "<=": value <= limit
    }[operator]  # fmt: skip


def breaches_of(figures: dict[int, float], wanted: Wanted, length: int) -> list[Breach]:
    """Return all breaches of a series, from all its complete windows that have points."""
    found: list[Breach] = []
    row: list[int] = []
    is_open = False
    for start in sorted(figures):
        value = figures[start]
        if is_open:
            if not _is_bad(value, wanted.operator, wanted.clear):
                found[-1] = found[-1]._replace(end=start, good_value=value)
                is_open, row = False, []
            continue
        if not _is_bad(value, wanted.operator, wanted.threshold):
            row = []
            continue
        row = [*row, start] if row and row[-1] + length == start else [start]
        if len(row) == wanted.for_windows:
            found.append(Breach(row[0], start + length, value, None, None))
            is_open = True
    return found


def _look(name: str, memory: Memory, wanted: Wanted, now_ms: int) -> list[Said]:
    """Compare the breaches with what was told of them."""
    figures = {
        start: figure_of(window.values, wanted.aggregate)
        for start, window in memory.windows.items()
        if window.is_complete
    }
    free = breaches_of(figures, wanted, WINDOW_MS[wanted.per])
    every = list(free)
    said = []
    ends = {breach.end for breach in every}
    order = sorted(
        memory.told.values(),
        key=lambda s: (
            s.status != "firing",
            (s.start_ms if s.is_taken_back else s.ends_ms) not in ends,
            s.start_ms,
        ),
    )
    for last in order:
        breach = _breach_of(last, free, memory)
        if breach is not None:
            free.remove(breach)
        change = _change(last, breach, every, now_ms)
        if change is not None:
            value = figures.get(last.start_ms) if breach is None else change.value
            said.append(change._replace(value=value))
    said += [_breach_said(name, 1, breach, None, now_ms) for breach in free]
    memory.told |= {each.start_ms: each for each in said}
    return said


def _stretch(last: Said) -> tuple[int, float]:
    """Return the time that an episode was last said to take; nothing when it was taken back."""
    if last.status == "firing":
        return last.start_ms, math.inf
    return last.start_ms, last.start_ms if last.is_taken_back else float(last.ends_ms or 0)


def _is_shared(last: Said, breach: Breach) -> bool:
    start, end = _stretch(last)
    return breach.start < end and start < (math.inf if breach.end is None else breach.end)


def _breach_of(last: Said, free: list[Breach], memory: Memory) -> Breach | None:
    """Return the breach with an episode's start, else the first that shares time with it."""
    same = [breach for breach in free if breach.start == last.start_ms]
    shared = [b for b in free if b.start not in memory.told and _is_shared(last, b)]
    return next(iter([*same, *shared]), None)


def _change(last: Said, breach: Breach | None, every: list[Breach], now_ms: int) -> Said | None:
    """Return what is to be said of an episode that was told of before."""
    late, name, seq = "late_data_correction", last.subject, last.seq + 1
    is_firing = last.status == "firing"
    if breach is not None:
        if is_firing and breach.end is not None:
            is_old = breach.end < now_ms - OLD_AFTER_MS
            return Said(
                now_ms, name, seq, "resolved", last.start_ms, breach.end, breach.good_value, None,
                is_old, last.is_notified,
            )  # fmt: skip
        if is_firing or (not last.is_taken_back and last.ends_ms == breach.end):
            return None
        again = _breach_said(name, seq, breach, late, now_ms)
        return again._replace(start_ms=last.start_ms)
    if is_firing:
        return Said(
            now_ms, name, seq, "resolved", last.start_ms, now_ms, None, late,
            is_backfilled=False, is_notified=last.is_notified, is_taken_back=True,
        )  # fmt: skip
    if last.is_taken_back or any(_is_shared(last, each) for each in every):
        return None
    return Said(
        now_ms, name, seq, "info", last.start_ms, last.ends_ms, None, late,
        is_backfilled=False, is_notified=False, is_taken_back=True,
    )  # fmt: skip


def _breach_said(name: str, seq: int, breach: Breach, reason: str | None, now_ms: int) -> Said:
    is_old, is_over = breach.confirmed < now_ms - OLD_AFTER_MS, breach.end is not None
    status = "resolved" if is_over else "firing"
    return Said(
        now_ms, name, seq, status, breach.start, breach.end, breach.value, reason, is_old,
        not is_over,
    )  # fmt: skip
