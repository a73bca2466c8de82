"""Shares (D3): how many points are bad; a share that rose, with the false alarms of one budget.

A window has n trials, the points that were expected, and X of them are bad: missing, NaN, out of
range, an error, of low confidence. One stream keeps one Shiryaev-Roberts e-detector:

    p0     upper 99 % bound (Wilson) of the share learned, from trials / D
    p1     max(5 p0, p0 + 0.01)
    gain   min((X log(p1/p0) + (n - X) log((1-p1)/(1-p0))) / D, log(p1/p0))
    R      <- (1 + R) exp(gain);  alarm when R >= gamma, then R = 0

Points of one window are no independent trials: a burst is one event. Two things keep it honest:

- D, the design effect: the variance of bad points in blocks of 24 windows over the binomial one,
  learned. It covers correlation within a window and along two hours alike: a share that swings
  so makes D large and each window worth less.
- The cap: a window counts at most as much as one bad trial of its own, also when its kind of burst
  was never seen before. It takes log(gamma) / log(p1/p0) windows at least: 8 at p0 = 0.001.

exp(gain) has a mean of at most 1 when the share is at most p0, and points are independent (D = 1),
or all alike in a window (D = n); between the two by simulation (`benchmarks/measure_quality.py`).
So the mean time between false alarms is at least gamma. With one point a window n = 1 and D is the
serial correlation alone. A rise to less than about 2.5 p0 is no matter of this detector.

References:
    Shin, Ramdas, Rinaldo 2022, E-detectors, arXiv 2203.03532 (SR e-detector, ARL >= gamma).
    Wilson 1927, JASA 22 (bound of a share). Kish 1965, Survey Sampling (design effect).
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from udfs.drift.alarms import Alarms, Turns, alarms_of, no_alarms
from udfs.drift.findings import Severity
from udfs.drift.observations import Observations
from udfs.drift.row_tables import Rows, gather, scatter
from udfs.drift.share_bounds import upper_99
from udfs.histogram import Floats
from udfs.partition_clocks import Bools, Int64s

SHARE_ROW = np.dtype(
    [
        ("window_count", "<u4"),  # windows learned from, with at least one trial
        ("trial_count", "<f4"),  # in closed blocks
        ("bad_count", "<f4"),  # in closed blocks
        ("block_square", "<f4"),  # sum over closed blocks of bad^2 / trials
        ("bad_since", "<f4"),  # of the open block; once learned: since first_seen_ms
        ("trials_since", "<f4"),  # as bad_since
        ("evidence", "<f4"),  # R; 0 until the first verdict and after an alarm
        ("climb", "<f4"),  # sum of the gains since it was last below 0
        ("first_seen_ms", "<i8"),  # start of the first window of the climb, or of the open alarm
        ("calm_count", "u1"),  # 1 + calm windows of the open alarm; 0: none is open
    ]
)
"""One share of one stream: 41 bytes."""

BLOCK_WINDOWS = 24
"""Two hours of five minutes. With 12, a swing of two hours a day gave 13 times the false alarms."""

SUSPECT_CLIMB = 3.0
"""A baseline does not learn above it; decided before a window is seen, so without bias."""

DESIGN_SIGMA = 1.645
"""The design effect is an estimate from 42 blocks: its upper 95 % bound is what counts."""

CALM_MAX = 255
EVIDENCE_MAX = 1e37  # float32 ends at 3e38


@dataclass(frozen=True)
class RatePolicy:
    """When a share is too high.

    Args:
        log_gamma: natural log of the mean number of windows between false alarms.
        learn_windows: windows that a baseline is learned from; a multiple of 24.
        first_verdict_windows: from here on there are verdicts, provisional: they never page.
        rise_factor: p1 is at least so many times p0.
        rise_least: p1 is at least so much above p0, 0 to 1.
        clear_windows: so many windows, one after another, whose CUSUM is 0 end an alarm.
    """

    log_gamma: float = 18.56
    learn_windows: int = 1008
    first_verdict_windows: int = 240
    rise_factor: float = 5.0
    rise_least: float = 0.01
    clear_windows: int = 24

    def __post_init__(self) -> None:
        assert self.learn_windows % BLOCK_WINDOWS == 0
        assert self.learn_windows >= self.first_verdict_windows >= BLOCK_WINDOWS
        assert 0 < self.log_gamma < np.log(EVIDENCE_MAX)
        assert self.rise_factor > 1
        assert 0 < self.rise_least < 1
        assert 0 < self.clear_windows < CALM_MAX


@dataclass(frozen=True)
class Trials:
    """Bad points among the points of windows, one window a stream.

    Args:
        windows: whose they are.
        bad_count: shape (n,), 0 to trial_count.
        trial_count: points that were expected, shape (n,); a window with none says nothing.
        detector: name of the alarms.
        severity: of an alarm against a whole baseline.
    """

    windows: Observations
    bad_count: Int64s
    trial_count: Int64s
    detector: str
    severity: Severity = Severity.MINOR

    def take(self, places: Bools) -> "Trials":
        """Return those of some windows."""
        return replace(
            self,
            windows=self.windows.take(places),
            bad_count=self.bad_count[places],
            trial_count=self.trial_count[places],
        )


def empty_shares(count: int) -> Rows:
    """Return the state of streams of which nothing was seen, shape (count,), `SHARE_ROW`."""
    return np.zeros(count, SHARE_ROW)


def update_share(table: Rows, trials: Trials, policy: RatePolicy) -> Turns:
    """Judge one share of one window a stream, then learn from it.

    Args:
        table: `SHARE_ROW` of all streams; the rows of the windows are changed.
        trials: at most one window a stream.
        policy: the budget.
    """
    rows = gather(table, trials.windows.stream)
    turns = judge_share(rows, trials, policy)
    scatter(table, trials.windows.stream, rows)
    return turns


def judge_share(rows: Rows, trials: Trials, policy: RatePolicy) -> Turns:
    """Judge one window of each of some streams; as `update_share`, with their rows in its order."""
    has_any = trials.trial_count > 0
    if has_any.all():
        return _step(rows, trials, policy)
    some = gather(rows, has_any)
    turns = _step(some, trials.take(has_any), policy)
    scatter(rows, has_any, some)
    return turns


def _step(rows: Rows, trials: Trials, policy: RatePolicy) -> Turns:
    is_learned = rows["window_count"] >= policy.learn_windows
    has_verdict = rows["window_count"] >= policy.first_verdict_windows
    learns = ~is_learned & (rows["climb"] < SUSPECT_CLIMB) & (rows["calm_count"] == 0)
    gain = _gain(rows, trials, policy)
    _climb(rows, trials.windows, np.where(has_verdict, gain, 0.0), is_learned)
    _add(rows, trials, learns | is_learned)
    risen = np.minimum((1 + rows["evidence"].astype(np.float64)) * np.exp(gain), EVIDENCE_MAX)
    risen = np.where(has_verdict, risen, 0.0)
    is_sure = risen >= np.exp(policy.log_gamma)
    fired = _fired(rows, trials, risen, is_sure & (rows["calm_count"] == 0), is_learned)
    ended = _follow_open(rows, trials, is_sure, policy)
    rows["evidence"] = np.where(is_sure, 0.0, risen)
    rows["climb"][is_sure] = 0
    _close_blocks(rows, learns)
    return Turns(fired, ended)


def shares_learned(rows: Rows) -> tuple[Floats, Floats, Floats]:
    """Return what closed blocks say of a share.

    Returns:
        The share, its upper 99 % bound (both 0 to 1), and the design effect (at least 1); each of
        shape (n,).

    >>> rows = empty_shares(1)
    >>> rows["window_count"], rows["trial_count"] = 1008, 5040.0
    >>> [round(float(column[0]), 5) for column in shares_learned(rows)]
    [0.0, 0.00107, 1.0]
    """
    bad, trials = rows["bad_count"].astype(np.float64), rows["trial_count"].astype(np.float64)
    share = bad / np.maximum(trials, 1.0)
    blocks = np.maximum(rows["window_count"] // BLOCK_WINDOWS, 2)
    spread = blocks * share * (1 - share)
    excess = rows["block_square"] - share * bad
    found = np.maximum(1.0, excess / np.where(spread > 0, spread, np.inf))
    design = 1 + (found - 1) * (1 + DESIGN_SIGMA * np.sqrt(2 / blocks))
    return share, upper_99(share, trials / design), design


def _gain(rows: Rows, trials: Trials, policy: RatePolicy) -> Floats:
    _, p0, design = shares_learned(rows)
    p1 = np.maximum(policy.rise_factor * p0, p0 + policy.rise_least)
    p1 = np.minimum(p1, (1 + p0) / 2)  # five times 0.3 is no share
    of_bad, of_good = np.log(p1 / p0), np.log1p(-p1) - np.log1p(-p0)
    good_count = trials.trial_count - trials.bad_count
    gain: Floats = (trials.bad_count * of_bad + good_count * of_good) / design
    return np.minimum(gain, of_bad)


def _climb(rows: Rows, windows: Observations, gain: Floats, is_learned: Bools) -> None:
    """Follow the CUSUM of the gains: where it leaves 0 is the likeliest start of a rise."""
    starts = (rows["climb"] <= 0) & (rows["calm_count"] == 0)
    rows["first_seen_ms"] = np.where(starts, windows.start_ms, rows["first_seen_ms"])
    for name in ("bad_since", "trials_since"):
        rows[name][starts & is_learned] = 0
    rows["climb"] = np.maximum(rows["climb"] + gain, 0)


def _add(rows: Rows, trials: Trials, is_added: Bools) -> None:
    rows["bad_since"] += np.where(is_added, trials.bad_count, 0).astype(np.float32)
    rows["trials_since"] += np.where(is_added, trials.trial_count, 0).astype(np.float32)


def _close_blocks(rows: Rows, learns: Bools) -> None:
    """Count what was learned; every 24th window moves the open block to the baseline."""
    if not learns.any():
        return
    rows["window_count"] += learns
    closes = learns & (rows["window_count"] % BLOCK_WINDOWS == 0)
    bad, trials = rows["bad_since"][closes], rows["trials_since"][closes]
    rows["bad_count"][closes] += bad
    rows["trial_count"][closes] += trials
    rows["block_square"][closes] += bad**2 / trials
    rows["bad_since"][closes] = 0
    rows["trials_since"][closes] = 0


def _follow_open(rows: Rows, trials: Trials, is_sure: Bools, policy: RatePolicy) -> Alarms:
    """Count the calm windows of open alarms; return those that are over."""
    is_open = rows["calm_count"] > 0
    is_calm = is_open & ~is_sure & (rows["climb"] <= 0)
    calm = np.where(is_calm, rows["calm_count"] + 1, (is_open | is_sure) * 1)
    is_over = calm > policy.clear_windows
    rows["calm_count"] = np.where(is_over, 0, calm)
    if not is_over.any():
        return no_alarms()
    over = gather(rows, is_over)
    windows = trials.windows.take(is_over)
    began = over["first_seen_ms"]
    return _shares_of(over, windows, trials.detector, first_seen_ms=began, severity="info")


def _fired(
    rows: Rows, trials: Trials, evidence: Floats, is_alarm: Bools, is_learned: Bools
) -> Alarms:
    if not is_alarm.any():
        return no_alarms()
    of_alarm = gather(rows, is_alarm)
    return _shares_of(
        of_alarm,
        trials.windows.take(is_alarm),
        trials.detector,
        severity=np.where(is_learned[is_alarm], trials.severity.value, Severity.WATCH.value),
        first_seen_ms=of_alarm["first_seen_ms"],
        log10_e=np.log10(evidence[is_alarm]),
    )


def _shares_of(rows: Rows, windows: Observations, detector: str, **columns: Any) -> Alarms:
    severity = columns.pop("severity")
    after = rows["bad_since"].astype(np.float64) / np.maximum(rows["trials_since"], 1)
    before = shares_learned(rows)[0]
    return alarms_of(
        windows, detector, severity, direction="up", before=before, after=after, **columns
    )
