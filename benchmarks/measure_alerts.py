"""Measures alerts: how late they are, what a silent fleet costs, how fast a backlog is read.

    python -m benchmarks.measure_alerts --out benchmarks/out/alerts.json

    steady     the whole stack, 100,000 devices, some of which fall silent one by one
    storm      then all of them fall silent within a minute
    contacts   a backlog that the offline job alone reads
    outage     a backlog that all jobs read while the fleet sends on

Thresholds are shorter than in production, so that a run takes minutes: how late an event is after
it is due does not depend on them. Nothing is believed before each device has its events, once.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.alert_latency import AlertRun
from benchmarks.catch_up import measure_contacts, measure_outage
from benchmarks.figures import write_figures
from benchmarks.machine import machine_facts
from jobs.local_stack import LocalStack, Part
from jobs.ports import free_port_settings

GOAL_P50_S, GOAL_P99_S = 3.0, 10.0
GOAL_STORM_S = 10.0
GOAL_CONTACTS_PER_S = 60_000
GOAL_HOUR_S = 600.0
DEVICE_COUNT = 100_000
PHASES = ("steady", "storm", "contacts", "outage")
OFFLINE = {"warning_after_s": 120.0, "critical_after_s": 180.0}
"""Twice and three times the time between two contacts."""
NEVER_LAGS = {"warning_after_s": 3_600.0, "critical_after_s": 7_200.0, "lag_after_s": 86_400.0}
"""Where marks tell how far a job has come, they must not wait for the end of the backlog, nor for
the storm of the whole fleet, which is silent once the backlog is written."""
READING_PARTS = (Part.KAFKA, Part.REGISTRY, Part.FLINK, Part.CLOCK)


def report(given: argparse.Namespace) -> dict[str, Any]:
    """Run the phases that were asked for; return everything that belongs to them."""
    figures: dict[str, Any] = {}
    if "steady" in given.phases or "storm" in given.phases:
        with _stack(given, OFFLINE, tuple(Part)) as stack:
            figures |= AlertRun(stack, given.seconds).run(with_storm="storm" in given.phases)
    if "contacts" in given.phases:
        with _stack(given, NEVER_LAGS, READING_PARTS) as stack:
            figures["contacts"] = measure_contacts(stack, given.minutes)
    if "outage" in given.phases:
        with _stack(given, NEVER_LAGS, (*READING_PARTS, Part.LOADER)) as stack:
            figures["outage"] = measure_outage(stack, given.minutes)
    return {"machine": machine_facts(), "devices": given.devices, "offline": OFFLINE} | figures


def missed_goals(figures: dict[str, Any]) -> list[str]:
    """Return a line for each goal that was missed.

    >>> missed_goals({"contacts": {"contacts_per_s": 59_999}})
    ['contacts: 59999 a second, goal 60000']
    """
    missed = []
    if "steady" in figures:
        found = figures["steady"]["latency"]
        if found["p50_s"] > GOAL_P50_S or found["p99_s"] > GOAL_P99_S:
            missed.append(f"steady: {found}, goal p50 {GOAL_P50_S} s, p99 {GOAL_P99_S} s")
    if "storm" in figures:
        slowest = {level: figures["storm"][level]["latency"] for level in ("warnings", "criticals")}
        late = [level for level, found in slowest.items() if found["max_s"] > GOAL_STORM_S]
        missed += [f"storm: {level} {slowest[level]}, goal {GOAL_STORM_S} s" for level in late]
    if "contacts" in figures:
        per_s = figures["contacts"]["contacts_per_s"]
        if per_s < GOAL_CONTACTS_PER_S:
            missed.append(f"contacts: {per_s} a second, goal {GOAL_CONTACTS_PER_S}")
    if "outage" in figures:
        hour_s = figures["outage"]["hour_computed_s"]
        if hour_s > GOAL_HOUR_S:
            missed.append(f"outage: an hour takes {hour_s} s, goal {GOAL_HOUR_S} s")
    return missed


@contextmanager
def _stack(
    given: argparse.Namespace, offline: dict[str, float], parts: Sequence[Part]
) -> Iterator[LocalStack]:
    """Start a stack in an empty folder; both are gone afterwards."""
    groups: dict[str, dict[str, Any]] = {
        "fleet": {"device_count": given.devices, "speed": 1.0, "seed": given.seed},
        "offline": offline,
    }
    with tempfile.TemporaryDirectory(prefix="alerts-") as folder:
        settings = free_port_settings(Path(folder), **groups)
        with LocalStack(settings, parts=parts, report=print) as stack:
            yield stack


def main() -> None:
    """Measure, print, write the figures where `--out` says, and fail when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, default=DEVICE_COUNT)
    parser.add_argument("--seconds", type=float, default=90.0, help="in which devices die")
    parser.add_argument("--minutes", type=int, default=12, help="of the fleet in the backlog")
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=list(PHASES))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    figures = report(given)
    print(write_figures(figures, given.out))
    missed = missed_goals(figures)
    assert not missed, "; ".join(missed)


if __name__ == "__main__":
    main()
