"""Measures rates (D3) and data quality (D5): false alarms, delays, speed, bytes of a stream.

    python -m benchmarks.measure_quality --windows 1000000

False alarms are counted over so many windows a case after the warm-up, at gamma = 10^4; goal: a
mean of at least 10^4 windows between two. Delays are at gamma of a page. CPU time of this process.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures import write_figures
from udfs.drift.alarms import Turns
from udfs.drift.observations import Observations
from udfs.drift.profiles import QUALITY_ROW, QualityPolicy, empty_quality
from udfs.drift.quality import update_quality
from udfs.drift.rates import RATES_ROW, empty_rates, update_rates
from udfs.drift.shares import RatePolicy, Trials, empty_shares, update_share

WINDOW_MS = 300_000
DAY_WINDOWS = 288
STREAMS = 1000
LOG_1E4 = float(np.log(1e4))
LEARN = RatePolicy().learn_windows

Rng = np.random.Generator
Draw = Callable[[Rng, int, int], Any]
"""(generator, streams, window) -> bad points, or values, of each stream's window."""


def seen_at(at: int, value: Any, **columns: Any) -> Observations:
    """Return one window of each stream."""
    none = np.zeros(len(value), np.int64)
    start_ms, window_ms = none + at * WINDOW_MS, none + WINDOW_MS
    bad = {"missing_count": none, "nan_count": none, "out_of_range_count": none}
    given = {"count": none + 1, **bad, **columns}
    return Observations(np.arange(len(value)), start_ms, value, window_ms=window_ms, **given)


def binomial(share: float, n: int) -> Draw:
    """Draw points that are bad each for itself."""
    return lambda rng, streams, _: rng.binomial(n, share, streams)


def beta_binomial(share: float, n: int, correlation: float) -> Draw:
    """Draw points whose share is drawn anew for each window."""
    size = (1 - correlation) / correlation
    shape = share * size, (1 - share) * size
    return lambda rng, streams, _: rng.binomial(n, rng.beta(*shape, streams))


def bursts(share: float, n: int) -> Draw:
    """Draw windows in which all is bad, or nothing."""
    return lambda rng, streams, _: (rng.random(streams) < share) * n


def daily(n: int) -> Draw:
    """Draw a share of 2 %, and of 25 % for two hours a day."""
    is_high = DAY_WINDOWS // 12
    return lambda rng, streams, at: rng.binomial(
        n, 0.25 if at % DAY_WINDOWS < is_high else 0.02, streams
    )


SHARES: dict[str, tuple[Draw, int]] = {
    "nothing is ever bad, n=5": (binomial(0.0, 5), 5),
    "0.0001, n=1": (binomial(1e-4, 1), 1),
    "0.0001, n=300": (binomial(1e-4, 300), 300),
    "0.05, n=1": (binomial(0.05, 1), 1),
    "0.05, n=300": (binomial(0.05, 300), 300),
    "0.05, n=5, correlation 0.1": (beta_binomial(0.05, 5, 0.1), 5),
    "0.05, n=300, correlation 0.5": (beta_binomial(0.05, 300, 0.5), 300),
    "0.001, n=60, correlation 0.3": (beta_binomial(1e-3, 60, 0.3), 60),
    "burst of 60 once in 288": (bursts(1 / 288, 60), 60),
    "burst of 300 once in 2000": (bursts(1 / 2000, 300), 300),
    "0.02, two hours a day 0.25, n=5": (daily(5), 5),
    "0.02, two hours a day 0.25, n=60": (daily(60), 60),
}
RISES: dict[str, tuple[int, float, float]] = {
    "n=1: 0 to 0.05": (1, 0.0, 0.05),
    "n=1: 0 to 1": (1, 0.0, 1.0),
    "n=5: 0 to 0.05": (5, 0.0, 0.05),
    "n=5: 0 to 1": (5, 0.0, 1.0),
    "n=300: 0 to 0.05": (300, 0.0, 0.05),
    "n=300: 0.05 to 0.2": (300, 0.05, 0.2),
    "n=300: 0.05 to 0.1": (300, 0.05, 0.1),
}


def memory(amount: float) -> Draw:
    """Draw values of N(0, 1) with a serial correlation, rounded to 5 levels."""
    last: list[Any] = []

    def draw(rng: Rng, streams: int, _: int) -> Any:
        fresh = rng.normal(size=streams)
        before = last.pop() if last else fresh
        last.append(amount * before + np.sqrt(1 - amount**2) * fresh)
        return np.clip(np.round(last[0]), -2, 2)

    return draw


