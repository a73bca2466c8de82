"""All detectors of single streams, one after another, over the same windows.

    windows ──> D1 shifts ──────────────────────────────┐
        └─ round by round ──> D3 rates ──> D5 rules ────┴──> what explains what ──> alarms

What a rule about the measuring itself explains is no drift of what is measured: a sensor that is
stuck, or tells another unit, shifts too.
"""

import math
from dataclasses import dataclass, field, replace

import numpy as np

from udfs.drift.alarms import Alarms, Turns, joined
from udfs.drift.budget import RATE_SHARE, RULE_SHARE, SHIFT_SHARE, Budget
from udfs.drift.findings import Severity
from udfs.drift.observations import Observations
from udfs.drift.profiles import HAS_NEW_UNIT, IS_STUCK, QualityPolicy, empty_quality
from udfs.drift.quality import update_quality
from udfs.drift.rates import empty_rates, update_rates
from udfs.drift.row_tables import Rows
from udfs.drift.shares import BLOCK_WINDOWS, RatePolicy
from udfs.drift.shift_findings import ShiftPicture
from udfs.drift.shift_policy import ShiftPolicy
from udfs.drift.shifts import ShiftStreams
from udfs.histogram import Floats
from udfs.partition_clocks import Bools, Int64s

WATCH_RATIO = 100.0
"""The watch level is this much more likely by chance than a page."""


@dataclass(frozen=True)
class StreamPolicy:
    """How all detectors of streams judge.

    Args:
        shifts: of D1.
        rates: of D3.
        quality: of D5.
    """

    shifts: ShiftPolicy = field(default_factory=ShiftPolicy)
    rates: RatePolicy = field(default_factory=RatePolicy)
    quality: QualityPolicy = field(default_factory=QualityPolicy)


def stream_policy(
    budget: Budget, window_ms: int, metric_count: int, shifts: ShiftPolicy, learn_ms: int
) -> StreamPolicy:
    """Return the policies that keep a budget together.

    Args:
        budget: false pages that are accepted.
        window_ms: length of the windows.
        metric_count: streams of a device that share the budget.
        shifts: of D1; its thresholds are filled in.
        learn_ms: event time that D5 learns from at least.
    """
    gamma = {
        share: budget.gamma(window_ms, metric_count, share)
        for share in (SHIFT_SHARE, RATE_SHARE, RULE_SHARE)
    }
    page = gamma[SHIFT_SHARE]
    learn_windows = max(shifts.window_count // BLOCK_WINDOWS, 1) * BLOCK_WINDOWS
    first_verdict = min(RatePolicy.first_verdict_windows, learn_windows)
    return StreamPolicy(
        replace(shifts, gamma_page=page, gamma_watch=max(page / WATCH_RATIO, 100.0)),
        RatePolicy(
            log_gamma=math.log(gamma[RATE_SHARE]),
            learn_windows=learn_windows,
            first_verdict_windows=first_verdict,
        ),
        QualityPolicy(
            log_gamma=math.log(gamma[RULE_SHARE]),
            learn_windows=learn_windows,
            learn_ms=learn_ms,
            first_verdict_windows=first_verdict,
        ),
    )


@dataclass(frozen=True)
class StreamStep:
    """What a batch of windows has shown.

    Args:
        log10_e: evidence of a shift of each window's stream, -infinity where there is none.
        fired: alarms that began, or became worse.
        ended: alarms that are over; they began at their `first_seen_ms`.
        pictures: of the shifts in `fired`, in the order they have there.
    """

    log10_e: Floats
    fired: Alarms
    ended: Alarms
    pictures: tuple[ShiftPicture, ...] = ()


@dataclass
class StreamDetectors:
    """The state of all detectors of some streams; a step changes it in place."""

    policy: StreamPolicy
    shifts: ShiftStreams = field(init=False)
    rates: Rows = field(default_factory=lambda: empty_rates(0))
    quality: Rows = field(default_factory=lambda: empty_quality(0))
    window_ms: Int64s = field(default_factory=lambda: np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        self.shifts = ShiftStreams(self.policy.shifts)

    def __len__(self) -> int:
        return len(self.window_ms)

    def grow(self, stream_count: int) -> None:
        """Make room for streams that are new."""
        count = stream_count - len(self)
        self.shifts.grow(stream_count)
        self.rates = np.concatenate([self.rates, empty_rates(count)])
        self.quality = np.concatenate([self.quality, empty_quality(count)])
        self.window_ms = np.concatenate([self.window_ms, np.zeros(count, np.int64)])

    def forget(self, streams: Int64s) -> None:
        """Let streams learn anew."""
        self.shifts.forget(streams)
        self.rates[streams] = empty_rates(len(streams))
        self.quality[streams] = empty_quality(len(streams))

    def observe(self, seen: Observations, residual: Floats | None = None) -> StreamStep:
        """Take windows, any number of each stream, in the order of their times.

        Args:
            seen: the windows.
            residual: what D1 looks at instead of their values, NaN for nothing; the rules about
                the measuring look at the values themselves.
        """
        self.window_ms[seen.stream] = seen.window_ms
        turns = Turns.of([self._rules(part) for part in seen.rounds()])
        step = self.shifts.observe(seen if residual is None else replace(seen, value=residual))
        fired = _explained(step.fired, self.has_flaw(step.fired.stream))
        return StreamStep(
            step.log10_e,
            joined([fired, turns.fired]),
            joined([step.ended, turns.ended]),
            step.pictures,
        )

    def _rules(self, seen: Observations) -> Turns:
        rates = update_rates(self.rates, seen, self.policy.rates)
        return Turns.of([rates, update_quality(self.quality, seen, self.policy.quality)])

    def has_flaw(self, streams: Int64s) -> Bools:
        """Say of each stream whether it is stuck, or tells another unit."""
        flaws: Bools = (self.quality["flags"][streams] & (IS_STUCK | HAS_NEW_UNIT)) != 0
        return flaws


def _explained(fired: Alarms, has_flaw: Bools) -> Alarms:
    """Lower the shifts that a flaw of the measuring explains: they page nobody."""
    if not has_flaw.any():
        return fired
    return replace(
        fired,
        severity=np.where(has_flaw, Severity.WATCH.value, fired.severity),
        note=np.where(has_flaw, "explained by its data quality", fired.note),
    )
