"""Findings with histograms, as the detector of shifts writes them, for tests of `explain`."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.drift_findings import WHOLE
from udfs.drift.finding_messages import finding_record
from udfs.drift.findings import DriftFinding, Sample

LEVELS = np.array((0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1))
SEED = 20261123


def samples(before: np.ndarray, after: np.ndarray) -> tuple[Sample, Sample]:
    """Return both in bins of the first one's quantiles; what is beyond is in the outermost."""
    edges = np.quantile(before, LEVELS)
    known = tuple(np.rint(np.diff(LEVELS) * len(before)).astype(int).tolist())
    places = np.searchsorted(edges[1:-1], after, side="left")
    found = tuple(np.bincount(places, minlength=len(edges) - 1).tolist())
    return _sample(before, edges, known), _sample(after, edges, found)


def _sample(values: np.ndarray, edges: np.ndarray, counts: tuple[int, ...]) -> Sample:
    quantiles = np.quantile(values, (0.05, 0.5, 0.95)).tolist()
    return Sample(len(values), float(values.mean()), *quantiles, tuple(edges.tolist()), counts)


def shifted(by: float = 2.0, **changes: Any) -> DriftFinding:
    """Return a finding about temperatures that are higher by so many degrees."""
    rng = np.random.default_rng(SEED)
    before, after = samples(rng.normal(50, 1, 1000), rng.normal(50 + by, 1, 64))
    made = replace(WHOLE, metric="cpu_temp_c", before=before, after=after)
    return replace(made, **changes)


def write_findings(path: Path, *findings: DriftFinding) -> Path:
    """Write findings as `fleetpulse detect` does."""
    rows = [{"key": finding.subject} | finding_record(finding) for finding in findings]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
