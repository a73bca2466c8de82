"""One alarm a shift of a distribution: it begins, may become worse, and ends when blocks are calm.

PSI   .02 .03 .31 .34 .33 .03 .02     hours, or days a quarter apart
              fires          ends     after two calm blocks of the length that fired
"""

from dataclasses import dataclass

import numpy as np

from udfs.drift.cells import Cells
from udfs.drift.distribution_judging import DAY, MINOR, WATCH, Verdicts, may_page
from udfs.drift.distribution_policy import DistributionPolicy
from udfs.drift.distribution_table import NEVER_MS
from udfs.drift.row_tables import Rows
from udfs.drift.shift_alarms import RANKS
from udfs.offline_policy import DAY_MS, HOUR_MS
from udfs.partition_clocks import Int64s

BLOCK_MS = {DAY: DAY_MS, "hour": HOUR_MS}


@dataclass(frozen=True)
class DistributionTurn:
    """An alarm that began, became worse, or is over.

    Args:
        stream: its row.
        is_over: whether it has ended.
        severity: a word of `Severity`.
        block_ms: length of the block that was judged.
        first_seen_ms: start of the first hour that looked odd.
        detected_at_ms: end of the block.
        opened_ms: end of the block that opened the alarm.
        psi: of the block.
        log10_chance: of such an index while all is well.
        points: in the block.
        points_ratio: to the usual number.
        effective_points: independent ones that they are worth.
        row: `DISTRIBUTION_ROW`, one record: the baseline.
        after: histogram of the block.
    """

    stream: int
    is_over: bool
    severity: str
    block_ms: int
    first_seen_ms: int
    detected_at_ms: int
    opened_ms: int
    psi: float
    log10_chance: float
    points: int
    points_ratio: float
    effective_points: float
    row: Rows
    after: Cells


def turns_of(
    table: Rows,
    found: Verdicts,
    after: Cells,
    law: str,
    end_ms: Int64s,
    policy: DistributionPolicy,
) -> list[DistributionTurn]:
    """Return what turns with some blocks of one length, and note it.

    Args:
        table: `DISTRIBUTION_ROW`; the fields of the alarms are changed.
        found: the verdicts, one a stream.
        after: histograms of the blocks.
        law: hour or day.
        end_ms: of each block.
        policy: when an alarm ends.
    """
    rows = found.rows
    pages = may_page(table, found, law, end_ms, policy)
    rank = np.where(pages, found.rank, np.minimum(found.rank, WATCH))
    is_new = rank > table["opened_rank"][rows]
    is_mine = (table["opened_rank"][rows] > 0) & (table["is_of_day"][rows] == (law == DAY))
    calm = np.where(found.is_calm(policy), table["calm_count"][rows] + 1, 0)
    calm = np.where(found.is_judged, calm, table["calm_count"][rows])
    is_over = is_mine & ~is_new & (calm >= policy.clear_blocks)
    table["calm_count"][rows] = np.where(is_mine, calm, table["calm_count"][rows])
    _open(table, rows[is_new], rank[is_new], end_ms[is_new], is_day=law == DAY)
    turns = [
        _turn(table, found, after, (at, law, int(end_ms[at])), is_over=bool(is_over[at]))
        for at in np.flatnonzero(is_new | is_over).tolist()
    ]
    _end(table, rows[is_over], policy)
    return turns


def _open(table: Rows, rows: Int64s, rank: Int64s, end_ms: Int64s, *, is_day: bool) -> None:
    is_first = table["opened_rank"][rows] == 0
    table["opened_ms"][rows[is_first]] = end_ms[is_first]
    table["is_of_day"][rows[is_first]] = is_day
    table["calm_count"][rows] = 0
    table["opened_rank"][rows] = rank


def _end(table: Rows, rows: Int64s, policy: DistributionPolicy) -> None:
    paged = rows[table["opened_rank"][rows] >= MINOR]
    table["quiet_until_ms"][paged] = table["opened_ms"][paged] + policy.cooldown_ms
    table["opened_rank"][rows] = 0
    table["opened_ms"][rows] = NEVER_MS
    table["calm_count"][rows] = 0


def _turn(
    table: Rows, found: Verdicts, after: Cells, block: tuple[int, str, int], *, is_over: bool
) -> DistributionTurn:
    at, law, end_ms = block
    row = int(found.rows[at])
    suspect_ms = int(table["suspect_ms"][row])
    begin_ms = end_ms - BLOCK_MS[law]
    return DistributionTurn(
        stream=row,
        is_over=is_over,
        severity=str(RANKS[table["opened_rank"][row]]),
        block_ms=BLOCK_MS[law],
        first_seen_ms=begin_ms if suspect_ms == NEVER_MS else suspect_ms,
        detected_at_ms=end_ms,
        opened_ms=int(table["opened_ms"][row]),
        psi=float(found.psi[at]),
        log10_chance=float(found.log10_chance[at]),
        points=int(found.points[at]),
        points_ratio=float(found.points_ratio[at]),
        effective_points=float(found.effective_points[at]),
        row=table[row].copy(),
        after=after.take(after.stream == row),
    )
