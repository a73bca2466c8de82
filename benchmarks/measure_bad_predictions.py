"""Measures D2 and the shares of predictions: false alarms of calm fleets, delays of named shifts.

    python -m benchmarks.measure_bad_predictions --streams 400 --weeks 5

False alarms are pages and watches over all hours after the first week, by the default budget; goal:
no page in as many looks. Delays are hours from the shift to the end of the hour, or of the
six-hour step of a day, that told it. CPU time of this process.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures import write_figures
from benchmarks.measure_quality import beta_binomial, binomial, daily, shares_step
from benchmarks.prediction_series import (
    CALM,
    START_MS,
    WEEK_HOURS,
    Kind,
    Rng,
    hour_of,
    lower,
    points_of,
    to_class,
    wider,
)
from udfs.drift.cells import Cells, category_counts
from udfs.drift.distribution_alarms import DistributionTurn
from udfs.drift.distribution_judging import HOUR, judge
from udfs.drift.distribution_member import POLICY
from udfs.drift.distribution_table import DISTRIBUTION_ROW
from udfs.drift.distributions import Distributions
from udfs.drift.prediction_member import DEVICE_POLICY
from udfs.histogram import Floats
from udfs.offline_policy import HOUR_MS

RISES = {"0 to 5 %": (0.0, 0.05), "2 % to 10 %": (0.02, 0.1), "2 % to 30 %": (0.02, 0.3)}
ERRORS = {
    "2 %, 25 points": (binomial(0.02, 25), 25),
    "2 %, 25 points, correlation 0.3": (beta_binomial(0.02, 25, 0.3), 25),
    "2 %, two hours a day 25 %": (daily(25), 25),
}
Change = Callable[[Floats], Floats]
SHIFT_HOURS = 96
CHANCE_HOURS = 200
SHIFTS: dict[str, tuple[str, Change]] = {
    "confidence lower by 0.5 sigma": ("confidence, independent points", lower(0.5)),
    "confidence lower by 1 sigma": ("confidence, independent points", lower(1.0)),
    "confidence lower by 1 sigma, 40,000 points": (
        "confidence, 40,000 points an hour", lower(1.0)),
    "confidence lower by 1 sigma, a device": (
        "confidence, 60 points an hour (a device)", lower(1.0)),
    "confidence lower by 1 sigma, level wanders": (
        "confidence, level wanders 0.3 sigma", lower(1.0)),
    "confidence lower by 1 sigma, daily swing": (
        "confidence, daily swing of 1 sigma", lower(1.0)),
    "half of the confidences are any": ("confidence, independent points", wider),
    "a rare class takes 10 %": ("class mix, independent points", to_class(0.1)),
    "a rare class takes 30 %": ("class mix, independent points", to_class(0.3)),
    "a rare class takes 30 %, scenes": ("class mix, an hour is worth 50 points", to_class(0.3)),
    "a rare class takes 30 %, rush hours": ("class mix, two rush hours a day", to_class(0.3)),
}  # fmt: skip


def run(
    kind: Kind, hours: int, streams: int, rng: Rng, change: Change | None = None, at: int = 0
) -> list[DistributionTurn]:
    """Return all that streams of one kind tell; from hour `at` on they are changed."""
    known = Distributions(POLICY)
    known.grow(np.full(streams, len(kind.levels) < 10))  # noqa: PLR2004 - classes are few
    state: dict[str, Any] = {}
    turns = []
    for hour in range(hours):
        shares = kind.law(rng, streams, hour, state)
        if change is not None and hour >= at:
            shares = change(shares)
        turns += known.observe(hour_of(points_of(rng, kind, shares), kind.levels, hour))
    return turns


def false_alarms(kind: Kind, weeks: int, streams: int, rng: Rng) -> dict[str, Any]:
    """Count what is told of streams to which nothing happens."""
    turns = run(kind, weeks * WEEK_HOURS, streams, rng)
    fired = [turn for turn in turns if not turn.is_over]
    pages = [turn for turn in fired if turn.severity != "watch"]
    early = [turn for turn in pages if turn.detected_at_ms < START_MS + WEEK_HOURS * HOUR_MS]
    return {
        "hours": weeks * WEEK_HOURS * streams,
        "pages": len(pages),
        "of_them_in_the_first_week": len(early),
        "watches": len(fired) - len(pages),
    }


def chances(kind: Kind, streams: int, rng: Rng) -> dict[str, float]:
    """Return how often calm hours after the first week look as odd as 1 in 100, 1,000, 10,000."""
    known = Distributions(POLICY)
    known.grow(np.full(streams, len(kind.levels) < 10))  # noqa: PLR2004 - classes are few
    every = replace(POLICY, warn_psi=1e-9)
    rows, state, found = np.arange(streams), {}, []
    for hour in range(WEEK_HOURS + 1 + CHANCE_HOURS):
        seen = hour_of(points_of(rng, kind, kind.law(rng, streams, hour, state)), kind.levels, hour)
        if hour <= WEEK_HOURS:
            known.observe(seen)
            continue
        cells = Cells()
        cells.add(seen.window, np.zeros(len(seen.window), np.int64), seen.bins, seen.points)
        cells.settle()
        counts = category_counts(cells, known.table, rows)
        found.append(judge(known.table, rows, counts, HOUR, every).log10_chance)
    chance = np.concatenate(found)
    return {f"1e{level}": float((chance <= level).mean()) for level in (-2, -3, -4)}


def delay(kind: Kind, change: Change, streams: int, rng: Rng) -> dict[str, Any]:
    """Return after how many hours a shift is told as a page; shifts begin at any hour of a day."""
    hours, found = [], 0
    per_start = max(streams // 8, 1)
    for start in range(8):
        at = WEEK_HOURS + 3 * start
        turns = run(kind, at + SHIFT_HOURS, per_start, rng, change, at)
        begin_ms = START_MS + at * HOUR_MS
        first: dict[int, int] = {}
        for turn in turns:
            if turn.severity != "watch" and turn.detected_at_ms > begin_ms:
                first.setdefault(turn.stream, turn.detected_at_ms)
        found += len(first)
        hours += [(told_ms - begin_ms) / HOUR_MS for told_ms in first.values()]
    given = 8 * per_start
    if not hours:
        return {"found": 0, "of": given}
    p95 = float(np.quantile(hours, 0.95))
    return {"found": found, "of": given, "mean_h": round(float(np.mean(hours)), 1), "p95_h": p95}


def error_delay(rise: tuple[float, float], rng: Rng) -> dict[str, Any]:
    """Return after how many windows of 25 points a device's share of errors is told."""
    before, after = rise
    step = shares_step((binomial(before, 25), 25), DEVICE_POLICY, rng, 100)
    for at in range(DEVICE_POLICY.learn_windows + 1):
        step(at)
    first: dict[int, int] = {}
    for wait in range(1, 289):
        fired = step(DEVICE_POLICY.learn_windows + wait, binomial(after, 25)).fired
        for stream in fired.stream.tolist():
            first.setdefault(stream, wait)
    waits = list(first.values())
    mean = round(float(np.mean(waits)), 1) if waits else None
    return {"found": len(waits), "of": 100, "mean_windows": mean}


