"""From evidence to alarms: one when a shift is sure, one when it is worse, one when it is over.

    log10 E         ___/ gamma         strong again     calm thrice as long as it took
                 __/   |__/ 2    |__/ 2       |________________
                       fires                                  ends

When an alarm fires, its evidence starts from nothing: while the shift lasts it grows strong again.
"""

import numpy as np

from udfs.drift.alarms import Alarms, Words, alarms_of, no_alarms
from udfs.drift.e_sr import DIRECTIONS, SHIFTS, WEIGHTS
from udfs.drift.findings import Severity
from udfs.drift.observations import Observations
from udfs.drift.shift_policy import ShiftPolicy
from udfs.drift.shift_table import NEVER_MS, RECENT_COUNT, Phase, Table
from udfs.drift.value_codes import Y_OF_CODE
from udfs.histogram import Floats
from udfs.partition_clocks import Bools, Int64s

SHIFT = "esr"
"""Name of the detector: a mixture of e-Shiryaev-Roberts statistics."""
STRONG_LOG10_E = 2.0
"""An open alarm is confirmed by it: by chance it comes once in 100 windows."""
RANKS = np.array(["", *Severity], dtype="U8")
WATCH_RANK, _MINOR, _MAJOR, _CRITICAL = 2, 3, 4, 5
CALM_RATIO = 3
CALM_MAX_RATIO = 6
AGAIN_WINDOW_COUNT = 8
"""An alarm becomes worse by so many windows at least: a single far value is no worse shift."""
MAJOR_SIGMA = 1.0
CRITICAL_SIGMA = 2.0


def judge(
    table: Table, seen: Observations, log10_e: Floats, policy: ShiftPolicy
) -> tuple[Alarms, Alarms]:
    """Return alarms that fire and alarms that end.

    Args:
        table: of all streams; the alarms' fields are changed in place.
        seen: the windows that were weighed.
        log10_e: evidence after each.
        policy: thresholds.
    """
    rows = seen.stream
    is_open = table["opened_rank"][rows] > 0
    if not (is_open | (log10_e >= watch_level(policy))).any():
        return no_alarms(), no_alarms()
    counts = table["counts"][rows].sum(axis=1, dtype=np.int64)
    is_over = log10_e >= policy.log10_gamma(policy.gamma_page, counts)
    is_near = log10_e >= policy.log10_gamma(policy.gamma_watch, counts)
    is_watch = is_near & ~is_over & ~table["is_watched"][rows] & ~is_open
    table["is_watched"][rows] |= is_near
    is_sure = is_over | (is_open & (log10_e >= STRONG_LOG10_E))
    rank = np.where(is_watch, WATCH_RANK, 0)
    if is_sure.any():
        rank[is_sure] = _ranks(table, seen.take(is_sure), policy)
    is_new = rank > table["opened_rank"][rows]
    fired = _alarms(table, seen.take(is_new), log10_e[is_new], rank[is_new])
    if is_sure.any():
        _open(table, seen.take(is_sure), rank[is_sure], policy)
    return fired, _end_calm(table, seen.take(is_open & ~is_sure), policy)


def watch_level(policy: ShiftPolicy) -> float:
    """Return the log10 of the evidence below which nothing can fire."""
    return float(np.log10(min(policy.gamma_watch, policy.gamma_page)))


def _ranks(table: Table, seen: Observations, policy: ShiftPolicy) -> Int64s:
    """Return how bad each sure shift is, as a place in `RANKS`."""
    rows = seen.stream
    is_open = table["opened_rank"][rows] > 0
    size = np.abs(shift_sigmas(table, seen, np.where(is_open, AGAIN_WINDOW_COUNT, 1)))
    rank = np.select(
        [size >= CRITICAL_SIGMA, size >= MAJOR_SIGMA], [_CRITICAL, _MAJOR], default=_MINOR
    )
    is_of_location = leading(table, rows) < len(SHIFTS)
    is_small = is_of_location & (size < policy.min_shift_sigma)
    is_provisional = table["phase"][rows] != Phase.FROZEN
    is_quiet = seen.start_ms < table["quiet_until_ms"][rows]
    is_only_shown = is_small | is_quiet | (is_provisional & (not policy.does_provisional_page))
    return np.where(is_only_shown, WATCH_RANK, rank)


def leading(table: Table, rows: Int64s) -> Int64s:
    """Return the component of each stream that has most of the evidence."""
    place: Int64s = (table["evidence"][rows] * WEIGHTS.astype(np.float32)).argmax(axis=1)
    return place


