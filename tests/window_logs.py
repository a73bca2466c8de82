"""Random logs of window deltas, and cuts of them, for tests of complete windows."""

import random
from collections.abc import Iterator, Sequence

import polars as pl

from tests.oracle.complete_oracle import Complete, Row
from udfs.drift.complete_bytes import windows_from_bytes, windows_to_bytes
from udfs.drift.complete_policy import CompletePolicy
from udfs.drift.complete_windows import TIMED_SCHEMA, CompleteWindows
from udfs.histogram import bin_index

BEGIN_MS = 1_767_225_600_000  # 2026-01-01
MINUTE_MS = 60_000
LASTS_MS = 90 * MINUTE_MS
POLICY = CompletePolicy()
SUBJECTS = [("device", "d0"), ("device", "d1"), ("group", "g0"), ("group", "g1"), ("tenant", "")]
LAGS_MS = [0, 0, 0, 0, 1, 2, 4, 8, 25, 60, -2, -30, 7 * 1440, -2 * 1440]
"""How far behind its row a point lies, in minutes; most are on time."""


def random_rows(seed: int, count: int = 300) -> list[Row]:
    """Return rows in the order of their times."""
    chance = random.Random(seed)
    times = sorted(BEGIN_MS + chance.randrange(LASTS_MS) for _ in range(count))
    return [_row(chance, time_ms // 5_000 * 5_000) for time_ms in times]


def _row(chance: random.Random, time_ms: int) -> Row:
    scope, subject = chance.choice(SUBJECTS)
    window_ms = 5 * MINUTE_MS if scope == "device" else MINUTE_MS
    at_ms = time_ms - chance.choice(LAGS_MS) * MINUTE_MS
    values = [chance.choice([0.1, 1 / 3, 20.0, -4e9]) for _ in range(chance.randrange(4))]
    bins: dict[int, int] = {}
    for index in () if scope == "device" else (_bin(value) for value in values):
        bins[index] = bins.get(index, 0) + 1
    return Row(
        time_ms,
        chance.choice(["t0", "t1"]),
        scope,
        subject,
        chance.choice(["temp", "load"]),
        subject if scope == "group" else "",
        "" if scope == "tenant" else chance.choice(["m1", "m1", "m2"]),
        at_ms // window_ms * window_ms,
        window_ms,
        len(values),
        sum(int(value * 2.0**50) for value in values),
        min(values, default=float("inf")),
        max(values, default=float("-inf")),
        chance.choice([0, 0, 2]),
        tuple(bins.items()),
    )


def _bin(value: float) -> int:
    return int(bin_index(pl.Series([value]).to_numpy())[0])


def frame_of(rows: Sequence[Row]) -> pl.DataFrame:
    """Return rows as `TIMED_SCHEMA`."""
    records = [
        {
            "tenant_id": row.tenant_id, "scope": row.scope, "subject": row.subject,
            "metric": row.metric, "deployment_group": row.group, "model_version": row.model,
            "window_start": row.start_ms, "window_ms": row.window_ms, "count": row.count,
            "missing_count": 0, "nan_count": row.nan_count, "out_of_range_count": 0,
            "sum_fixed": row.total, "min": row.low, "max": row.high,
            "bins": [index for index, _ in row.bins],
            "bin_counts": [points for _, points in row.bins], "time_ms": row.time_ms,
        }
        for row in rows
    ]  # fmt: skip
    return pl.DataFrame(records, schema=TIMED_SCHEMA)


def random_blocks(
    rows: Sequence[Row], chance: random.Random, cut_count: int
) -> Iterator[tuple[list[Row], int]]:
    """Yield blocks and the clock after each; subjects of two partitions are read unevenly."""
    parts = [[r for r in rows if (len(r.subject) == 0) == is_first] for is_first in (True, False)]
    ends = [0, 0]
    for _ in range(cut_count):
        chosen = chance.randrange(2)
        stop = min(len(parts[chosen]), ends[chosen] + chance.randrange(len(rows) // 8))
        block = parts[chosen][ends[chosen] : stop]
        ends[chosen] = stop
        chance.shuffle(block)
        read = [part[end - 1].time_ms if end else -1 for part, end in zip(parts, ends, strict=True)]
        yield block, min(read)
    yield [r for part, end in zip(parts, ends, strict=True) for r in part[end:]], rows[-1].time_ms


def left_windows(
    windows: CompleteWindows, clock_ms: int, policy: CompletePolicy = POLICY
) -> list[Complete]:
    """Return what leaves until the clock, with the step of each."""
    found = []
    while (step_ms := windows.next_step(clock_ms, policy)) is not None:
        done = windows.settle(step_ms, policy)
        found += [_complete(step_ms, each) for each in done.iter_rows(named=True)]
    return found


def _complete(step_ms: int, each: dict[str, object]) -> Complete:
    names = ("window_start", "tenant_id", "scope", "subject", "metric", "model_version")
    more = ("deployment_group", "window_ms", "count", "mean", "min", "max", "nan_count")
    values = {name: each[name] for name in (*names, *more)}
    values["mean"] = None if values["count"] == 0 else values["mean"]
    bins = zip(each["bins"], each["bin_counts"], strict=True)  # type: ignore[call-overload]  # lists
    return Complete(step_ms, *values.values(), tuple(bins))  # type: ignore[arg-type]  # as named


def restored(windows: CompleteWindows) -> CompleteWindows:
    """Return windows as they come back from their bytes."""
    return windows_from_bytes(windows_to_bytes(windows, POLICY))
