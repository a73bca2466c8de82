"""D1: a shift of location or dispersion against a frozen baseline, for many streams at once.

    value -> scales -> code -> season out -> innovation -> bin -> scores -> evidence -> alarm?

One call takes at most one window of each stream; its work is a few dozen steps over columns.
"""

from dataclasses import dataclass, field

import numpy as np

from udfs.drift.alarms import Alarms, no_alarms
from udfs.drift.baselines import bins_of, innovations
from udfs.drift.e_sr import advance, exponents, mixture
from udfs.drift.observations import Observations
from udfs.drift.seasons import Season
from udfs.drift.shift_alarms import judge
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
        ended: alarms that are over.
    """

    log10_e: Floats
    fired: Alarms = field(default_factory=no_alarms)
    ended: Alarms = field(default_factory=no_alarms)


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
        """Take one round of windows; those without a finite value say nothing here."""
        log10_e = np.full(len(seen), NO_EVIDENCE)
        has_value = seen.has_value
        seen = seen.take(has_value)
        is_known = self.table["phase"][seen.stream] != Phase.SAMPLING
        self._sample(seen.take(~is_known))
        known = seen.take(is_known)
        found = self._weigh(known)
        log10_e[np.flatnonzero(has_value)[is_known]] = found
        is_judged = found > NO_EVIDENCE
        fired, ended = judge(self.table, known.take(is_judged), found[is_judged], self.policy)
        return ShiftStep(log10_e, fired, ended)

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

    def _weigh(self, seen: Observations) -> Floats:
        """Add the windows to the evidence of their streams, or to what they learn from."""
        rows = seen.stream
        expected_ms, half_ms = self.table["expected_ms"][rows], seen.window_ms // 2
        is_next = (seen.start_ms <= expected_ms + half_ms) & (
            expected_ms <= seen.start_ms + half_ms
        )
        scaled = (seen.value / self.table["scale"][rows]) - (
            self.table["location"][rows] / self.table["scale"][rows]
        )
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
            for place, row in enumerate(rows.tolist()):
                if row in self.seasons:
                    expected[place] = self.seasons[row].at(start_ms[place : place + 1])[0]
        return expected

    def _evidence(self, rows: Int64s, y: Floats, is_next: Bools, start_ms: Int64s) -> Floats:
        """Advance the e-detectors of streams that have a baseline; return log10 of E."""
        log10_e = np.full(len(rows), NO_EVIDENCE)
        has_baseline = self.table["phase"][rows] >= Phase.PROVISIONAL
        rows, y, is_next = rows[has_baseline], y[has_baseline], is_next[has_baseline]
        phi = self.table["phi"][rows].astype(np.float64)
        e = innovations(y, self.table["before_y"][rows], is_next, phi)
        at = bins_of(e, self.table["edges"][rows])
        exponent = exponents(
            self.table["scores"][rows, at].astype(np.float64),
            self.table["spreads"][rows, at].astype(np.float64),
        )
        before = self.table["evidence"][rows]
        starts = np.where(before < 1, start_ms[has_baseline, None], self.table["starts_ms"][rows])
        evidence = advance(before, exponent - self.table["psi"][rows])
        self.table["evidence"][rows], self.table["starts_ms"][rows] = evidence, starts
        log10_e[has_baseline] = np.log10(np.maximum(mixture(evidence), np.finfo(np.float64).tiny))
        return log10_e

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
