"""Measures what people are told of a fleet: nothing while calm, one incident of a fault.

    python -m benchmarks.measure_fleet_gate --days 14

Windows of devices (5 min) and of their groups (1 min) go through the detectors and the judgement of
groups as the job has them, one window of all devices at a time. A page is a finding that notifies.
"""

import argparse
import copy
import json
import os
import time

import numpy as np

from benchmarks.fleet_gate import FAULTS, Fault, Gate, GateFleet
from udfs.drift.budget import parse_budget

WINDOWS_PER_DAY = 288
LEARN_WINDOWS, LEARN_BLOCK = 1_300, 20
"""Baselines take 1,000 windows; the rest settles what was provisional."""


def main() -> None:
    """Print one line of JSON a fleet."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--devices", type=int, default=1_000)
    parser.add_argument("--groups", type=int, default=5)
    parser.add_argument("--metrics", type=int, default=8)
    parser.add_argument("--days", type=float, default=14.0, help="calm days after the baseline")
    parser.add_argument("--seed", type=int, default=20_261_123)
    parser.add_argument("--only", choices=["calm", "loose", "faults"])
    asked = parser.parse_args()
    fleet = GateFleet(asked.devices, asked.groups, asked.metrics)
    if asked.only in (None, "calm"):
        _print(_calm(fleet, asked, "1/10k_device_days"))
    if asked.only in (None, "loose"):
        _print(_calm(fleet, asked, "1/100_device_days"))
    if asked.only in (None, "faults"):
        learned = Gate(fleet, parse_budget("1/10k_device_days"), np.random.default_rng(asked.seed))
        learned.run(LEARN_WINDOWS, None, LEARN_BLOCK)
        for fault in FAULTS:
            _print(_faulty(copy.deepcopy(learned), fault))


def _print(figures: dict[str, object]) -> None:
    load = os.getloadavg()[0]
    print(json.dumps(figures | {"load": round(load, 1)}), flush=True)


def _calm(fleet: GateFleet, asked: argparse.Namespace, budget: str) -> dict[str, object]:
    """Return what a calm fleet is told of, against the budget."""
    started_s = time.process_time()
    gate = Gate(fleet, parse_budget(budget), np.random.default_rng(asked.seed))
    gate.run(LEARN_WINDOWS, None, LEARN_BLOCK)
    learned = len(gate.pages)
    gate.run(int(asked.days * WINDOWS_PER_DAY), None)
    device_days = fleet.devices * asked.days
    pages = gate.pages[learned:]
    return {
        "fleet": "calm", "budget": budget, "seed": asked.seed, "device_days": device_days,
        "expected_pages": parse_budget(budget).expected_pages(device_days),
        "pages": len(pages), "pages_while_learning": learned,
        "incidents_of_groups": sum(page.detector == "company" for page in pages),
        "pages_per_10k_device_days": 1e4 * len(pages) / device_days,
        "cpu_s": round(time.process_time() - started_s),
    }  # fmt: skip


def _faulty(gate: Gate, fault: Fault) -> dict[str, object]:
    """Return what a fleet that has learned is told of one fault in one group."""
    before = len(gate.pages)
    gate.run(fault.windows, fault)
    pages = gate.pages[before:]
    incidents = [page for page in pages if page.detector == "company"]
    first = incidents[0] if incidents else None
    return {
        "fleet": "fault", "fault": fault.name,
        "incidents": len({page.incident_id for page in incidents}),
        "device_pages": sum(page.scope == "device" for page in pages),
        "other_pages": sum(page.scope != "device" and page.detector != "company" for page in pages),
        "device_findings_silent": gate.silent_count,
        "windows_to_incident": None if first is None else gate.windows_since(first, LEARN_WINDOWS),
        "told_first": None if first is None else first.reason,
        "told_last": incidents[-1].reason if incidents else None,
        "is_top_metric_right": first is not None and first.metric in fault.metric_names,
    }  # fmt: skip


if __name__ == "__main__":
    main()
