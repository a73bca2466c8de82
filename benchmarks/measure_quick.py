"""The figures that tell in some minutes whether something got slower: a table, and JSON.

    python -m benchmarks.measure_quick --out benchmarks/out/quick.json

A figure that nothing measures yet is null. Ratios are of one run, as the machine may be shared.
"""

import argparse
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import baseline, measure_codec, measure_drain, measure_loader, measure_peers
from benchmarks.drift_costs import BASELINE, LEARNED_STREAMS, blocks, many, per_cpu_s
from benchmarks.drift_judges import learned
from benchmarks.drift_series import NORMAL
from benchmarks.figures import write_figures
from benchmarks.machine import machine_facts
from benchmarks.prepared_log import LogPlan
from benchmarks.sustained_rate import Search
from schemas.errors import FleetpulseError
from udfs.drift.shift_policy import ShiftPolicy

KEYS = (
    "codec_points_per_cpu_s",
    "codec_vs_fastavro_ratio",
    "sustained_points_per_min",
    "drain_points_per_min",
    "aggregate_drain_points_per_min",
    "ratio_vs_flink_sql_decode",
    "ratio_vs_flink_sql_windows",
    "ratio_vs_quix",
    "ratio_vs_bytewax",
    "ratio_per_cpu_vs_flink_sql_decode",
    "ratio_per_cpu_vs_flink_sql_windows",
    "ratio_per_cpu_vs_quix",
    "ratio_per_cpu_vs_bytewax",
    "contacts_per_s",
    "alert_latency_p50_s",
    "alert_latency_p99_s",
    "freshness_p50_s",
    "freshness_p99_s",
    "loader_points_per_cpu_s",
    "stored_bytes_per_point",
    "drift_updates_per_cpu_s",
    "peak_memory_mb",
)
CODEC_ROUNDS = 3
LOADER_SECONDS = 60.0
"""Of the telemetry of 100,000 devices."""
DRIFT_STREAMS = 12_500
LAST_START_S = 180.0
"""A part that would begin later is left out: five minutes in all."""
PEERS = ("flink_sql_decode", "flink_sql_windows", "quix", "bytewax")
ENGINE_DEVICES, ENGINE_BATCHES = 10_000, 3
ENGINE_MAX_S = 90.0
SUSTAINED_WINDOW_S = 60.0

Figures = dict[str, float]


def codec(seed: int) -> Figures:
    """Return how fast messages become columns."""
    found = measure_codec.report(CODEC_ROUNDS, seed)
    return {
        "codec_points_per_cpu_s": round(found["points_per_cpu_s"]["ours"]["median"]),
        "codec_vs_fastavro_ratio": round(found["ratio_vs_fastavro"], 2),
    }


def loader(seed: int) -> Figures:
    """Return what points cost from a real broker to a readable table, and their bytes."""
    found = measure_loader.measure(LOADER_SECONDS, seed)
    return {
        "loader_points_per_cpu_s": found["points_per_cpu_s"],
        "stored_bytes_per_point": found["bytes_per_point"],
    }


def drift(seed: int) -> Figures:
    """Return how many windows D1 judges, one of each of 12,500 streams at a time."""
    rng = np.random.default_rng(seed)
    draw = NORMAL(rng, LEARNED_STREAMS)
    few = learned(draw, LEARNED_STREAMS, ShiftPolicy(provisional_count=BASELINE))
    streams = many(few, DRIFT_STREAMS).streams
    speed = per_cpu_s(streams, blocks(rng, DRIFT_STREAMS, 1))
    return {"drift_updates_per_cpu_s": round(speed)}


def peers(seed: int) -> Figures:
    """Return how the engine compares with others on one log, windows compared first."""
    names = (measure_peers.OWN, *PEERS)
    costs = measure_peers.measure(replace(measure_peers.QUICK, seed=seed), 1, names)
    found = measure_peers.figures_of(costs)
    figures: Figures = {
        "aggregate_drain_points_per_min": round(60 * found[names[0]]["points_per_s"]["median"])
    }
    for name in PEERS:
        figures[f"ratio_vs_{name}"] = round(found[name]["ratio"]["median"], 2)
        figures[f"ratio_per_cpu_vs_{name}"] = round(found[name]["ratio_per_cpu"]["median"], 2)
    return figures


def engine(seed: int) -> Figures:
    """Return how fast the whole engine drains a backlog, and one rate below that which it keeps."""
    plan = LogPlan(ENGINE_DEVICES, ENGINE_BATCHES, seed, has_heartbeats=True)
    search = Search(ENGINE_DEVICES, seed, SUSTAINED_WINDOW_S, steps=1)
    found = measure_drain.measure(plan, search, ENGINE_MAX_S)
    figures: Figures = {"drain_points_per_min": found["drain"]["drain_points_per_min"]}
    kept = found["sustained"]["sustained_points_per_min"]
    return figures | ({} if kept is None else {"sustained_points_per_min": kept})


PARTS: Mapping[str, Callable[[int], Figures]] = {
    "codec": codec,
    "drift": drift,
    "loader": loader,
    "peers": peers,
    "engine": engine,
}


def report(figures: Figures, seed: int) -> dict[str, Any]:
    """Return the report: every key is there, null where nothing measures it yet.

    >>> report({"codec_vs_fastavro_ratio": 9.5}, seed=1)["figures"]["ratio_vs_quix"] is None
    True
    """
    machine = machine_facts()
    versions = machine.pop("versions")
    unknown = figures.keys() - set(KEYS)
    assert not unknown, f"no key of the report: {unknown}"
    named = {key: figures.get(key) for key in KEYS}
    return {"machine": machine, "versions": versions, "seed": seed, "figures": named}


def table(figures: Mapping[str, float | None]) -> str:
    """Return the figures as lines for people.

    >>> print(table({"codec_vs_fastavro_ratio": 9.5, "ratio_vs_quix": None}))
    codec_vs_fastavro_ratio              9.5
    ratio_vs_quix                        not measured yet
    """
    return "\n".join(
        f"{name:<36} {'not measured yet' if value is None else f'{value:,}'}"
        for name, value in figures.items()
    )


def _measured(name: str, measure: Callable[[int], Figures], seed: int) -> Figures:
    """Return the figures of a part; one that fails leaves its own null and says why."""
    began_s = time.monotonic()
    try:
        figures = measure(seed)
    except (AssertionError, FleetpulseError) as error:
        print(f"{name}: not measured: {error}", flush=True)
        return {}
    print(f"{name}: {time.monotonic() - began_s:.0f} s", flush=True)
    return figures


def main() -> None:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--part", choices=sorted(PARTS), action="append", help="only these")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--store-baseline", action="store_true", help="for later runs")
    given = parser.parse_args()
    figures: Figures = {}
    began_s = time.monotonic()
    for name, measure in PARTS.items():
        if given.part is not None and name not in given.part:
            continue
        if given.part is None and time.monotonic() - began_s > LAST_START_S:
            print(f"{name}: not measured: no time left; alone: --part {name}", flush=True)
            continue
        figures |= _measured(name, measure, given.seed)
    # Of this process alone; the loader's engine is a process of its own.
    own_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children_kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    figures["peak_memory_mb"] = round(max(own_kib, children_kib) / 1024)
    found = report(figures, given.seed)
    write_figures(found, given.out)
    print(table(found["figures"]))
    print("\n".join(baseline.slower(found["figures"], baseline.stored())) or "nothing got slower")
    if given.store_baseline:
        baseline.store(found["figures"], {key: found[key] for key in ("machine", "seed")})


if __name__ == "__main__":
    main()
