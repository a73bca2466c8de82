"""Measures freshness: from a message's append time to its window's row in an answer of the table.

    python -m benchmarks.measure_freshness --seconds 200 --out benchmarks/out/freshness.json

Starts the whole local stack and a fleet of 100,000 devices that send 1,000,000 points a minute, and
probes it once a second (benchmarks/freshness_probe.py). Nothing is believed before the account of
every message and point balances with what the fleet has sent.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures import histogram, quantiles, write_figures
from benchmarks.fleet_values import POINTS_PER_BATCH
from benchmarks.freshness_probe import Probe, ProbeRun
from benchmarks.machine import cpu_shares, machine_facts
from benchmarks.simulator import SUMMARY_FILE
from jobs.local_stack import LocalStack
from jobs.ports import free_port_settings
from jobs.query import run_query
from jobs.settings import Settings
from schemas.topics import Topic, topic_name

GOAL_P50_S, GOAL_P99_S = 8.0, 15.0
DEVICE_COUNT, SPEED = 100_000, 1.0
WARM_UP_S = 60.0
POLL_INTERVAL_S = 1.0
"""A look takes 0.1 s of the loader's process; what it finds is late by half of this in the mean."""
SETTLE_S = 120.0
SIMULATOR = "simulator"
SIMULATOR_READY_S = 120.0
RATE_SHARE_MIN = 0.97
"""A fleet that sends less than this share of its rate was starved itself: no measurement."""

ACCOUNT_SQL = """
SELECT sum(messages_read - ticks) AS messages, sum(points_read) AS points,
    sum(messages_rejected) AS rejected, sum(missing) AS missing
FROM v_accounts WHERE topic = '{topic}'"""
STORED_SQL = """
SELECT sum(count + nan_count + out_of_range_count + duplicate_count) AS points
FROM windows WHERE scope = 'tenant'"""

PARTS: tuple[tuple[str, str, str], ...] = (
    ("decode, shards, windows: appended -> written to windows", "appended_ms", "written_ms"),
    ("checkpoint and commit: written -> committed", "written_ms", "committed_ms"),
    ("loader, insert, query: committed -> readable", "committed_ms", "readable_ms"),
    ("in all", "appended_ms", "readable_ms"),
)


def points_per_min(settings: Settings) -> float:
    """Return the rate that a fleet of these settings sends at, without faults."""
    fleet = settings.fleet
    batches_per_min = fleet.device_count * fleet.speed * 60 / fleet.batch_interval_s
    return batches_per_min * POINTS_PER_BATCH


def parts_of(probes: Sequence[Probe]) -> dict[str, dict[str, float]]:
    """Return where the time went: the quantiles of each part of the way."""
    return {
        name: quantiles([getattr(probe, end) - getattr(probe, start) for probe in probes])
        for name, start, end in PARTS
    }


def measure(stack: LocalStack, seconds: float) -> dict[str, Any]:
    """Send, probe and wait until everything has arrived; return the figures.

    Raises:
        Unavailable: a part of the stack ended.
        AssertionError: something is missing, or the fleet could not keep its rate.
    """
    settings = stack.settings
    stack.start_module(SIMULATOR, "benchmarks.simulator")
    stack.wait_until_ready(SIMULATOR, timeout_s=SIMULATOR_READY_S)
    with ProbeRun(settings, POLL_INTERVAL_S) as run:
        _wait(run, WARM_UP_S)
        first, before = len(run.probes.sent), stack.processes()
        _wait(run, seconds)
        after, last = stack.processes(), len(run.probes.sent)
        run.finish(SETTLE_S)
        stack.stop_process(SIMULATOR)
        sent = json.loads((stack.run_dir / SUMMARY_FILE).read_text(encoding="utf-8"))
        arrived = _arrived(settings, sent, len(run.probes.sent))
        run.check()
    probes = run.probes.sent[first:last]
    assert all(probe.readable_ms is not None for probe in probes), "a probe never came"
    total_ms = [(p.readable_ms or 0) - (p.appended_ms or 0) for p in probes]
    rate = sent["points"] * 60 / sent["elapsed_s"]
    return {
        "probes": len(probes),
        "freshness": quantiles(total_ms),
        "histogram": histogram(total_ms),
        "parts": parts_of(probes),
        "query_median_ms": round(1000 * float(np.median(run.probes.query_s)), 1),
        "points_per_min": round(rate),
        "share_of_rate": round(rate / points_per_min(settings), 3),
        "arrived": arrived,
        "cpu_share": cpu_shares(before, after, seconds),
    }


def _wait(run: ProbeRun, seconds: float) -> None:
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        run.check()
        time.sleep(POLL_INTERVAL_S)


def _arrived(settings: Settings, sent: dict[str, Any], probe_count: int) -> dict[str, int]:
    """Wait until what was sent is accounted for and stored; return the account."""
    topic = topic_name(Topic.TELEMETRY, settings.kafka.topic_prefix)
    expected = {
        "messages": sent["messages"] + probe_count,
        "points": sent["points"] + probe_count,
        "stored_points": sent["points"] + probe_count,
        "rejected": 0,
        "missing": 0,
    }

    def account() -> dict[str, int]:
        row = run_query(settings, ACCOUNT_SQL.format(topic=topic)).row(0, named=True)
        stored = run_query(settings, STORED_SQL).item()
        return {name: int(value) for name, value in row.items()} | {"stored_points": int(stored)}

    return _becomes(account, expected)


def _becomes(read: Callable[[], dict[str, int]], expected: dict[str, int]) -> dict[str, int]:
    give_up_at_s = time.monotonic() + SETTLE_S
    while (found := read()) != expected:
        assert time.monotonic() < give_up_at_s, f"arrived: {found}, sent: {expected}"
        time.sleep(POLL_INTERVAL_S)
    return found


def report(given: argparse.Namespace) -> dict[str, Any]:
    """Run one measurement and return everything that belongs to it."""
    groups = {
        "fleet": {"device_count": given.devices, "speed": given.speed, "seed": given.seed},
        "flink": {
            "shard_count": given.shards,
            "checkpoint_interval_ms": given.checkpoint_ms,
            "block_max_age_ms": given.block_age_ms,
        },
        "loader": {"batch_max_age_ms": given.batch_age_ms},
    }
    with tempfile.TemporaryDirectory(prefix="freshness-") as folder:
        settings = free_port_settings(Path(folder), **groups)
        with LocalStack(settings, report=print) as stack:
            figures = measure(stack, given.seconds)
    return {
        "machine": machine_facts(),
        "settings": groups,
        "goal": {"p50_s": GOAL_P50_S, "p99_s": GOAL_P99_S},
        **figures,
    }


def main() -> None:
    """Measure, print, and write the figures where `--out` says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=200.0, help="after the warm-up")
    parser.add_argument("--devices", type=int, default=DEVICE_COUNT)
    parser.add_argument("--speed", type=float, default=SPEED)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shards", type=int, default=16)
    parser.add_argument("--checkpoint-ms", type=int, default=5_000)
    parser.add_argument("--block-age-ms", type=int, default=1_000)
    parser.add_argument("--batch-age-ms", type=int, default=1_000)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    figures = report(given)
    print("\n".join(figures["histogram"]))
    print(write_figures(figures, given.out))
    assert figures["share_of_rate"] >= RATE_SHARE_MIN, "the fleet could not keep its rate"
    found = figures["freshness"]
    assert found["p50_s"] <= GOAL_P50_S, "the median is over its goal"
    assert found["p99_s"] <= GOAL_P99_S, "the 99th percentile is over its goal"


if __name__ == "__main__":
    main()
