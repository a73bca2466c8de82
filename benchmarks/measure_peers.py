"""Sums the same log with the engine and with others, compares the windows, then the speed.

    make peers            # the others' environment, once
    python -m benchmarks.measure_peers --runs 3 --out benchmarks/out/peers.json

All read one seeded log of one real broker: device windows of 5 minutes by the points' own time. One
after another, round by round, so that a busy hour meets all of them. Who cannot finish the log in
time gets a smaller one of the same kind, and its rate counts.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import polars as pl

from benchmarks.contenders import (
    PEERS_PYTHON,
    Cost,
    run_fleetpulse,
    run_flink_sql,
    run_peer,
    task_of,
)
from benchmarks.figures import write_figures
from benchmarks.machine import machine_facts
from benchmarks.prepared_log import CLOSER, LogPlan, PreparedLog, prefixed, write_log
from benchmarks.result_reading import check_equal, json_windows, own_windows, read_values
from jobs.local_stack import LocalStack, Part
from jobs.ports import free_port_settings
from jobs.settings import Settings

HOUR_MS = 3_600_000
OWN = "fleetpulse"


@dataclass(frozen=True)
class Sizes:
    """Of the logs, each of some batches of 50 points of each device.

    Args:
        devices: of the log.
        small_devices: of the log of those who are too slow for it.
        batches: of each device.
        warm_ratio: share of a log that is warm-up, 0-1.
    """

    devices: int
    small_devices: int
    batches: int = 4
    warm_ratio: float = 0.2
    seed: int = 1


FULL = Sizes(devices=50_000, small_devices=1_500)
QUICK = Sizes(devices=10_000, small_devices=400)


@dataclass
class Bench:
    """The logs, the oracles, and what is run on them."""

    sizes: Sizes
    log: PreparedLog
    small: PreparedLog
    oracle: pl.DataFrame
    small_oracle: pl.DataFrame
    run_count: int = 0

    def peer(self, module: str, *, is_small: bool, python: Path = PEERS_PYTHON) -> Cost:
        """Run a program of benchmarks/peers."""
        log, oracle = (self.small, self.small_oracle) if is_small else (self.log, self.oracle)
        with self._folder() as folder:
            task = task_of(log, self._name(module), self.sizes.warm_ratio, Path(folder))
            cost = run_peer(python, module, log, task)
            check_equal(json_windows(log.settings.kafka, task.results), oracle, module)
        return cost

    def flink_sql(self, kind: str) -> Cost:
        """Run bare Flink SQL, warmed up with the small log."""
        with self._folder() as folder:
            warm_up = task_of(self.small, self._name(f"{kind}-warm"), 0, Path(folder))
            task = task_of(self.log, self._name(kind), 0, Path(folder))
            cost = run_flink_sql(kind, self.log, warm_up, task)
            if kind == "windows":
                windows = json_windows(self.log.settings.kafka, task.results)
                check_equal(windows, self.oracle, f"Flink SQL {kind}")
            else:
                counts = [pl.read_ndjson(v)["count"][0] for v in self._values(task.results)]
                assert counts[-1] == self.log.point_count, f"Flink SQL counted {counts[-1]}"
        return cost

    def fleetpulse(self) -> Cost:
        """Run the aggregate job."""
        cost = run_fleetpulse(self.log, self.sizes.warm_ratio)
        check_equal(own_windows(self.log.settings), self.oracle, OWN)
        return cost

    def _values(self, topic: str) -> list[bytes]:
        return list(read_values(self.log.settings.kafka, topic))

    def _name(self, what: str) -> str:
        self.run_count += 1
        return f"{what.replace('_', '-')}-{self.run_count}"

    def _folder(self) -> AbstractContextManager[str]:
        return tempfile.TemporaryDirectory(prefix="bench-peer-", ignore_cleanup_errors=True)


CONTENDERS: Mapping[str, Callable[[Bench], Cost]] = {
    OWN: Bench.fleetpulse,
    "flink_sql_decode": lambda bench: bench.flink_sql("decode"),
    "flink_sql_windows": lambda bench: bench.flink_sql("windows"),
    "chdb": lambda bench: bench.peer("chdb_windows", is_small=False, python=Path(sys.executable)),
    "loop": lambda bench: bench.peer("hand_written_loop", is_small=False),
    "quix": lambda bench: bench.peer("quix_windows", is_small=True),
    "bytewax": lambda bench: bench.peer("bytewax_windows", is_small=True),
}
"""In the order of a round."""


def prepared(settings: Settings, sizes: Sizes) -> Bench:
    """Write both logs and work out what is right."""
    started_at_ms = int(time.time()) * 1000 // HOUR_MS * HOUR_MS - 6 * HOUR_MS
    plans = [LogPlan(n, sizes.batches, sizes.seed) for n in (sizes.devices, sizes.small_devices)]
    log, small = (
        write_log(prefixed(settings, prefix), plan, started_at_ms)
        for prefix, plan in zip(("full.", "small."), plans, strict=True)
    )
    assert not log.oracle()["device_id"].str.starts_with(CLOSER).any()
    return Bench(sizes, log, small, log.oracle(), small.oracle())


def measure(sizes: Sizes, runs: int, names: Sequence[str]) -> dict[str, list[Cost]]:
    """Run contenders, round by round.

    Raises:
        AssertionError: somebody's windows are not those of the oracle.
    """
    costs: dict[str, list[Cost]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        settings = free_port_settings(Path(folder))
        with LocalStack(settings, parts=(Part.KAFKA, Part.REGISTRY)):
            bench = prepared(settings, sizes)
            for _ in range(runs):
                for name in names:
                    costs[name].append(CONTENDERS[name](bench))
                    print(line_of(name, costs[name][-1]), flush=True)
    return costs


def line_of(name: str, cost: Cost) -> str:
    """Return a run as a line for people.

    >>> line_of("loop", Cost(1_000_000, 4.0, 3.5, 100.0, 1.0))
    'loop                   1,000,000 points     250,000/s     285,714/CPU-s   100 MB  load 1.0'
    """
    return (
        f"{name:<18} {cost.points:>13,} points {cost.per_s:>11,.0f}/s "
        f"{cost.per_cpu_s:>11,.0f}/CPU-s {cost.peak_mb:>5.0f} MB  load {cost.load}"
    )


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return least, median and most.

    >>> spread([3.0, 1.0, 2.0])
    {'min': 1.0, 'median': 2.0, 'max': 3.0}
    """
    return {"min": min(values), "median": median(values), "max": max(values)}


