"""D1: a shift of location or dispersion against a frozen baseline, for many streams at once.

    value -> scales -> code -> season out -> innovation -> bin -> scores -> evidence -> alarm?

Streams that stay calm take all their windows at once; the others one window each, round by round.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from udfs.drift.alarms import Alarms, joined, no_alarms
from udfs.drift.baselines import bins_of, innovations
from udfs.drift.e_sr import advance, log10_of, log_factors, onsets
from udfs.drift.observations import Observations
from udfs.drift.seasons import Season
from udfs.drift.shift_alarms import WATCH_RANK, judge, watch_level
from udfs.drift.shift_blocks import (
    WindowBlock,
    expected_starts,
    store_ends,
    weigh_block,
)  # fmt: skip
from udfs.drift.shift_findings import ShiftPicture, picture_of
from udfs.drift.shift_learning import learn_streams, take_sample, windows_at_once
from udfs.drift.shift_policy import ShiftPolicy
from udfs.drift.shift_table import Phase, Table, empty_shift_rows
from udfs.drift.value_codes import Y_OF_CODE, Codes, codes_of
from udfs.drift.warm_ups import WarmUps
from udfs.histogram import Floats
from udfs.partition_clocks import Bools, Int64s
from udfs.runs import ranks_within, run_starts

NO_EVIDENCE = -np.inf


@dataclass(frozen=True)
class ShiftStep:
    """What one round has shown.

    Args:
        log10_e: evidence of each window's stream, -infinity while it learns, shape (n,).
        fired: alarms that began, or became worse.
        ended: alarms that are over; they began at their `first_seen_ms`.
        pictures: of the alarms in `fired`, as things stood when they fired.
    """

    log10_e: Floats
    fired: Alarms = field(default_factory=no_alarms)
    ended: Alarms = field(default_factory=no_alarms)
    pictures: tuple[ShiftPicture, ...] = ()


@dataclass
class ShiftStreams:
    """The state of many streams; a step changes it in place.

    Args:
        policy: how to judge.
        table: `SHIFT_ROW`, one record a stream.
        warm_ups: windows of streams that still learn.
        seasons: by stream, of those that have one.
    """

    policy: ShiftPolicy
    table: Table = field(default_factory=lambda: empty_shift_rows(0))
    warm_ups: WarmUps = field(init=False)
    seasons: dict[int, Season] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.warm_ups = WarmUps(self.policy.window_count * 5 // 4, self.policy.has_season)

    def grow(self, stream_count: int) -> None:
        """Make room for streams that are new."""
        more = empty_shift_rows(stream_count - len(self.table))
        more["slot"] = self.warm_ups.take_slots(len(more))
        self.table = np.concatenate([self.table, more])

    def forget(self, streams: Int64s) -> None:
        """Let streams learn anew, as after "accept new normal" or a new version."""
        self.warm_ups.release(self.table["slot"][streams][self.table["slot"][streams] >= 0])
        self.table[streams] = empty_shift_rows(len(streams))
        self.table["slot"][streams] = self.warm_ups.take_slots(len(streams))
        for stream in streams.tolist():
            self.seasons.pop(stream, None)

    def observe(self, seen: Observations) -> ShiftStep:
        """Take windows, any number of each stream; those without a finite value say nothing here.

        The result does not depend on how windows are cut into calls.
        """
        log10_e = np.full(len(seen), NO_EVIDENCE)
        is_frozen = self.table["phase"][seen.stream] == Phase.FROZEN
        has_no_alarm = self.table["opened_rank"][seen.stream] == 0
        places = np.flatnonzero(is_frozen & has_no_alarm & seen.has_value)
        calm = seen if len(places) == len(seen) else seen.take(places)
        is_calm = self._observe_calm(calm, log10_e, places)
        if is_calm.all() and len(places) == len(seen):
            return ShiftStep(log10_e)
        rest = np.flatnonzero(seen.has_value & _others(len(seen), places[is_calm]))
        rest = rest[np.lexsort((seen.start_ms[rest], seen.stream[rest]))]
        steps = []
        for places in self._parts(seen.stream[rest]):
            steps.append(self._observe_part(seen.take(rest[places])))
            log10_e[rest[places]] = steps[-1].log10_e
        return ShiftStep(
            log10_e,
            joined([step.fired for step in steps]),
            joined([step.ended for step in steps]),
            tuple(picture for step in steps for picture in step.pictures),
        )

    def _parts(self, streams: Int64s) -> Iterator[Int64s]:
        """Yield places of windows that can be taken at once, until all are.

        Args:
            streams: of each window; those of one stream lie together.
        """
        rows, at, counts = np.unique(streams, return_index=True, return_counts=True)
        ends = at + counts
        while len(rows):
            limit = windows_at_once(self.table, rows, self.warm_ups, self.policy)
            taken = np.minimum(limit, ends - at)
            yield np.repeat(at, taken) + ranks_within(np.repeat(rows, taken))
            at = at + taken
            is_left = at < ends
            rows, at, ends = rows[is_left], at[is_left], ends[is_left]

    def _observe_calm(self, seen: Observations, log10_e: Floats, places: Int64s) -> Bools:
        """Weigh the windows of frozen streams that stay calm; say which windows those are."""
        if not len(seen):
            return np.zeros(0, np.bool_)
        order = np.arange(len(seen))
        # Most calls bring one window of each stream, in order: nothing to move then.
        if not (seen.stream[1:] > seen.stream[:-1]).all():
            order = np.lexsort((seen.start_ms, seen.stream))
            seen = seen.take(order)
        block = self._block(seen)
        found, is_calm = weigh_block(self.table, block, watch_level(self.policy))
        log10_e[places[order[is_calm]]] = found[is_calm]
        back = np.zeros(len(order), np.bool_)
        back[order] = is_calm
        return back

    def _block(self, seen: Observations) -> WindowBlock:
        """Return what windows of streams with a baseline say, whatever the evidence is.

        Args:
            seen: by stream and then by time.
        """
        rows, codes = seen.stream, self._codes(seen)
        y = Y_OF_CODE[codes] - self._expected(rows, seen.start_ms)
        before = np.where(run_starts(rows), self.table["before_y"][rows], np.roll(y, 1))
        is_next = _is_next(seen, expected_starts(self.table, seen))
        e = innovations(y, before, is_next, self.table["phi"][rows].astype(np.float64))
        at = bins_of(e, self.table["edges"][rows])
        factors = log_factors(
            self.table["scores"][rows, at], self.table["spreads"][rows, at], self.table["psi"][rows]
        )
        return WindowBlock(seen, codes, y, is_next, factors)

    def _observe_part(self, seen: Observations) -> ShiftStep:
        """Take windows of streams in order: one of each that is judged, many of one that learns."""
        log10_e = np.full(len(seen), NO_EVIDENCE)
        phase = self.table["phase"][seen.stream]
        is_judged = phase >= Phase.PROVISIONAL
        take_sample(self.table, self.warm_ups, seen.take(phase == Phase.SAMPLING))
        self._take_in(seen.take(phase == Phase.CODING))
        if not is_judged.any():
            return ShiftStep(log10_e)
        seen = seen.take(is_judged)
        found = self._weigh(seen)
        log10_e[is_judged] = found
        fired, ended = judge(self.table, seen, found, self.policy)
        pictures = tuple(
            picture_of(self.table, stream, delay)
            for stream, delay in zip(fired.stream.tolist(), _delays(fired, seen), strict=True)
        )
        return ShiftStep(log10_e, fired, ended, pictures)

    def _take_in(self, seen: Observations) -> None:
        """Keep windows of streams that have no baseline yet."""
        if not len(seen):
            return
        is_next, codes = _is_next(seen, expected_starts(self.table, seen)), self._codes(seen)
        # First: a baseline that is learned now says what the window before the next one was.
        store_ends(self.table, seen, codes, np.zeros(len(seen)))
        self._learn(seen, codes, is_next)

    def _codes(self, seen: Observations) -> Codes:
        """Return codes of values, in scales of their streams."""
        scale = self.table["scale"][seen.stream]
        # Divided first: the difference of two values near 1e308 would overflow.
        scaled: Floats = seen.value / scale - self.table["location"][seen.stream] / scale
        return codes_of(scaled)

    def _weigh(self, seen: Observations) -> Floats:
        """Add the windows to the evidence of their streams, or to what they learn from."""
        block = self._block(seen)
        log10_e = self._evidence(block)
        store_ends(self.table, seen, block.codes, block.y)
        self._learn(seen, block.codes, block.is_next)
        return log10_e

    def _expected(self, rows: Int64s, start_ms: Int64s) -> Floats:
        """Return what the seasons of streams say, in scales."""
        expected = np.zeros(len(rows))
        if self.seasons:
            for row in np.unique(rows).tolist():
                if row in self.seasons:
                    is_own = rows == row
                    expected[is_own] = self.seasons[row].at(start_ms[is_own])
        return expected

    def _evidence(self, block: WindowBlock) -> Floats:
        """Advance the e-detectors of streams, a window each; return log10 of E."""
        rows, factors = block.seen.stream, block.log_factor
        evidence = advance(self.table["evidence"][rows], factors)
        self.table["evidence"][rows] = evidence
        self.table["onset"][rows], self.table["starts_ms"][rows] = onsets(
            self.table["onset"][rows], self.table["starts_ms"][rows], factors, block.seen.start_ms
        )
        return log10_of(evidence)

    def _learn(self, seen: Observations, codes: Codes, is_next: Bools) -> None:
        """Keep the windows of streams that still learn; learn where there are enough."""
        # A baseline never learns while its stream is in alarm. What is only shown does not stop it:
        # against the first hours of a day, the rest of the day is a shift.
        is_alarmed = self.table["opened_rank"][seen.stream] > WATCH_RANK
        learns = (self.table["slot"][seen.stream] >= 0) & ~is_alarmed
        if not learns.any():
            return
        seen = seen.take(learns)
        self.warm_ups.add_codes(
            self.table["slot"][seen.stream], codes[learns], seen.start_ms, is_next[learns]
        )
        rows, counts = np.unique(seen.stream, return_counts=True)
        self.table["observation_count"][rows] += counts.astype(np.uint32)
        np.maximum.at(self.table["until_ms"], seen.stream, seen.start_ms + seen.window_ms)
        self.seasons |= learn_streams(self.table, rows, self.warm_ups, self.policy)


def _is_next(seen: Observations, expected_ms: Int64s) -> Bools:
    """Say which windows follow the one before without a gap: at most half a window off."""
    half_ms = seen.window_ms // 2
    return (seen.start_ms <= expected_ms + half_ms) & (expected_ms <= seen.start_ms + half_ms)


def _others(count: int, calm: Int64s) -> Bools:
    """Return a mask of all places but some."""
    is_other = np.ones(count, np.bool_)
    is_other[calm] = False
    return is_other


def _delays(fired: Alarms, seen: Observations) -> list[int]:
    """Return the windows from the first to the last of each alarm, both counted."""
    window_ms = dict(zip(seen.stream.tolist(), seen.window_ms.tolist(), strict=True))
    spans = (fired.detected_at_ms - fired.first_seen_ms).tolist()
    return [
        max(span // window_ms[stream], 1)
        for span, stream in zip(spans, fired.stream.tolist(), strict=True)
    ]