def first_seen_ms(table: Table, rows: Int64s) -> Int64s:
    """Return when the evidence of the leading component began to grow."""
    starts: Int64s = table["starts_ms"][rows, leading(table, rows)]
    return starts


def recent_windows(table: Table, rows: Int64s, counts: Int64s) -> tuple[Floats, Bools]:
    """Return the last windows of streams, in scales, and which of them are among the last `counts`.

    Both of shape (n, RECENT_COUNT), newest first.
    """
    newest = table["recent_count"][rows].astype(np.int64)[:, None] - 1
    at = newest - np.arange(RECENT_COUNT)
    y = Y_OF_CODE[table["recent"][rows[:, None], at % RECENT_COUNT]]
    is_in = (np.arange(RECENT_COUNT) < counts[:, None]) & (at >= 0)
    return np.where(is_in, y, 0.0), is_in


def shift_sigmas(table: Table, seen: Observations, least: Int64s) -> Floats:
    """Return how far the windows since the shift began lie from the baseline's mean, in scales.

    Args:
        table: of all streams.
        seen: their last windows.
        least: so many windows are looked at in any case, shape (n,).
    """
    rows = seen.stream
    counts = np.maximum(delays(table, seen), least)
    y, is_in = recent_windows(table, rows, counts)
    total = np.zeros(len(rows))
    # Added one after the other: the rounding of numpy's own sum depends on the shape.
    for place in range(RECENT_COUNT):
        total += y[:, place]
    shift: Floats = total / np.maximum(is_in.sum(axis=1), 1) - table["mean_y"][rows]
    return shift


def delays(table: Table, seen: Observations) -> Int64s:
    """Return the windows from the one in which the shift began to this one, both counted."""
    span_ms = seen.start_ms - first_seen_ms(table, seen.stream)
    between: Int64s = span_ms // np.maximum(seen.window_ms, 1)
    return np.maximum(between, 0) + 1


def _alarms(table: Table, seen: Observations, log10_e: Floats, rank: Int64s) -> Alarms:
    if not len(seen):
        return no_alarms()
    rows = seen.stream
    shift = shift_sigmas(table, seen, np.ones(len(rows), np.int64))
    location, scale = table["location"][rows], table["scale"][rows]
    usual = location + scale * table["mean_y"][rows]
    return alarms_of(
        seen,
        SHIFT,
        RANKS[rank],
        direction=_directions(table, rows),
        first_seen_ms=first_seen_ms(table, rows),
        log10_e=log10_e,
        before=usual,
        after=usual + scale * shift,
    )


def _directions(table: Table, rows: Int64s) -> Words:
    words: Words = np.array(DIRECTIONS)[leading(table, rows)]
    return words


def _open(table: Table, seen: Observations, rank: Int64s, policy: ShiftPolicy) -> None:
    """Note alarms that are new or confirmed, and start their evidence from nothing."""
    rows = seen.stream
    is_first = table["opened_rank"][rows] == 0
    # To be strong again takes evidence about 40 % of the time that it took to be sure.
    delay = np.maximum(CALM_RATIO * delays(table, seen), policy.clear_windows)
    wanted = np.minimum(delay, CALM_MAX_RATIO * policy.clear_windows)
    table["opened_ms"][rows[is_first]] = (seen.start_ms + seen.window_ms)[is_first]
    table["calm_wanted"][rows[is_first]] = wanted[is_first]
    table["opened_rank"][rows] = np.maximum(table["opened_rank"][rows], rank)
    table["evidence"][rows] = 0.0
    table["calm_count"][rows] = 0


def _end_calm(table: Table, seen: Observations, policy: ShiftPolicy) -> Alarms:
    """Count the windows of open alarms that were not strong; end those that were calm enough."""
    rows = seen.stream
    table["calm_count"][rows] += 1
    is_over = table["calm_count"][rows] >= table["calm_wanted"][rows]
    if not is_over.any():
        return no_alarms()
    ended = seen.take(is_over)
    opened_ms = table["opened_ms"][ended.stream]
    words = RANKS[table["opened_rank"][ended.stream]]
    alarms = alarms_of(ended, SHIFT, words, first_seen_ms=opened_ms)
    table["quiet_until_ms"][ended.stream] = opened_ms + policy.cooldown_ms
    table["opened_ms"][ended.stream] = NEVER_MS
    table["opened_rank"][ended.stream] = 0
    table["is_watched"][ended.stream] = False
    return alarms
