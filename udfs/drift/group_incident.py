"""The incident of one group: who moves in it, and how it is told."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from udfs.alerts import NAMESPACE, uuid5_text
from udfs.drift.findings import DriftFinding, Rule, Severity, State
from udfs.offline_policy import MINUTE_MS
from udfs.windows import Scope

DEVICE, GROUP = Scope.DEVICE.value, Scope.GROUP.value
DETECTOR = "company"
RANKS = [severity.value for severity in Severity]
MAJOR_SIGMA, CRITICAL_SIGMA = 1.0, 2.0
CRITICAL_RATIO = 0.2
"""Of the devices of a group: so many are critical, however little they have moved."""
NAMED_COUNT = 5
TOGETHER_MS = 30 * MINUTE_MS
"""What begins within it belongs together."""
SAME_METRIC_MS = 6 * 60 * MINUTE_MS
"""The same for one metric: evidence takes hours, and not the same of each device."""


@dataclass(frozen=True)
class Mover:
    """A stream that moves.

    Args:
        scope: device or group.
        subject: device, or the group.
        metric: of the stream.
        margin: log10 of its evidence over what pages; 0 and more: it pages.
        shift_sigma: how far it has moved, None where that is not said.
        severity: of its finding.
        first_seen_ms: when it began, event time.
        began_ms: the step at which it was found.
    """

    scope: str
    subject: str
    metric: str
    margin: float
    shift_sigma: float | None
    severity: str
    first_seen_ms: int
    began_ms: int

    def is_like(self, other: "Mover") -> bool:
        """Return whether another stream moves in the same metric, and to the same side."""
        is_same_side = (self.shift_sigma or 0.0) * (other.shift_sigma or 0.0) >= 0
        return self.metric == other.metric and is_same_side

    @classmethod
    def of(cls, finding: DriftFinding, began_ms: int) -> Self:
        """Return the stream of a finding that pages."""
        return cls(
            finding.scope, finding.subject, finding.metric, max(finding.log10_e, 0.0),
            finding.shift_sigma, finding.severity.value, finding.first_seen_ms, began_ms,
        )  # fmt: skip


@dataclass
class Incident:
    """An incident that lasts.

    Args:
        tenant_id: owner.
        deployment_group: of the devices.
        incident_id: names it.
        opened_ms: the step at which it began.
        last_ms: the last step at which something joined.
        first_seen_ms: when its first mover began.
        size: devices of the group.
        severity: that was told; empty before.
        told_count: devices that were told.
        devices: that have moved, ever.
        metrics: that have moved, the strongest shift of each.
        log10_margin: of the surest stream.
        members: incidents of streams that belong to it and still move.
    """

    tenant_id: str
    deployment_group: str
    incident_id: str
    opened_ms: int
    last_ms: int
    first_seen_ms: int = 0
    size: int = 0
    severity: str = ""
    told_count: int = 0
    devices: set[str] = field(default_factory=set)
    metrics: dict[str, float] = field(default_factory=dict)
    log10_margin: float = 0.0
    members: set[str] = field(default_factory=set)

    @property
    def key(self) -> tuple[str, str]:
        """Return whose incident it is."""
        return self.tenant_id, self.deployment_group

    def takes(self, mover: Mover) -> bool:
        """Return whether a stream that begins to move belongs to it."""
        span_ms = SAME_METRIC_MS if mover.metric in self.metrics else TOGETHER_MS
        return mover.began_ms - self.last_ms <= span_ms

    def grow(self, present: Sequence[Mover]) -> bool:
        """Take in what moves; say whether the incident must be told, anew or again."""
        for mover in present:
            if mover.scope == DEVICE:
                self.devices.add(mover.subject)
            shift = mover.shift_sigma or 0.0
            if abs(shift) >= abs(self.metrics.get(mover.metric, 0.0)):
                self.metrics[mover.metric] = shift
            self.log10_margin = max(self.log10_margin, mover.margin)
        if present and not self.severity:
            self.first_seen_ms = min(mover.first_seen_ms for mover in present)
        severity = max(
            _severity(self, present), self.severity or Severity.INFO.value, key=RANKS.index
        )
        is_worse = severity != self.severity
        is_wider = self.told_count > 0 and len(self.devices) >= 2 * self.told_count
        if is_worse or is_wider:
            self.severity, self.told_count = severity, len(self.devices)
        return is_worse or is_wider

    def to_values(self) -> dict[str, Any]:
        """Return everything for the state's bytes."""
        return asdict(self) | {"devices": sorted(self.devices), "members": sorted(self.members)}

    @classmethod
    def of_values(cls, values: dict[str, Any]) -> Self:
        """Return what `to_values` wrote."""
        return cls(**values | {name: set(values[name]) for name in ("devices", "members")})


def _severity(incident: Incident, present: Sequence[Mover]) -> str:
    """Return how grave it is: by the strongest shift, and by how many devices move."""
    graves = [m.severity for m in present]
    shifts = [abs(m.shift_sigma or 0.0) for m in present]
    strongest = max(shifts, default=0.0)
    if len(incident.devices) > CRITICAL_RATIO * incident.size > 0 or strongest >= CRITICAL_SIGMA:
        return Severity.CRITICAL.value
    by_shift = Severity.MAJOR if strongest >= MAJOR_SIGMA else Severity.MINOR
    return max([by_shift.value, *graves], key=RANKS.index)


def finding_of_incident(
    incident: Incident, present: Sequence[Mover], step_ms: int, state: State
) -> DriftFinding:
    """Return what is said of an incident.

    Args:
        incident: as it stands.
        present: what moves now.
        step_ms: of the clock.
        state: firing or resolved.
    """
    names = sorted(incident.metrics, key=lambda name: (-abs(incident.metrics[name]), name))
    metric = names[0] if names else ""
    shift = incident.metrics.get(metric) or None
    is_over = state is State.RESOLVED
    said = (incident.incident_id, state.value, incident.severity, str(step_ms))
    return DriftFinding(
        tenant_id=incident.tenant_id, scope=GROUP, subject=incident.deployment_group,
        metric=metric, rule=Rule.DRIFT, detector=DETECTOR, state=state,
        severity=Severity(incident.severity), window_ms=0,
        first_seen_ms=incident.first_seen_ms, detected_at_ms=step_ms,
        log10_e=incident.log10_margin, direction=_direction(present, metric), shift_sigma=shift,
        peers_affected=len(incident.devices), peers=incident.size,
        co_drifting_metrics=tuple(names[1:]),
        reason="nothing of it moves any more" if is_over else _reason(incident, names),
        suggested_action="look for what these devices have in common: a version, a site, a network",
        notify=not is_over, incident_id=incident.incident_id,
        finding_id=uuid5_text(NAMESPACE, "/".join(said)),
    )  # fmt: skip


def _direction(present: Sequence[Mover], metric: str) -> str:
    """Return where most streams of a metric have moved."""
    shifts = [m.shift_sigma for m in present if m.metric == metric and m.shift_sigma]
    total = sum(1 if shift > 0 else -1 for shift in shifts)
    return "up" if total > 0 else "down" if total < 0 else ""


def _reason(incident: Incident, names: Sequence[str]) -> str:
    count, size = len(incident.devices), incident.size
    told = ", ".join(f"{n} ({incident.metrics[n]:+.1f} sigma)" for n in names[:NAMED_COUNT])
    more = f" and {len(names) - NAMED_COUNT} more" if len(names) > NAMED_COUNT else ""
    if count == 0:
        return f"the group as a whole moves: {told}{more}"
    return f"{count} of {size} devices ({count / max(size, 1):.0%}) move together: {told}{more}"
