"""From an alarm of a stream to a finding: who, against what, how sure, and what to do."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from udfs.drift.alarms import Alarms
from udfs.drift.findings import DriftFinding, Rule, Severity, State
from udfs.drift.profiles import HAS_NEW_UNIT, IS_STUCK
from udfs.drift.rates import RATES
from udfs.drift.shift_alarms import RANKS, SHIFT
from udfs.drift.shift_findings import ShiftPicture
from udfs.drift.shift_table import NEVER_MS
from udfs.drift.stream_detectors import StreamDetectors, StreamStep
from udfs.partition_clocks import Int64s

ID_LENGTH = 32
QUANTITIES = {
    "stuck": "windows in a row without a change",
    "missing_rate": "share of points",
    "nan_rate": "share of points",
    "out_of_range_rate": "share of points",
    "low_confidence_rate": "share of points",
    "error_rate": "share of points",
}
"""Of which a detector says before and after; others mean the value."""
ACTIONS = {
    "up": "compare with what changed before the first window; roll back, or accept a new normal",
    "down": "compare with what changed before the first window; roll back, or accept a new normal",
    "wide": "look at single values: the level is as usual, the spread is not",
    "narrow": "look for clipping, averaging or a stuck source: the spread has gone",
}


@dataclass(frozen=True)
class StreamName:
    """Whose windows a stream has.

    Args:
        tenant_id: owner.
        scope: as in `DriftFinding`.
        subject: device, group, or key.
        metric: name of the metric.
        version: of the model, where streams of several are told apart by their findings.
    """

    tenant_id: str
    scope: str
    subject: str
    metric: str
    version: str = ""

    @property
    def text(self) -> str:
        """Return all of it, to name things by."""
        names = (self.tenant_id, self.scope, self.subject, self.metric)
        return "/".join((*names, self.version) if self.version else names)


def findings_of(
    step: StreamStep, names: Sequence[StreamName], window_ms: Int64s
) -> Iterator[DriftFinding]:
    """Yield the findings of what one step has shown, in the order of their time.

    Args:
        step: alarms of streams, with the pictures of shifts.
        names: of the streams, by row.
        window_ms: of the streams, by row.
    """
    pictures = iter(step.pictures)
    found = []
    for alarm in _rows(step.fired):
        picture = next(pictures) if alarm["detector"] == SHIFT else None
        stream = alarm["stream"]
        found.append(_fired(alarm, names[stream], int(window_ms[stream]), picture))
    found += [
        _ended(alarm, names[alarm["stream"]], int(window_ms[alarm["stream"]]))
        for alarm in _rows(step.ended)
    ]
    return iter(sorted(found, key=lambda each: each.detected_at_ms))


def _rows(alarms: Alarms) -> Iterator[dict[str, Any]]:
    columns = {name: column.tolist() for name, column in vars(alarms).items()}
    return (
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    )


def _fired(
    alarm: dict[str, Any], name: StreamName, window_ms: int, picture: ShiftPicture | None
) -> DriftFinding:
    # An incident is named by what its end knows too.
    opened_ms = alarm["first_seen_ms"]
    if picture is not None:
        is_open = picture.opened_ms != NEVER_MS
        opened_ms = picture.opened_ms if is_open else alarm["detected_at_ms"]
    plain = _finding(alarm, name, window_ms, opened_ms, State.FIRING)
    if picture is None:
        return replace(plain, reason=_reason(alarm))
    sigma = (alarm["after"] - alarm["before"]) / picture.scale
    baseline_id = f"{name.text}/{picture.baseline.baseline_id}"
    return replace(
        plain,
        before=picture.before,
        after=picture.after,
        psi=picture.psi,
        w1_sigma=picture.w1_sigma,
        baseline=replace(picture.baseline, baseline_id=baseline_id),
        shift_sigma=sigma,
        reason=f"{alarm['direction']}: {_reason(alarm)} ({sigma:+.1f} sigma)",
        suggested_action=ACTIONS[alarm["direction"]],
    )


def _ended(alarm: dict[str, Any], name: StreamName, window_ms: int) -> DriftFinding:
    plain = _finding(alarm, name, window_ms, alarm["first_seen_ms"], State.RESOLVED)
    return replace(plain, reason="the windows have been as in the baseline again")


def _finding(
    alarm: dict[str, Any], name: StreamName, window_ms: int, opened_ms: int, state: State
) -> DriftFinding:
    """Return what findings of all detectors have."""
    detector, severity = alarm["detector"], Severity(alarm["severity"])
    incident = _id(name.text, detector, str(opened_ms))
    end_ms = alarm["detected_at_ms"]
    return DriftFinding(
        tenant_id=name.tenant_id, scope=name.scope, subject=name.subject, metric=name.metric,
        rule=Rule.DRIFT if detector == SHIFT else Rule.DATA_QUALITY, detector=detector,
        state=state, severity=severity, window_ms=window_ms,
        first_seen_ms=alarm["first_seen_ms"], detected_at_ms=end_ms,
        delay_windows=max((end_ms - alarm["first_seen_ms"]) // window_ms, 0),
        log10_e=alarm["log10_e"], direction=alarm["direction"], notify=severity.does_page,
        incident_id=incident,
        finding_id=_id(incident, state.value, severity.value, str(end_ms)),
    )  # fmt: skip


def _reason(alarm: dict[str, Any]) -> str:
    change = f"{alarm['before']:.6g} -> {alarm['after']:.6g}"
    if alarm["note"]:
        return f"{alarm['note']}: {change}"
    return f"{QUANTITIES.get(alarm['detector'], 'mean')} {change}"


def accepted_findings(
    rows: Int64s, names: Sequence[StreamName], detectors: StreamDetectors, clock_ms: int
) -> list[DriftFinding]:
    """Return the ends of the incidents of streams whose present is accepted as normal.

    Args:
        rows: the streams.
        names: of all streams, by row.
        detectors: of them, before they forget.
        clock_ms: when it is accepted.
    """
    shifts = detectors.shifts.table
    found = []
    for row in rows.tolist():
        of_row = names[row], clock_ms, int(detectors.window_ms[row])
        if shifts["opened_rank"][row] > 0:
            severity = Severity(str(RANKS[shifts["opened_rank"][row]]))
            ended = accepted_finding(SHIFT, int(shifts["opened_ms"][row]), *of_row)
            finding_id = _id(ended.incident_id, ended.state.value, severity.value, str(clock_ms))
            found.append(replace(ended, severity=severity, notify=severity.does_page,
                                 finding_id=finding_id))  # fmt: skip
        found += [
            accepted_finding(detector, since_ms, *of_row)
            for detector, since_ms in _open_rules(detectors, row)
        ]
    return found


def _open_rules(detectors: StreamDetectors, row: int) -> Iterator[tuple[str, int]]:
    """Yield the rates and rules that hold against a stream, and since when."""
    rates, quality = detectors.rates[row], detectors.quality[row]
    shares = {f"{name}_rate": rates[name] for name in RATES} | {"saturation": quality["edge"]}
    for detector, share in shares.items():
        if share["calm_count"] > 0:
            yield detector, int(share["first_seen_ms"])
    if quality["flags"] & IS_STUCK:
        yield "stuck", int(quality["run_start_ms"])
    if quality["flags"] & HAS_NEW_UNIT:
        yield "unit_change", int(quality["candidate_start_ms"])


def accepted_finding(
    detector: str, since_ms: int, name: StreamName, clock_ms: int, window_ms: int
) -> DriftFinding:
    """Return the end of one incident whose present is accepted as normal."""
    alarm = {"detector": detector, "severity": Severity.INFO.value, "first_seen_ms": since_ms}
    alarm |= {"detected_at_ms": clock_ms, "log10_e": 0.0, "direction": ""}
    return replace(_ended(alarm, name, window_ms), reason="accepted_new_normal")


def insufficient(name: StreamName, time_ms: int, count: int, needed: int) -> DriftFinding:
    """Return what is said of a stream that is too short for a verdict."""
    incident = _id(name.text, "insufficient")
    return DriftFinding(
        tenant_id=name.tenant_id, scope=name.scope, subject=name.subject, metric=name.metric,
        rule=Rule.DRIFT, detector="none", state=State.INFO, severity=Severity.INFO, window_ms=0,
        first_seen_ms=time_ms, detected_at_ms=time_ms,
        reason=f"insufficient_data: {count} windows with a value, {needed} are needed",
        incident_id=incident, finding_id=incident,
    )  # fmt: skip


def _id(*parts: str) -> str:
    return sha256("\n".join(parts).encode()).hexdigest()[:ID_LENGTH]
