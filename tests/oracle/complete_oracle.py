"""Complete windows the slow and obvious way: every step, every window, in dictionaries.

Reads nothing of `udfs/drift`: the contract is that of DRIFT and of the module's own first lines.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

STEP_MS = 30_000
AFTER_MS = 600_000
OLDEST_MS, AHEAD_MS = 5 * 86_400_000, 86_400_000


class Row(NamedTuple):
    """One delta and the input clock where it stands; the sum is at scale 2^50."""

    time_ms: int
    tenant_id: str
    scope: str
    subject: str
    metric: str
    group: str
    model: str
    start_ms: int
    window_ms: int
    count: int
    total: int
    low: float
    high: float
    nan_count: int
    bins: tuple[tuple[int, int], ...]


class Complete(NamedTuple):
    """A window as it left."""

    step_ms: int
    start_ms: int
    tenant_id: str
    scope: str
    subject: str
    metric: str
    model: str
    group: str
    window_ms: int
    count: int
    mean: float | None
    low: float
    high: float
    nan_count: int
    bins: tuple[tuple[int, int], ...]


Subject = tuple[str, str, str]
Series = tuple[str, str, str, str, str, str]


@dataclass
class Oracle:
    """All that is known.

    Args:
        late: (step, series, window) of which a row came too late.
        refused_count: rows that nobody takes.
    """

    done: list[Complete] = field(default_factory=list)
    late: set[tuple[int, Series, int]] = field(default_factory=set)
    refused_count: int = 0


def complete_windows(rows: Sequence[Row], until_ms: int) -> Oracle:
    """Return what leaves until an instant, in order."""
    found = Oracle()
    by_step: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        end_ms = row.start_ms + row.window_ms
        if end_ms + OLDEST_MS < row.time_ms or row.start_ms - AHEAD_MS > row.time_ms:
            found.refused_count += 1
        else:
            by_step[(row.time_ms // STEP_MS + 1) * STEP_MS].append(row)
    windows: dict[tuple[Series, int, int], list[Row]] = {}
    newest: dict[Subject, int] = {}
    left: dict[Series, int] = {}
    for step_ms in range(min(by_step), until_ms + 1, STEP_MS):
        for row in by_step.get(step_ms, []):
            series: Series = row[1:7]
            newest[row[1:4]] = max(row.start_ms, newest.get(row[1:4], row.start_ms))
            if row.start_ms <= left.get(series, row.start_ms - 1):
                found.late.add((step_ms, series, row.start_ms))
            else:
                windows.setdefault((series, row.start_ms, row.window_ms), []).append(row)
        leaving = [
            key
            for key in windows
            if key[1] + key[2] + AFTER_MS <= step_ms
            or (key[0][1] == "device" and key[1] < newest[key[0][:3]])
        ]
        found.done += sorted(_complete(step_ms, windows.pop(key)) for key in leaving)
        for series, start_ms, _ in leaving:
            left[series] = max(start_ms, left.get(series, start_ms))
    return found


def _complete(step_ms: int, rows: Sequence[Row]) -> Complete:
    first, count = rows[0], sum(row.count for row in rows)
    total = sum(row.total for row in rows)
    low, high = min(row.low for row in rows), max(row.high for row in rows)
    bins: dict[int, int] = defaultdict(int)
    for row in rows:
        for index, points in row.bins:
            bins[index] += points
    return Complete(
        step_ms, first.start_ms, first.tenant_id, first.scope, first.subject, first.metric,
        first.model, first.group, first.window_ms, count,
        min(max(total / (count << 50), low), high) if count else None,
        low, high, sum(row.nan_count for row in rows), tuple(sorted(bins.items())),
    )  # fmt: skip
