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

from udfs.drift.e_sr import advance, log10_of, onsets
from udfs.drift.observations import Observations
from udfs.drift.shift_table import RECENT_COUNT, Table
from udfs.drift.value_codes import Codes
from udfs.histogram import Floats
from udfs.partition_clocks import Bools, Int64s, ranks_within


@dataclass(frozen=True)
class WindowBlock:
    """Windows of streams with frozen baselines, by stream and then by time, n of them.

    Args:
        seen: the windows.
        codes: of their values.
        y: their values in scales, season taken out.
        log_factor: what each adds to the evidence, shape (n, COMPONENT_COUNT).
    """

    seen: Observations
    codes: Codes
    y: Floats
    log_factor: Floats


def first_of_stream(streams: Int64s) -> Bools:
    """Say which windows are the first of their stream; streams in order, shape (n,)."""
    is_first: Bools = np.ones(len(streams), np.bool_)
    is_first[1:] = streams[1:] != streams[:-1]
    return is_first


def weigh_block(table: Table, block: WindowBlock, level: float) -> tuple[Floats, Bools]:
    """Advance the evidence of the streams of a block that stay calm.

    Args:
        table: of all streams; changed where a stream is calm.
        block: its windows.
        level: log10 of the evidence from which on a stream is not calm.

    Returns:
        log10 of E after each window, and which windows are of calm streams; both of shape (n,).
    """
    streams = block.seen.stream
    rank = ranks_within(streams)
    order = np.argsort(rank, kind="stable")
    rounds = np.split(order, np.cumsum(np.bincount(rank))[:-1])
    evidence = np.zeros(block.log_factor.shape, np.float32)
    onset, starts_ms = np.zeros_like(evidence), np.zeros(evidence.shape, np.int64)
    for number, places in enumerate(rounds):
        rows, factors = streams[places], block.log_factor[places]
        is_first = number == 0
        before = table["evidence"][rows] if is_first else evidence[places - 1]
        evidence[places] = advance(before, factors)
        below = table["onset"][rows] if is_first else onset[places - 1]
        since = table["starts_ms"][rows] if is_first else starts_ms[places - 1]
        onset[places], starts_ms[places] = onsets(
            below, since, factors, block.seen.start_ms[places]
        )
    log10_e = log10_of(evidence)
    is_calm = _calm_windows(streams, (log10_e < level) & (table["opened_rank"][streams] == 0))
    is_last = np.roll(first_of_stream(streams), -1) & is_calm
    rows = streams[is_last]
    table["evidence"][rows] = evidence[is_last]
    table["onset"][rows], table["starts_ms"][rows] = onset[is_last], starts_ms[is_last]
    store_ends(table, block.seen.take(is_calm), block.codes[is_calm], block.y[is_calm])
    return log10_e, is_calm


def _calm_windows(streams: Int64s, is_low: Bools) -> Bools:
    """Say which windows belong to streams all of whose windows are low."""
    if is_low.all():
        return is_low
    return ~np.isin(streams, np.unique(streams[~is_low]))


def expected_starts(table: Table, seen: Observations) -> Int64s:
    """Return when each window would start if none was missing before it, shape (n,)."""
    ends = np.roll(seen.start_ms + seen.window_ms, 1)
    return np.where(first_of_stream(seen.stream), table["expected_ms"][seen.stream], ends)


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
    is_last = np.roll(first_of_stream(seen.stream), -1)
    rows, rank = seen.stream[is_last], ranks_within(seen.stream)
    counts = rank[is_last] + 1
    is_kept = rank >= np.repeat(counts, counts) - RECENT_COUNT
    kept = seen.stream[is_kept]
    at = (table["recent_count"][kept].astype(np.int64) + rank[is_kept]) % RECENT_COUNT
    table["recent"][kept, at] = codes[is_kept]
    table["recent_count"][rows] += counts.astype(np.uint32)
    table["before_y"][rows] = y[is_last]
    table["expected_ms"][rows] = (seen.start_ms + seen.window_ms)[is_last]
