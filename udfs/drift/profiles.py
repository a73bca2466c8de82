"""What is usual for the values of a stream: location, spread, steps and repeats, learned once.

The rules about single sensors (`stuck.py`, `unit_change.py`, `saturation.py`) share one record a
stream: it holds what was learned and, field by field, what each rule must remember. Nothing is
learned from a window while a rule holds against its stream, nor after the warm-up: who accepts a
new normal puts an empty row in its place.
"""

from dataclasses import dataclass, field

import numpy as np

from udfs.drift.row_tables import Rows
from udfs.drift.shares import SHARE_ROW, RatePolicy
from udfs.histogram import Floats
from udfs.offline_policy import DAY_MS
from udfs.partition_clocks import Bools, Int64s

QUALITY_ROW = np.dtype(
    [
        ("window_count", "<u4"),  # windows with a value that were learned from
        ("mean", "<f8"),  # of their values, unit of the metric
        ("square", "<f4"),  # sum of squared distances from the mean, unit^2
        ("step_square", "<f4"),  # sum of squared steps from one window to the next, unit^2
        ("repeat_count", "<u2"),  # windows learned that repeat the one before
        ("again_count", "<u2"),  # of these, windows after one that repeats too
        ("longest_run", "<u2"),  # repeats one after another, at most, while learning
        ("anchor", "<f8"),  # value of the window before, or of the first of its run
        ("run_start_ms", "<i8"),  # start of the window that gave the anchor, UTC
        ("run_count", "<u4"),  # repeats since
        (
            "candidate",
            "u1",
        ),  # 1 + place of the map of units that explains a jump; 0, or 255: none does
        ("candidate_count", "u1"),  # windows that it explains, one after another; stays at 255
        ("shift_sum", "<f4"),  # of their values in old units, distance from the mean in sigma
        ("shift_square", "<f4"),  # sum of their squared steps in old units, sigma^2
        ("candidate_start_ms", "<i8"),  # start of the first of them, UTC
        ("smallest", "<f4"),  # value of the open epoch of `saturation.py`
        ("largest", "<f4"),  # value of the open epoch
        ("epoch_windows", "<u2"),  # windows with a value of the open epoch
        ("epoch_repeats", "<u2"),  # of these, windows that repeat the one before
        ("flags", "u1"),  # `Flag`
        ("edge", SHARE_ROW),  # windows at the smallest or largest value
    ]
)
"""Rules about the values of one stream: 118 bytes, 41 of them the share at the edges."""

HAS_ANCHOR = 1
IS_STUCK = 2
HAS_NEW_UNIT = 4
HAS_NEW_RESOLUTION = 8
"""Bits of `flags`: the last three hold against the stream now and were told."""

LEARN_MAX_WINDOWS = 60_000
VALUE_LIMIT = 1e15
"""Values are cut to it where they are squared in 32 bits; telemetry ends at 1e12."""


@dataclass(frozen=True)
class QualityPolicy:
    """How much evidence the rules about values want, and from how much they learn.

    Args:
        log_gamma: natural log of the mean number of windows between false alarms.
        learn_windows: windows with a value that are learned from at least; a multiple of 24.
        learn_ms: event time that they cover at least: a night must have been seen.
        first_verdict_windows: from here on there are verdicts, provisional: they never page.
        edge_rise: rise of the share of windows at the edges of the range that counts, 0 to 1.
    """

    log_gamma: float = 18.56
    learn_windows: int = 1008
    learn_ms: int = DAY_MS
    first_verdict_windows: int = 240
    edge_rise: float = 0.05
    edges: RatePolicy = field(init=False)

    def __post_init__(self) -> None:
        assert self.learn_windows <= LEARN_MAX_WINDOWS
        edges = RatePolicy(
            log_gamma=self.log_gamma,
            learn_windows=self.learn_windows,
            first_verdict_windows=self.learn_windows,  # a range is known late
            rise_least=self.edge_rise,
        )
        object.__setattr__(self, "edges", edges)


@dataclass(frozen=True)
class Standing:
    """How far the warm-up of each stream is; without `has_verdict` there is none.

    Args:
        is_learned: the baseline is whole, shape (n,).
        has_verdict: it is good for a verdict, if only for one that does not page, shape (n,).
    """

    is_learned: Bools
    has_verdict: Bools


def empty_quality(count: int) -> Rows:
    """Return the state of streams of which nothing was seen, shape (count,), `QUALITY_ROW`."""
    return np.zeros(count, QUALITY_ROW)


def standing_of(rows: Rows, window_ms: Int64s, policy: QualityPolicy) -> Standing:
    """Say how far the warm-up is."""
    count = rows["window_count"].astype(np.int64)
    is_long = (count >= policy.learn_windows) & (count * window_ms >= policy.learn_ms)
    is_learned = is_long | (count >= LEARN_MAX_WINDOWS)
    return Standing(is_learned, count >= policy.first_verdict_windows)


def has_flag(rows: Rows, flag: int) -> Bools:
    """Say of each row whether a bit of its flags is set."""
    is_set: Bools = (rows["flags"] & flag) != 0
    return is_set


def put_flag(rows: Rows, flag: int, is_set: Bools) -> None:
    """Set or clear a bit of the flags of all rows."""
    kept = rows["flags"] & (255 - flag)
    rows["flags"] = np.where(is_set, kept | flag, kept)


def is_suspect(rows: Rows) -> Bools:
    """Say of each row whether something holds against it: nothing is learned from it then."""
    told = (rows["flags"] & (IS_STUCK | HAS_NEW_UNIT | HAS_NEW_RESOLUTION)) != 0
    suspect: Bools = told | (rows["candidate"] != 0)
    return suspect


def sigma_of(rows: Rows) -> Floats:
    """Return the standard deviation learned, unit of the metric, shape (n,)."""
    freedom = np.maximum(rows["window_count"].astype(np.float64) - 1, 1)
    sigma: Floats = np.sqrt(rows["square"].astype(np.float64) / freedom)
    return sigma


def learn_values(rows: Rows, value: Floats, step: Floats, learns: Bools) -> None:
    """Add one window to location and spread.

    Args:
        rows: `QUALITY_ROW`, changed.
        value: of the window, cut to `VALUE_LIMIT`, shape (n,).
        step: its distance from the window before; 0 for the first one.
        learns: which rows do.
    """
    rows["window_count"] += learns
    count = np.maximum(rows["window_count"], 1)
    away = np.where(learns, value - rows["mean"], 0.0)
    rows["mean"] += away / count
    rows["square"] += (away * np.where(learns, value - rows["mean"], 0.0)).astype(np.float32)
    rows["step_square"] += np.where(learns, step * step, 0.0).astype(np.float32)