def errors_calm(drawn: Any, streams: int, weeks: int, rng: Rng) -> dict[str, int]:
    """Count what is told of shares of errors that do not rise, windows of five minutes."""
    step = shares_step(drawn, DEVICE_POLICY, rng, streams)
    windows = weeks * WEEK_HOURS * 12
    fired = [step(at).fired for at in range(windows)]
    pages = sum(int((alarms.severity != "watch").sum()) for alarms in fired)
    return {"windows": windows * streams, "pages": pages, "all": sum(map(len, fired))}


def speed(streams: int, rng: Rng) -> dict[str, float]:
    """Return hours of streams a CPU second, and bytes of one."""
    kind = CALM["confidence, independent points"]
    begin_s = time.process_time()
    drawn = [
        hour_of(points_of(rng, kind, kind.law(rng, streams, hour, {})), kind.levels, hour)
        for hour in range(60)
    ]
    known = Distributions(POLICY)
    known.grow(np.zeros(streams, np.bool_))
    begin_s = time.process_time()
    for seen in drawn:
        known.observe(seen)
    spent_s = time.process_time() - begin_s
    known.cells.settle()
    cells_bytes = known.cells.keys.nbytes + known.cells.points.nbytes
    return {
        "stream_hours_per_cpu_s": round(streams * len(drawn) / spent_s),
        "record_bytes": DISTRIBUTION_ROW.itemsize,
        "cells_bytes": round(cells_bytes / streams),
    }


def measured(weeks: int, streams: int, seed: int) -> Iterator[tuple[str, Any]]:
    """Yield the chapters of the report."""
    rng = np.random.default_rng(seed)
    yield "seed", seed
    yield "speed", speed(2_000, rng)
    yield (
        "delays",
        {n: delay(CALM[kind], change, streams, rng) for n, (kind, change) in SHIFTS.items()},
    )
    yield "chances", {n: chances(kind, 2 * streams, rng) for n, kind in CALM.items()}
    yield "errors_of_devices", {n: error_delay(rise, rng) for n, rise in RISES.items()}
    yield "errors_calm", {n: errors_calm(drawn, streams, weeks, rng) for n, drawn in ERRORS.items()}
    yield "calm", {n: false_alarms(kind, weeks, streams, rng) for n, kind in CALM.items()}


def main() -> None:
    """Measure, print and store."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--streams", type=int, default=400)
    options.add_argument("--weeks", type=int, default=5)
    options.add_argument("--seed", type=int, default=20261123)
    options.add_argument("--out", type=Path)
    given = options.parse_args()
    figures = dict(measured(given.weeks, given.streams, given.seed))
    print(write_figures(figures, given.out))


if __name__ == "__main__":
    main()
