"""When streams have seen enough, and what their baselines become."""

from collections import defaultdict

import numpy as np

from udfs.drift.baselines import learn
from udfs.drift.observations import Observations
from udfs.drift.seasons import Season, learn_season
from udfs.drift.shift_policy import ShiftPolicy
from udfs.drift.shift_table import LEVELS, Phase, Table
from udfs.drift.value_codes import Y_MAX
from udfs.drift.warm_ups import NO_SLOT, SAMPLE_COUNT, WarmUps, location_and_scale
from udfs.histogram import Floats
from udfs.partition_clocks import Bools, Int64s
from udfs.runs import ranks_within, run_ends

CUT_OFF_RATIO_MAX = 0.05
"""With more windows at the ends of the codes than that, the sample was no sample of the stream."""


def windows_at_once(table: Table, rows: Int64s, warm_ups: WarmUps, policy: ShiftPolicy) -> Int64s:
    """Return how many windows of each stream can be taken before something is learned, or judged.

    Args:
        table: of all streams.
        rows: the streams that are asked for.
        warm_ups: what they have seen.
        policy: how many windows it takes.
    """
    count = table["observation_count"][rows].astype(np.int64)
    is_before_first = count < policy.provisional_count
    due = np.where(is_before_first, policy.provisional_count, policy.window_count)
    phase = table["phase"][rows]
    coding = due - count
    # A gap takes a place of its own in the slot; who has learned for good has none.
    is_coding = phase == Phase.CODING
    room = (warm_ups.slot_size - warm_ups.used[table["slot"][rows[is_coding]]]) // 2
    coding[is_coding] = np.minimum(coding[is_coding], room)
    found = np.select([phase == Phase.SAMPLING, phase == Phase.CODING],
                      [SAMPLE_COUNT - count, coding], default=1)  # fmt: skip
    return np.maximum(found, 1)


def take_sample(table: Table, warm_ups: WarmUps, seen: Observations) -> None:
    """Keep windows of streams whose scale is not known; learn it where the sample is full."""
    if not len(seen):
        return
    slots = table["slot"][seen.stream]
    at = table["observation_count"][seen.stream].astype(np.int64) + ranks_within(seen.stream)
    warm_ups.sample[slots, at] = seen.value
    if warm_ups.has_times:
        warm_ups.times_ms[slots, at] = seen.start_ms
    table["from_ms"][seen.stream[at == 0]] = seen.start_ms[at == 0]
    is_last = run_ends(seen.stream)
    rows = seen.stream[is_last]
    table["observation_count"][rows] = at[is_last] + 1
    table["expected_ms"][rows] = (seen.start_ms + seen.window_ms)[is_last]
    _scale(table, warm_ups, rows[at[is_last] + 1 == SAMPLE_COUNT])


def _scale(table: Table, warm_ups: WarmUps, rows: Int64s) -> None:
    """Learn location and scale of streams whose sample is full."""
    if not len(rows):
        return
    slots = table["slot"][rows]
    location, scale = location_and_scale(warm_ups.sample[slots])
    warm_ups.recode(slots, location, scale)
    warm_ups.used[slots] = SAMPLE_COUNT
    table["location"][rows], table["scale"][rows] = location, scale
    table["phase"][rows] = Phase.CODING


def learn_streams(
    table: Table, rows: Int64s, warm_ups: WarmUps, policy: ShiftPolicy
) -> dict[int, Season]:
    """Learn the baselines that are due; return the seasons among them.

    Args:
        table: of all streams; changed in place.
        rows: streams that have just got a window.
        warm_ups: what they have seen; slots of those that have learned for good are given back.
        policy: how many windows it takes.
    """
    count = table["observation_count"][rows]
    is_first = (count == policy.provisional_count) & (count < policy.window_count)
    is_full = warm_ups.used[table["slot"][rows]] >= warm_ups.slot_size
    span_ms = table["until_ms"][rows] - table["from_ms"][rows]
    is_enough = (count >= policy.window_count) & (span_ms >= policy.min_span_ms)
    is_last = is_enough | is_full
    seasons = _learn(table, rows[is_first & ~is_last], warm_ups, Phase.PROVISIONAL)
    seasons |= _learn(table, rows[is_last], warm_ups, Phase.FROZEN)
    _release(table, rows[is_last], warm_ups)
    return seasons


def _release(table: Table, rows: Int64s, warm_ups: WarmUps) -> None:
    done = rows[table["phase"][rows] == Phase.FROZEN]
    warm_ups.release(table["slot"][done])
    table["slot"][done] = NO_SLOT


def _learn(table: Table, rows: Int64s, warm_ups: WarmUps, phase: Phase) -> dict[int, Season]:
    """Learn streams together that have seen equally many windows."""
    seasons: dict[int, Season] = {}
    parts: dict[int, list[tuple[int, Floats, Bools]]] = defaultdict(list)
    for row in rows.tolist():
        y, times_ms, is_next = warm_ups.values_of(int(table["slot"][row]))
        if (np.abs(y) >= Y_MAX).mean() > CUT_OFF_RATIO_MAX:
            _sample_again(table, row, warm_ups)
            continue
        if warm_ups.has_times:
            seasons[row] = learn_season(y, times_ms, is_next)
            y = y - seasons[row].at(times_ms)
        parts[len(y)].append((row, y, is_next))
    for same in parts.values():
        found, values, follows = zip(*same, strict=True)
        _store(table, np.array(found), np.stack(values), np.stack(follows))
    table["phase"][[row for same in parts.values() for row, _, _ in same]] = phase
    return seasons


def _store(table: Table, rows: Int64s, y: Floats, is_next: Bools) -> None:
    baselines = learn(y, is_next)
    for name, column in vars(baselines).items():
        table[name][rows] = column
    table["quantiles"][rows] = np.quantile(y, LEVELS, axis=1).T
    table["mean_y"][rows] = y.mean(axis=1)
    table["before_y"][rows] = y[:, -1]
    # What was evidence against another baseline is none against this one.
    table["evidence"][rows], table["onset"][rows] = 0.0, 0.0
    table["is_watched"][rows] = False


def _sample_again(table: Table, row: int, warm_ups: WarmUps) -> None:
    table["phase"][row] = Phase.SAMPLING
    table["observation_count"][row] = 0
    warm_ups.used[table["slot"][row]] = 0