def night(rng: Rng, streams: int, at: int) -> Any:
    """Draw 0 at night, noise by day."""
    return np.where(at % DAY_WINDOWS < DAY_WINDOWS // 2, 0.0, 50 + rng.normal(size=streams))


VALUES: dict[str, Draw] = {
    "normal": lambda rng, streams, _: rng.normal(size=streams),
    "t3": lambda rng, streams, _: rng.standard_t(3, streams),
    "lognormal": lambda rng, streams, _: rng.lognormal(0, 0.5, streams),
    "5 levels": memory(0.0),
    "5 levels, correlation 0.9": memory(0.9),
    "Poisson 0.05": lambda rng, streams, _: rng.poisson(0.05, streams) * 1.0,
    "nights of zeros": night,
    "constant": lambda _, streams, __: np.full(streams, 5.0),
}


def false_alarms(step: Callable[[int], Turns], windows: int) -> dict[str, Any]:
    """Count what fires after the warm-up, over so many windows of all streams."""
    for at in range(LEARN + 1):
        step(at)
    fired = [step(LEARN + 1 + at).fired for at in range(windows // STREAMS)]
    names = np.concatenate([alarms.detector for alarms in fired])
    counts = {str(n): int((names == n).sum()) for n in np.unique(names)}
    worst = max(counts.values(), default=0)
    return {"fired": counts, "mean_windows_between_at_least": windows // max(worst, 1)}


def shares_step(drawn: tuple[Draw, int], policy: RatePolicy, rng: Rng, streams: int) -> Any:
    """Return the step of one share of all streams."""
    table, (draw, n) = empty_shares(streams), drawn

    def step(at: int, other: Draw | None = None) -> Turns:
        bad = np.asarray((other or draw)(rng, streams, at), np.int64)
        trials = Trials(seen_at(at, np.zeros(streams)), bad, np.full(streams, n), "share")
        return update_share(table, trials, policy)

    return step


def values_step(draw: Draw, policy: QualityPolicy, rng: Rng) -> Callable[[int], Turns]:
    """Return the step of the rules about values of all streams."""
    table = empty_quality(STREAMS)
    return lambda at: update_quality(table, seen_at(at, draw(rng, STREAMS, at)), policy)


def delay(rise: tuple[int, float, float], rng: Rng) -> dict[str, Any]:
    """Return after how many windows a rise is told, of 200 streams that have learned."""
    n, before, after = rise
    step = shares_step((binomial(before, n), n), RatePolicy(), rng, 200)
    for at in range(LEARN + 1):
        step(at)
    found = np.zeros(200, np.int64)
    for wait in range(1, 601):
        fired = step(LEARN + wait, binomial(after, n)).fired
        found[fired.stream] = np.where(found[fired.stream] == 0, wait, found[fired.stream])
    hit = found[found > 0]
    if len(hit) == 0:
        return {"found_of_200": 0, "mean": None, "p95": None}
    late = float(np.quantile(hit, 0.95))
    return {"found_of_200": len(hit), "mean": round(float(hit.mean()), 1), "p95": round(late, 1)}


def speed(streams: int, rng: Rng) -> dict[str, int]:
    """Return windows a CPU second of streams that have learned, all detectors of each kind."""
    rates, quality = empty_rates(streams), empty_quality(streams)
    for name in RATES_ROW.names or ():
        rates[name]["window_count"], rates[name]["trial_count"] = LEARN, 5.0 * LEARN
    quality["window_count"], quality["square"], quality["step_square"] = LEARN, LEARN, 2 * LEARN
    rounds = [
        seen_at(at, rng.normal(size=streams), count=np.full(streams, 5))
        for at in range(max(400_000 // streams, 4))
    ]
    spent = [
        _cpu_s(lambda: [update_rates(rates, seen, RatePolicy()) for seen in rounds]),
        _cpu_s(lambda: [update_quality(quality, seen, QualityPolicy()) for seen in rounds]),
    ]
    total = streams * len(rounds)
    names = ("three_rates_per_cpu_s", "four_rules_per_cpu_s", "all_per_cpu_s")
    return {n: round(total / s) for n, s in zip(names, (*spent, sum(spent)), strict=True)}


def _cpu_s(work: Callable[[], object]) -> float:
    begin_s = time.process_time()
    work()
    return time.process_time() - begin_s


def measured(windows: int, seed: int) -> Iterator[tuple[str, Any]]:
    """Yield the chapters of the report."""
    rng = np.random.default_rng(seed)
    rates, quality = RatePolicy(log_gamma=LOG_1E4), QualityPolicy(log_gamma=LOG_1E4)
    yield "seed", seed
    yield "bytes", {"rates": RATES_ROW.itemsize, "quality": QUALITY_ROW.itemsize}
    yield "speed", {str(n): speed(n, rng) for n in (400, 12_500, 100_000)}
    yield "delays_at_1.15e8", {name: delay(rise, rng) for name, rise in RISES.items()}
    yield (
        "shares_at_1e4",
        {
            name: false_alarms(shares_step(drawn, rates, rng, STREAMS), windows)
            for name, drawn in SHARES.items()
        },
    )
    yield (
        "values_at_1e4",
        {
            name: false_alarms(values_step(draw, quality, rng), windows)
            for name, draw in VALUES.items()
        },
    )


def main() -> None:
    """Measure, print and store."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--windows", type=int, default=1_000_000)
    options.add_argument("--seed", type=int, default=20261123)
    options.add_argument("--out", type=Path)
    given = options.parse_args()
    print(write_figures(dict(measured(given.windows, given.seed)), given.out))


if __name__ == "__main__":
    main()
