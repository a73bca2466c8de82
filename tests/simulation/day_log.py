"""The log of a script, hour by hour, as columns in the order in which the brokers wrote it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.simulation.day_faults import (
    HOUR_MS,
    JITTER_MS,
    NEVER_MS,
    PARTITIONS,
    SECOND_MS,
    STARTED_AT_MS,
    Habit,
    Int64s,
    Script,
    Span,
)

TICK_MS = 5 * SECOND_MS
NOBODY = -1
COPIED_RATIO = 0.01
REGULAR, AT_BEGIN, AT_END, SLOT_NUMBERS = 0, 1, 2, 4


@dataclass(frozen=True)
class Hour:
    """Records of one hour, each array of shape (n,), in the order of the true time.

    Args:
        true_ms: by a clock that is right.
        append_ms: by the broker's.
        clock_ms: input clock of the partition at the record.
        device: number, `NOBODY` for a tick.
        sequence: of the device's contact.
        partition: where it was written.
        offset: and at which offset.
    """

    true_ms: Int64s
    append_ms: Int64s
    clock_ms: Int64s
    device: Int64s
    sequence: Int64s
    partition: Int64s
    offset: Int64s


Contacts = tuple[Int64s, Int64s, Int64s]
"""Time, device and sequence."""


def hours_of(script: Script) -> Iterator[Hour]:
    """Yield the log, numbered and with its input clocks."""
    next_offset = np.zeros(PARTITIONS, np.int64)
    clock_ms = np.full(PARTITIONS, -1, np.int64)
    for hour in range(script.plan.hours):
        true_ms, device, sequence, partition = _records(script, hour)
        append_ms = true_ms.copy()
        for span in script.behind:
            append_ms -= span.behind_ms * _within(span, partition, true_ms)
        clocks, offset = np.empty_like(true_ms), np.empty_like(true_ms)
        for each in range(PARTITIONS):
            own = np.flatnonzero(partition == each)
            if len(own):
                clocks[own] = np.maximum(np.maximum.accumulate(append_ms[own]), clock_ms[each])
                clock_ms[each] = clocks[own[-1]]
            offset[own] = next_offset[each] + np.arange(len(own))
            next_offset[each] += len(own)
        yield Hour(true_ms, append_ms, clocks, device, sequence, partition, offset)


def _records(script: Script, hour: int) -> tuple[Int64s, Int64s, Int64s, Int64s]:
    draw = np.random.default_rng([script.plan.seed, 1, hour])
    contacts = _spoken(script, hour, draw)
    copies = _copies(script, hour, contacts, draw)
    time_ms, device, sequence = (
        np.concatenate(both) for both in zip(contacts, copies, strict=True)
    )
    home, moved_to = script.partition[device], script.moved_to[device]
    partition = np.where(time_ms < script.move_ms[device], home, moved_to)
    ticks_ms, spoke = _ticks(script, hour)
    time_ms = np.concatenate([ticks_ms, time_ms])
    nothing = np.full(len(ticks_ms), NOBODY)
    device, sequence = np.concatenate([nothing, device]), np.concatenate([nothing, sequence])
    partition = np.concatenate([spoke, partition])
    heard = np.ones(len(time_ms), np.bool_)
    for span in script.outages:
        heard &= ~_within(span, partition, time_ms)
    order = np.argsort(time_ms[heard], kind="stable")
    return tuple(column[heard][order] for column in (time_ms, device, sequence, partition))


def _spoken(script: Script, hour: int, draw: np.random.Generator) -> Contacts:
    """Return what devices send in an hour: their reports, and both ends of their silences."""
    begin_ms, parts = STARTED_AT_MS + hour * HOUR_MS, []
    for interval_ms in np.unique(script.interval_ms).tolist():
        device = np.flatnonzero(script.interval_ms == interval_ms)
        slots = np.arange(HOUR_MS // interval_ms)
        late_ms = draw.integers(0, JITTER_MS, (len(device), len(slots)))
        time_ms = begin_ms + script.phase_ms[device][:, None] + slots * interval_ms + late_ms
        parts.append((time_ms.ravel(), np.repeat(device, len(slots))))
    for time_ms in (script.silences.begin_ms, script.silences.end_ms):
        inside = (time_ms >= begin_ms) & (time_ms < begin_ms + HOUR_MS)
        parts.append((time_ms[inside], script.silences.device[inside]))
    kinds = (*[REGULAR] * (len(parts) - 2), AT_BEGIN, AT_END)
    time_ms, device, sequence = (
        np.concatenate(columns)
        for columns in zip(
            *((t, d, _sequence(script, t, d, k)) for (t, d), k in zip(parts, kinds, strict=True)),
            strict=True,
        )
    )
    spoken = ~_is_silent(script, time_ms, device)
    return time_ms[spoken], device[spoken], sequence[spoken]


def _sequence(script: Script, time_ms: Int64s, device: Int64s, kind: int) -> Int64s:
    slot = (time_ms - STARTED_AT_MS) // script.interval_ms[device]
    numbered: Int64s = slot * SLOT_NUMBERS + kind
    return numbered


def _is_silent(script: Script, time_ms: Int64s, device: Int64s) -> NDArray[np.bool_]:
    """Return which contacts lie strictly within a silence of their device."""
    if not len(time_ms):
        return np.zeros(0, np.bool_)
    first_ms, last_ms = int(time_ms.min()), int(time_ms.max())
    width = last_ms - first_ms + 3
    silences = script.silences
    chosen = (silences.begin_ms <= last_ms) & (silences.end_ms >= first_ms)
    base = silences.device[chosen] * width + 1
    order = np.argsort(device * width + 1 + time_ms - first_ms, kind="stable")
    keys = (device * width + 1 + time_ms - first_ms)[order]
    from_ms = np.maximum(silences.begin_ms[chosen] - first_ms, -1)
    until_ms = np.minimum(silences.end_ms[chosen] - first_ms, width - 2)
    depth = np.zeros(len(keys) + 1, np.int64)
    np.add.at(depth, np.searchsorted(keys, base + from_ms, "right"), 1)
    np.add.at(depth, np.searchsorted(keys, base + until_ms, "left"), -1)
    silent = np.empty(len(keys), np.bool_)
    silent[order] = np.cumsum(depth[:-1]) > 0
    return silent


def _copies(script: Script, hour: int, contacts: Contacts, draw: np.random.Generator) -> Contacts:
    """Return exact duplicates: some seconds later, and of the last contact before a silence."""
    time_ms, device, sequence = contacts
    end_ms = STARTED_AT_MS + (hour + 1) * HOUR_MS
    again_ms = time_ms + draw.integers(1, 20_000, len(time_ms))
    # The memory of what was heard ends with a device's registration: none of those here.
    copied = (draw.random(len(time_ms)) < COPIED_RATIO) & (again_ms < end_ms)
    copied &= ~np.isin(script.habit[device], (Habit.REMOVED, Habit.MOVING))
    silences = script.silences
    resent = (silences.resent_ms >= end_ms - HOUR_MS) & (silences.resent_ms < end_ms)
    resent &= silences.resent_ms < NEVER_MS
    of, first_ms = silences.device[resent], silences.begin_ms[resent]
    return (
        np.concatenate([again_ms[copied], silences.resent_ms[resent]]),
        np.concatenate([device[copied], of]),
        np.concatenate([sequence[copied], _sequence(script, first_ms, of, AT_BEGIN)]),
    )


def _ticks(script: Script, hour: int) -> tuple[Int64s, Int64s]:
    begin_ms = STARTED_AT_MS + hour * HOUR_MS
    ticks_ms = np.arange(begin_ms, begin_ms + HOUR_MS, TICK_MS)
    time_ms = np.repeat(ticks_ms, PARTITIONS)
    partition = np.tile(np.arange(PARTITIONS), len(ticks_ms))
    spoken = np.ones(len(time_ms), np.bool_)
    for span in script.ticks_away:
        spoken &= ~_within(span, partition, time_ms)
    return time_ms[spoken], partition[spoken]


def _within(span: Span, partition: Int64s, time_ms: Int64s) -> NDArray[Any]:
    inside: NDArray[Any] = (partition == span.partition) & (time_ms > span.begin_ms)
    return inside & (time_ms < span.end_ms)
