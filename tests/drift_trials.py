"""Bad points among many, drawn for the tests and the measurements of rates."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.drift_windows import round_of
from udfs.drift.alarms import Turns
from udfs.drift.shares import RatePolicy, Trials, update_share

Draw = Callable[[np.random.Generator, int, int], Any]
"""(generator, streams, number of the window) -> bad points of each stream's window."""


def binomial(share: float, trials: int) -> Draw:
    """Points that are bad each for itself."""
    return lambda rng, streams, _: rng.binomial(trials, share, streams)


def beta_binomial(share: float, trials: int, correlation: float) -> Draw:
    """Points whose share is drawn anew for each window, correlated as said within it."""
    size = (1 - correlation) / correlation
    shape = share * size, (1 - share) * size
    return lambda rng, streams, _: rng.binomial(trials, rng.beta(*shape, streams))


def bursts(share: float, trials: int) -> Draw:
    """Windows in which all is bad, or nothing."""
    return lambda rng, streams, _: (rng.random(streams) < share) * trials


def daily(trials: int) -> Draw:
    """Return a share of 2 %, and of 25 % for the first two hours of a day."""
    return lambda rng, streams, at: rng.binomial(trials, 0.25 if at % 288 < 24 else 0.02, streams)


def judged_trials(
    table: Any,
    drawn: tuple[Draw, int],
    windows: range,
    rng: np.random.Generator,
    policy: RatePolicy,
) -> Turns:
    """Return what is said of some windows of all streams of a table."""
    (draw, trials), streams = drawn, len(table)
    found = []
    for at in windows:
        bad = np.asarray(draw(rng, streams, at), np.int64)
        seen = round_of(np.zeros(streams), at)
        of_round = Trials(seen, bad, np.full(streams, trials), "rate")
        found.append(update_share(table, of_round, policy))
    return Turns.of(found)
