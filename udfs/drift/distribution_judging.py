"""D2's verdict on blocks: is the index large, and is it no chance?

    pages   iff  PSI >= 0.2  and  chance < alpha  and, of an hour, the one before looked odd too
    shown   iff  PSI >= 0.1  and  chance < alpha

The chance is not that of independent points: devices, hours and scenes hang together. With m
blocks learned while all was well, the index over its usual mean is held against F(v, v m), v by
the variance of those blocks (Thomas, Rao 1987). So n_eff, the points that a block is worth, is
(B - 1) / usual mean; below the contract's gate, chi2(B-1, alpha) / 0.2, an index of 0.2 is not
below alpha. And 1.5 times the largest index of the blocks learned from is wanted.
"""

from dataclasses import dataclass, replace

import numpy as np

from udfs.drift.distances import log10_tail_of_f, stability_index
from udfs.drift.distribution_learning import (
    FREEDOM_MIN,
    freedom,
    independent_blocks,
    usual_points,
    usual_psi,
)
from udfs.drift.distribution_policy import DistributionPolicy
from udfs.drift.row_tables import Rows
from udfs.drift.shift_alarms import RANKS
from udfs.histogram import Floats
from udfs.offline_policy import HOUR_MS
from udfs.partition_clocks import Bools, Int64s

HOUR, DAY = "hour", "day"
ABOVE_MAX_RATIO = 1.5
ODD_LOG10 = -3.0
"""Chance from which on a block looks odd: where an alarm follows, it began there."""
CALM_LOG10 = -4.0
DAY_FREEDOM_RATIO = 0.5
LOG10_MIN = -300.0
NONE, WATCH, MINOR, MAJOR, CRITICAL = 0, 2, 3, 4, 5
assert tuple(RANKS[[WATCH, MINOR, MAJOR, CRITICAL]]) == ("watch", "minor", "major", "critical")


@dataclass(frozen=True)
class Verdicts:
    """What blocks of one length show, each column of shape (n,).

    Args:
        rows: their streams.
        psi: against the baselines.
        log10_chance: of an index as large while all is well; 0 where nobody asked.
        points: in the block.
        points_ratio: to the usual number.
        effective_points: independent ones that the points are worth.
        rank: place in `RANKS`.
        is_judged: whether there is a verdict at all.
    """

    rows: Int64s
    psi: Floats
    log10_chance: Floats
    points: Floats
    points_ratio: Floats
    effective_points: Floats
    rank: Int64s
    is_judged: Bools

    @property
    def is_odd(self) -> Bools:
        """Say which blocks look odd, alarm or not."""
        return self.log10_chance <= ODD_LOG10

    def is_partial(self, policy: DistributionPolicy) -> Bools:
        """Say which blocks have far fewer points than usual, or more: other devices sent them."""
        is_thin = self.points_ratio < policy.least_points_ratio
        partial: Bools = is_thin | (self.points_ratio > policy.most_points_ratio)
        return partial

    def is_calm(self, policy: DistributionPolicy) -> Bools:
        """Say which blocks hold nothing against their stream."""
        is_small = self.psi < policy.calm_ratio * policy.warn_psi
        return self.is_judged & (is_small | (self.log10_chance > CALM_LOG10))


def judge(
    table: Rows, rows: Int64s, counts: Floats, law: str, policy: DistributionPolicy
) -> Verdicts:
    """Judge one block of each of some streams that have a baseline.

    Args:
        table: `DISTRIBUTION_ROW`; nothing of it is changed.
        rows: streams, each once.
        counts: points in their categories, shape (n, CATEGORY_MAX).
        law: hour or day.
        policy: thresholds.
    """
    mine, known = table[rows], table[law][rows]
    categories = mine["category_count"].astype(np.int64)
    points = counts.sum(axis=1)  # whole numbers: their sum is exact in any order
    psi = stability_index(mine["expected"], counts, categories)
    usual = usual_points(known)
    ratio = points / np.maximum(usual, 1.0)
    mean = usual_psi(known, categories) * np.maximum(1.0, 1 / np.maximum(ratio, 1e-9))
    first = policy.first_verdict_hours if law == HOUR else policy.first_verdict_days
    is_judged = (categories > 1) & (known["block_count"] >= first) & (points >= policy.points_min)
    free, blocks = freedom(known, categories), independent_blocks(known)
    if law == DAY:  # few of them are known: their variance may look small by chance
        free = np.maximum(free * DAY_FREEDOM_RATIO, FREEDOM_MIN)
    asked = is_judged & (psi >= policy.calm_ratio * policy.warn_psi)
    chance = np.zeros(len(rows))
    for at in np.flatnonzero(asked).tolist():
        ratio_at, below = psi[at] / mean[at], free[at] * blocks[at]
        chance[at] = max(log10_tail_of_f(ratio_at, free[at], below), LOG10_MIN)
    is_sure = (chance <= policy.log10_alpha) & (psi >= ABOVE_MAX_RATIO * known["psi_max"])
    verdicts = Verdicts(
        rows, psi, chance, points, ratio, (categories - 1) / mean, np.zeros(0, np.int64), is_judged
    )
    return _ranked(verdicts, is_sure & asked, policy)


def _ranked(found: Verdicts, is_sure: Bools, policy: DistributionPolicy) -> Verdicts:
    levels = (policy.warn_psi, policy.alarm_psi, policy.major_psi, policy.critical_psi)
    names = (WATCH, MINOR, MAJOR, CRITICAL)
    rank = np.full(len(found.rows), NONE)
    for level, name in zip(levels, names, strict=True):
        rank = np.where(is_sure & (found.psi >= level), name, rank)
    return replace(found, rank=rank)


def may_page(
    table: Rows, found: Verdicts, law: str, end_ms: Int64s, policy: DistributionPolicy
) -> Bools:
    """Say whose verdict pages: enough was learned, nobody is missing, it was not told just now.

    Args:
        table: `DISTRIBUTION_ROW`, with the hour that was judged noted as odd, or not.
        found: the verdicts.
        law: hour or day.
        end_ms: of each block.
        policy: as named.
    """
    has_all = ~found.is_partial(policy) & ~table["is_partial"][found.rows]
    is_loud = end_ms > table["quiet_until_ms"][found.rows]
    is_learned = ~is_young(table, found.rows, law, policy) | (found.rank >= MAJOR)
    # A lone odd hour is over when it is known: it is shown, and wakes nobody.
    lasts = (law == DAY) | (table["suspect_ms"][found.rows] < end_ms - HOUR_MS)
    allowed: Bools = has_all & is_learned & is_loud & lasts
    return allowed


def is_young(table: Rows, rows: Int64s, law: str, policy: DistributionPolicy) -> Bools:
    """Say which streams have not been seen for a week: their next week end may surprise."""
    wanted = policy.learn_hours if law == HOUR else policy.learn_days
    young: Bools = table[law]["block_count"][rows] < wanted
    return young
