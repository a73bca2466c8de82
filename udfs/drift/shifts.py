"""D1: a shift of location or dispersion against a frozen baseline, for many streams at once.

    value -> scales -> code -> season out -> innovation -> bin -> scores -> evidence -> alarm?

One call takes at most one window of each stream; its work is a few dozen steps over columns.
"""

from dataclasses import dataclass, field

import numpy as np

from udfs.drift.alarms import Alarms, joined, no_alarms
from udfs.drift.baselines import bins_of, innovations
from udfs.drift.e_sr import advance, exponents, mixture, onsets
from udfs.drift.observations import Observations, round_places
from udfs.drift.seasons import Season
from udfs.drift.shift_alarms import judge, watch_level
from udfs.drift.shift_blocks import WindowBlock, first_of_stream, weigh_block
from udfs.drift.shift_findings import ShiftPicture, picture_of
from udfs.drift.shift_learning import learn_streams
from udfs.drift.shift_policy import ShiftPolicy
from udfs.drift.shift_table import RECENT_COUNT, Phase, Table, empty_shift_rows
from udfs.drift.value_codes import Y_OF_CODE, codes_of
from udfs.drift.warm_ups import SAMPLE_COUNT, WarmUps, location_and_scale
from udfs.histogram import Floats
from udfs.partition_clocks import Bools, Int64s

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
        places = np.flatnonzero(is_frozen & seen.has_value)
        is_calm = self._observe_calm(seen.take(places), log10_e, places)
        others = np.flatnonzero(seen.has_value & _others(len(seen), places[is_calm]))
        steps = []
        for chosen in round_places(seen.take(others)):
            step = self._observe_round(seen.take(others[chosen]))
            log10_e[others[chosen]] = step.log10_e
            steps.append(step)
        return ShiftStep(
            log10_e,
            joined([step.fired for step in steps]),
            joined([step.ended for step in steps]),
            tuple(picture for step in steps for picture in step.pictures),
        )

    def _observe_calm(self, seen: Observations, log10_e: Floats, places: Int64s) -> Bools:
        """Weigh the windows of frozen streams that stay calm; say which windows those are."""
        if not len(seen):
            return np.zeros(0, np.bool_)
        order = np.lexsort((seen.start_ms, seen.stream))
        seen = seen.take(order)
        is_first = first_of_stream(seen.stream)
        codes = codes_of(self._scaled(seen))
        y = Y_OF_CODE[codes] - self._expected(seen.stream, seen.start_ms)
        before = np.where(is_first, self.table["before_y"][seen.stream], np.roll(y, 1))
        ends = np.roll(seen.start_ms + seen.window_ms, 1)
        expected_ms = np.where(is_first, self.table["expected_ms"][seen.stream], ends)
        is_next = _is_next(seen, expected_ms)
        block = WindowBlock(seen, codes, y, self._log_factors(seen.stream, y, before, is_next))
        found, is_calm = weigh_block(self.table, block, watch_level(self.policy))
        log10_e[places[order[is_calm]]] = found[is_calm]
        back = np.zeros(len(order), np.bool_)
        back[order] = is_calm
        return back

    def _observe_round(self, seen: Observations) -> ShiftStep:
        log10_e = np.full(len(seen), NO_EVIDENCE)
        is_known = self.table["phase"][seen.stream] != Phase.SAMPLING
        if not is_known.all():
            self._sample(seen.take(~is_known))
            seen = seen.take(is_known)
        if not len(seen):
            return ShiftStep(log10_e)
        found = self._weigh(seen)
        log10_e[is_known] = found
        is_judged = found > NO_EVIDENCE
        if not is_judged.any():
            return ShiftStep(log10_e)
        fired, ended = judge(self.table, seen.take(is_judged), found[is_judged], self.policy)
        pictures = tuple(
            picture_of(self.table, stream, delay)
            for stream, delay in zip(fired.stream.tolist(), _delays(fired, seen), strict=True)
        )
        return ShiftStep(log10_e, fired, ended, pictures)

    def _sample(self, seen: Observations) -> None:
        rows, slots = seen.stream, self.table["slot"][seen.stream]
        count = self.table["observation_count"][rows].astype(np.int64)
        self.warm_ups.sample[slots, count] = seen.value
        if self.warm_ups.has_times:
            self.warm_ups.times_ms[slots, count] = seen.start_ms
        self.table["from_ms"][rows[count == 0]] = seen.start_ms[count == 0]
        self.table["observation_count"][rows] = count + 1
        is_full = count + 1 == SAMPLE_COUNT
        self._scale(rows[is_full])
        self.table["expected_ms"][rows] = seen.start_ms + seen.window_ms

    def _scale(self, rows: Int64s) -> None:
        """Learn location and scale of streams whose sample is full."""
        if not len(rows):
            return
        slots = self.table["slot"][rows]
        location, scale = location_and_scale(self.warm_ups.sample[slots])
        self.warm_ups.recode(slots, location, scale)
        self.warm_ups.used[slots] = SAMPLE_COUNT
        self.table["location"][rows], self.table["scale"][rows] = location, scale
        self.table["phase"][rows] = Phase.CODING

    def _scaled(self, seen: Observations) -> Floats:
        """Return values in scales of their streams."""
        scale = self.table["scale"][seen.stream]
        # Divided first: the difference of two values near 1e308 would overflow.
        scaled: Floats = seen.value / scale - self.table["location"][seen.stream] / scale
        return scaled

    def _weigh(self, seen: Observations) -> Floats:
        """Add the windows to the evidence of their streams, or to what they learn from."""
        rows = seen.stream
        is_next = _is_next(seen, self.table["expected_ms"][rows])
        scaled = self._scaled(seen)
        codes = codes_of(scaled)
        y = Y_OF_CODE[codes] - self._expected(rows, seen.start_ms)
        log10_e = self._evidence(rows, y, is_next, seen.start_ms)
        self.table["recent"][rows, self.table["recent_count"][rows] % RECENT_COUNT] = codes
        self.table["recent_count"][rows] += 1
        self.table["before_y"][rows] = y
        self.table["expected_ms"][rows] = seen.start_ms + seen.window_ms
        self._learn(seen, scaled, is_next)
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

    def _evidence(self, rows: Int64s, y: Floats, is_next: Bools, start_ms: Int64s) -> Floats:
        """Advance the e-detectors of streams that have a baseline; return log10 of E."""
        log10_e = np.full(len(rows), NO_EVIDENCE)
        has_baseline = self.table["phase"][rows] >= Phase.PROVISIONAL
        if not has_baseline.any():
            return log10_e
        rows, y, is_next = rows[has_baseline], y[has_baseline], is_next[has_baseline]
        factors = self._log_factors(rows, y, self.table["before_y"][rows], is_next)
        evidence = advance(self.table["evidence"][rows], factors)
        self.table["evidence"][rows] = evidence
        self.table["onset"][rows], self.table["starts_ms"][rows] = onsets(
            self.table["onset"][rows], self.table["starts_ms"][rows], factors,
            start_ms[has_baseline],
        )  # fmt: skip
        log10_e[has_baseline] = np.log10(np.maximum(mixture(evidence), np.finfo(np.float64).tiny))
        return log10_e

    def _log_factors(self, rows: Int64s, y: Floats, before: Floats, is_next: Bools) -> Floats:
        """Return what each window adds to the evidence, shape (n, COMPONENT_COUNT)."""
        e = innovations(y, before, is_next, self.table["phi"][rows].astype(np.float64))
        at = bins_of(e, self.table["edges"][rows])
        exponent = exponents(
            self.table["scores"][rows, at].astype(np.float64),
            self.table["spreads"][rows, at].astype(np.float64),
        )
        factors: Floats = exponent - self.table["psi"][rows]
        return factors

    def _learn(self, seen: Observations, scaled: Floats, is_next: Bools) -> None:
        """Keep the windows of streams that still learn; learn where there are enough."""
        rows = seen.stream
        # A baseline never learns while its stream is in alarm.
        is_open = self.table["opened_rank"][rows] > 0
        does_learn = (self.table["slot"][rows] >= 0) & ~is_open
        rows, ends_ms = rows[does_learn], (seen.start_ms + seen.window_ms)[does_learn]
        if not len(rows):
            return
        self.warm_ups.add_codes(
            self.table["slot"][rows], scaled[does_learn], seen.start_ms[does_learn],
            is_next[does_learn],
        )  # fmt: skip
        self.table["observation_count"][rows] += 1
        self.table["until_ms"][rows] = ends_ms
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
