"""How fast the engine works off a backlog, and at which rate it keeps up.

    python -m benchmarks.measure_drain --window-s 300 --out benchmarks/out/drain.json

    drain       the log lies there, then everything starts: jobs, loader, clock. From the first
                block that is settled until all windows are written, every point and window is
                stored and no reader is behind: points a minute.
    sustained   prepared messages are sent at a rate; it is kept when no reader falls further behind
                within the window. A binary search over rates, below the drain rate.

The fleet is that of the design point: of five messages of a device one is a batch of 50 points.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.cost_sampler import CostSampler, processes_named
from benchmarks.drain_tap import DrainTap
from benchmarks.figures import write_figures
from benchmarks.machine import load_1_min, machine_facts
from benchmarks.prepared_log import HOUR_MS, LogPlan, PreparedLog, write_log
from benchmarks.reader_lags import job_groups, lags_of
from benchmarks.sustained_rate import Search, highest_rate
from jobs.local_stack import LocalStack, Part
from jobs.ports import free_port_settings
from jobs.query import run_query
from jobs.settings import Settings
from jobs.submit import submit_from_child

OFFLINE = {"warning_after_s": 2 * 3600.0, "critical_after_s": 4 * 3600.0}
"""Nobody falls silent here: what an alert costs is measured elsewhere."""
MINUTE_S = 60
DRAIN_MAX_S = 900.0
POLL_INTERVAL_S = 1.0
BEHIND_MAX = 100
"""Messages that a reader may be behind and count as done: ticks and marks never end."""
SERVICES = {"loader": "jobs.loader_service", "clock": "jobs.clock_service"}
READY_TIMEOUT_S = 120.0

WRITTEN = "windows written"
STORED = {
    "points stored": "SELECT count() AS points FROM telemetry_points",
    "windows stored": """
SELECT sum(count + nan_count + out_of_range_count + duplicate_count) AS points
FROM windows WHERE scope = 'tenant'""",
}
"""How many points the tables know of; copies are kept among the points, and counted in windows."""


def start_engine(stack: LocalStack) -> None:
    """Start what reads: loader, clock and every job."""
    for name, module in SERVICES.items():
        stack.start_module(name, module)
    for name in SERVICES:
        stack.wait_until_ready(name, timeout_s=READY_TIMEOUT_S)
    assert submit_from_child(stack.settings) == 0, "the jobs were not submitted"


def measure_drain(stack: LocalStack, plan: LogPlan, max_s: float) -> dict[str, Any]:
    """Write a backlog, start everything, and wait until all of it is stored.

    Args:
        stack: broker, registry and cluster, nothing sent yet.
        plan: of the backlog.
        max_s: when it gives up.

    Raises:
        AssertionError: it was not done in time, or too much is stored.
    """
    started_at_ms = int(time.time()) * 1000 // HOUR_MS * HOUR_MS - 6 * HOUR_MS
    log = write_log(stack.settings, plan, started_at_ms)
    names = (*SERVICES, "jobmanager", "taskmanager")
    with (
        DrainTap(stack.settings) as tap,
        CostSampler(processes_named(stack.settings, names)) as costs,
    ):
        start_engine(stack)
        done_s = _wait_until_stored(stack.settings, log, tap, max_s)
        costs.sample()
        span, end_s = tap.span(), max(done_s.values())
        points = span.points
        cpu = costs.cpu_by_name(span.begin_s, end_s)
    return {
        "points": points,
        "messages": log.message_count,
        "windows_written_s": round(span.wall_s, 1),
        "done_after_s": {name: round(at_s - span.begin_s, 1) for name, at_s in done_s.items()},
        "windows_points_per_min": round(points / span.wall_s * MINUTE_S),
        "drain_points_per_min": round(points / (end_s - span.begin_s) * MINUTE_S),
        "points_per_cpu_s": round(points / sum(cpu.values())),
        "cpu_s": {name: round(spent_s, 1) for name, spent_s in cpu.items()},
        "peak_mb": round(costs.peak_mb),
        "load_1_min": load_1_min(),
    }


def _wait_until_stored(
    settings: Settings, log: PreparedLog, tap: DrainTap, max_s: float
) -> dict[str, float]:
    """Wait for every part; return when each had done all, UTC seconds."""
    done_s: dict[str, float] = {}
    give_up_at_s = time.monotonic() + max_s
    groups = set(job_groups(settings))
    while not groups | set(STORED) | {WRITTEN} <= set(done_s):
        assert time.monotonic() < give_up_at_s, f"not done in time; so far {done_s}"
        time.sleep(POLL_INTERVAL_S)
        tap.check()
        if tap.settled >= log.point_count:
            done_s.setdefault(WRITTEN, tap.span().end_s)
        _note_readers(done_s, lags_of(settings))
        # A look at the tables costs the loader: only when it may be the last.
        if groups | {WRITTEN} <= set(done_s):
            for name, sql in STORED.items():
                if name not in done_s and _stored(settings, sql) == log.point_count:
                    done_s[name] = time.time()
    return done_s


def _note_readers(done_s: dict[str, float], lags: Mapping[str, float]) -> None:
    """Note who is not behind any more; who falls behind again was not done."""
    for group, lag in lags.items():
        if lag <= BEHIND_MAX:
            done_s.setdefault(group, time.time())
        else:
            done_s.pop(group, None)


def _stored(settings: Settings, sql: str) -> int:
    return int(run_query(settings, sql).item() or 0)


def measure(plan: LogPlan, search: Search | None, max_s: float = DRAIN_MAX_S) -> dict[str, Any]:
    """Measure the drain and, on the same stack, the highest rate that is kept."""
    with tempfile.TemporaryDirectory(prefix="drain-", ignore_cleanup_errors=True) as folder:
        settings = free_port_settings(Path(folder), offline=OFFLINE)
        parts = (Part.KAFKA, Part.REGISTRY, Part.FLINK)
        with LocalStack(settings, parts=parts) as stack:
            found: dict[str, Any] = {"drain": measure_drain(stack, plan, max_s)}
            print(json.dumps(found["drain"]), flush=True)
            if search is not None:
                drained = found["drain"]["drain_points_per_min"]
                found["sustained"] = highest_rate(settings, search, drained)
    return found


def main() -> None:
    """Measure, print, and write the figures where `--out` says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--devices", type=int, default=100_000)
    parser.add_argument("--batches", type=int, default=3, help="of each device, in the backlog")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--window-s", type=float, default=300.0, help="how long a rate is kept")
    parser.add_argument("--steps", type=int, default=3, help="of the search; 0: drain only")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    plan = LogPlan(given.devices, given.batches, given.seed, has_heartbeats=True)
    search = Search(given.devices, given.seed, given.window_s, given.steps) if given.steps else None
    about = {"machine": machine_facts(), "seed": given.seed}
    print(write_figures(about | measure(plan, search), given.out))


if __name__ == "__main__":
    main()
