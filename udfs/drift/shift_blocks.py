"""Many windows of many streams at once, as long as nothing happens to them.

    stream   windows of a block               evidence after each         then
    A        a1 a2 a3 a4 a5           . . . . .                  stored
    B        b1 b2 b3                 . . .                      stored
    C        c1 c2 c3 c4              . . / strong               round by round, as if never tried

What does not depend on the evidence is worked out for all windows together; only the recursion
goes round by round. A stream whose evidence comes near a threshold is left to `ShiftStreams`.
"""

from dataclasses import dataclass

import numpy as np

from udfs.drift.e_sr import Singles, advance, log10_of, onsets
from udfs.drift.observations import Observations
from udfs.drift.shift_table import MARKS, RECENT_COUNT, Table, marks_view
from udfs.drift.value_codes import Codes
from udfs.histogram import Floats
from udfs.partition_clocks import Bools, Int64s
from udfs.runs import ranks_within, run_ends, run_starts


@dataclass(frozen=True)
class WindowBlock:
    """Windows of streams with frozen baselines, by stream and then by time, n of them.

    Args:
        seen: the windows.
        codes: of their values.
        y: their values in scales, season taken out.
        is_next: whether each follows the one before without a gap.
        log_factor: what each adds to the evidence, shape (n, COMPONENT_COUNT).
    """

    seen: Observations
    codes: Codes
    y: Floats
    is_next: Bools
    log_factor: Singles


def weigh_block(table: Table, block: WindowBlock, level: float) -> tuple[Floats, Bools]:
    """Advance the evidence of the streams of a block that stay calm.

    Args:
        table: of all streams; changed where a stream is calm.
        block: its windows, of streams without an open alarm.
        level: log10 of the evidence from which on a stream is not calm.

    Returns:
        log10 of E after each window, and which windows are of calm streams; both of shape (n,).
    """
    streams = block.seen.stream
    evidence, onset, starts_ms = _recursion(table, block)
    log10_e = log10_of(evidence)
    is_calm = _calm_windows(streams, log10_e < level)
    if is_calm.all():
        _store_marks(table, streams, (evidence, onset, starts_ms))
        store_ends(table, block.seen, block.codes, block.y)
    elif is_calm.any():
        marks = evidence[is_calm], onset[is_calm], starts_ms[is_calm]
        _store_marks(table, streams[is_calm], marks)
        store_ends(table, block.seen.take(is_calm), block.codes[is_calm], block.y[is_calm])
    return log10_e, is_calm


def _store_marks(table: Table, streams: Int64s, found: tuple[Singles, Singles, Int64s]) -> None:
    """Remember evidence, CUSUM and its start after the last window of each stream."""
    is_last = run_ends(streams)
    if not is_last.all():
        streams, found = streams[is_last], (found[0][is_last], found[1][is_last], found[2][is_last])
    marks = np.empty(len(streams), MARKS)
    for name, column in zip(MARKS.names or (), found, strict=True):
        marks[name] = column
    view = marks_view(table)
    view[streams] = marks.view(view.dtype)


def _recursion(table: Table, block: WindowBlock) -> tuple[Singles, Singles, Int64s]:
    """Return evidence, CUSUM and its start after each window, shapes (n, COMPONENT_COUNT)."""
    streams, start_ms = block.seen.stream, block.seen.start_ms
    first = np.flatnonzero(run_starts(streams))
    is_single = len(first) == len(streams)
    rows, factors = (
        (streams, block.log_factor) if is_single else (streams[first], block.log_factor[first])
    )
    marks = marks_view(table)[rows].view(MARKS)
    evidence = advance(marks["evidence"], factors)
    onset, starts_ms = onsets(marks["onset"], marks["starts_ms"], factors, start_ms[first])
    if is_single:
        return evidence, onset, starts_ms
    shape = block.log_factor.shape
    found = np.empty(shape, np.float32), np.empty(shape, np.float32), np.empty(shape, np.int64)
    counts = np.diff(first, append=len(streams))
    for number in range(int(counts.max())):
        goes_on = counts > number
        if not goes_on.all():
            first, counts = first[goes_on], counts[goes_on]
            evidence, onset, starts_ms = evidence[goes_on], onset[goes_on], starts_ms[goes_on]
        places = first + number
        if number > 0:
            factors = block.log_factor[places]
            evidence = advance(evidence, factors)
            onset, starts_ms = onsets(onset, starts_ms, factors, start_ms[places])
        found[0][places], found[1][places], found[2][places] = evidence, onset, starts_ms
    return found


def _calm_windows(streams: Int64s, is_low: Bools) -> Bools:
    """Say which windows belong to streams all of whose windows are low."""
    if is_low.all():
        return is_low
    return ~np.isin(streams, np.unique(streams[~is_low]))


def expected_starts(table: Table, seen: Observations) -> Int64s:
    """Return when each window would start if none was missing before it, shape (n,)."""
    ends = np.roll(seen.start_ms + seen.window_ms, 1)
    return np.where(run_starts(seen.stream), table["expected_ms"][seen.stream], ends)


def store_ends(table: Table, seen: Observations, codes: Codes, y: Floats) -> None:
    """Remember the last windows of streams.

    Args:
        table: of all streams; changed in place.
        seen: windows, by stream and then by time.
        codes: of their values.
        y: their values in scales, season taken out.
    """
    if not len(seen):
        return
    is_first = run_starts(seen.stream)
    if is_first.all():
        _store_one(table, seen, codes, y)
        return
    is_last = run_ends(seen.stream)
    rows, rank = seen.stream[is_last], ranks_within(seen.stream)
    counts = rank[is_last] + 1
    is_kept = rank >= np.repeat(counts, counts) - RECENT_COUNT
    kept = seen.stream[is_kept]
    at = (table["recent_count"][kept].astype(np.int64) + rank[is_kept]) % RECENT_COUNT
    table["recent"][kept, at] = codes[is_kept]
    table["recent_count"][rows] += counts.astype(np.uint32)
    table["before_y"][rows] = y[is_last]
    table["expected_ms"][rows] = (seen.start_ms + seen.window_ms)[is_last]


def _store_one(table: Table, seen: Observations, codes: Codes, y: Floats) -> None:
    """Remember one window of each stream: what `store_ends` does, without the ranks."""
    rows, count = seen.stream, table["recent_count"][seen.stream]
    table["recent"][rows, count % RECENT_COUNT] = codes
    table["recent_count"][rows] = count + np.uint32(1)
    table["before_y"][rows] = y
    table["expected_ms"][rows] = seen.start_ms + seen.window_ms