def figures_of(costs: Mapping[str, Sequence[Cost]]) -> dict[str, Any]:
    """Return every contender's figures, and the engine's ratio to each, round by round."""
    own = costs.get(OWN, ())
    found: dict[str, Any] = {}
    for name, runs in costs.items():
        found[name] = {
            "points": runs[0].points,
            "points_per_s": spread([cost.per_s for cost in runs]),
            "points_per_cpu_s": spread([cost.per_cpu_s for cost in runs]),
            "peak_mb": spread([cost.peak_mb for cost in runs]),
            "load_1_min": [cost.load for cost in runs],
        }
        if name != OWN and own:
            pairs = list(zip(own, runs, strict=True))
            found[name] |= {
                "ratio": spread([a.per_s / b.per_s for a, b in pairs]),
                "ratio_per_cpu": spread([a.per_cpu_s / b.per_cpu_s for a, b in pairs]),
            }
    return found


def main() -> None:
    """Measure, print, and write the figures where `--out` says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--devices", type=int, default=FULL.devices)
    parser.add_argument("--small-devices", type=int, default=FULL.small_devices)
    parser.add_argument("--batches", type=int, default=FULL.batches)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=sorted(CONTENDERS), action="append")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    sizes = Sizes(given.devices, given.small_devices, given.batches, seed=given.seed)
    names = [name for name in CONTENDERS if given.only is None or name in given.only]
    costs = measure(sizes, given.runs, names)
    about = {"machine": machine_facts(), "seed": given.seed, "sizes": vars(sizes)}
    print(write_figures(about | {"contenders": figures_of(costs)}, given.out))


if __name__ == "__main__":
    main()
