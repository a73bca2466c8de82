"""Findings for tests, every field of them filled."""

from dataclasses import replace
from typing import Any

from udfs.drift.findings import (
    BaselineNote,
    DriftFinding,
    Rule,
    Sample,
    Severity,
    State,
)

START_MS = 1_767_225_600_000  # 2026-01-01
MINUTE_MS = 60_000
WHOLE = DriftFinding(
    tenant_id="t0",
    scope="device",
    subject="cam-1",
    metric="power_w",
    rule=Rule.DRIFT,
    detector="esr",
    state=State.FIRING,
    severity=Severity.MAJOR,
    window_ms=5 * MINUTE_MS,
    first_seen_ms=START_MS,
    detected_at_ms=START_MS + 20 * MINUTE_MS,
    delay_windows=4,
    log10_e=8.25,
    expected_false_alarms=0.125,
    direction="up",
    shift_sigma=1.5,
    psi=0.31,
    w1_sigma=1.4,
    baseline=BaselineNote("b-1", 1000, START_MS - 86_400_000, START_MS, is_provisional=True),
    before=Sample(1000, 4.5, 4.0, 4.5, 5.0, (4.0, 4.5, 5.0), (500, 500)),
    after=Sample(4, 6.0, 5.5, 6.0, 6.5, (5.5, 6.5), (4,)),
    coverage=0.75,
    peers_affected=3,
    peers=40,
    co_drifting_metrics=("cpu_temp_c", "load_ratio"),
    changed_tags=("firmware_version: 1.0 -> 1.1",),
    quality_flags=("stuck",),
    explained_by_network=0.2,
    reason="power_w of cam-1 is up by 1.5 sigma.",
    suggested_action="Look at the firmware of cam-1.",
    notify=True,
    incident_id="i-1",
    finding_id="f-1",
)


def finding(**changes: Any) -> DriftFinding:
    """Return a finding with every field filled, some of them changed."""
    return replace(WHOLE, **changes)
