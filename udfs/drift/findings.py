"""Findings: what a detector saw, how sure it is, and what a person needs to judge it."""

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Rule(StrEnum):
    """The families of findings; each is a rule of the alerts too."""

    DRIFT = "drift"
    DATA_QUALITY = "data-quality"
    CANARY = "canary"
    POWER_DRAIN = "power-drain"


class Severity(StrEnum):
    """How bad it is. The first two are for people who look; they never page."""

    INFO = "info"
    WATCH = "watch"
    MINOR = "minor"
    MAJOR = "major"
    CRITICAL = "critical"

    @property
    def does_page(self) -> bool:
        """Return whether somebody is to be told."""
        return self not in {Severity.INFO, Severity.WATCH}


class State(StrEnum):
    """Where an incident stands."""

    FIRING = "firing"
    RESOLVED = "resolved"
    INFO = "info"


@dataclass(frozen=True)
class Sample:
    """How values were distributed; None where it is not known.

    Args:
        count: windows in it.
        mean: of their values.
        p05: quantile, as p50 and p95.
        edges: n + 1 ascending edges of a histogram, in the unit of the metric.
        counts: windows in each of its n bins.
    """

    count: int = 0
    mean: float | None = None
    p05: float | None = None
    p50: float | None = None
    p95: float | None = None
    edges: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()


@dataclass(frozen=True)
class BaselineNote:
    """Which baseline was judged against.

    Args:
        baseline_id: names stream, versions, rule and span.
        window_count: windows it was learned from.
        from_ms: start of the first, UTC.
        until_ms: end of the last, UTC.
        is_provisional: fewer windows than wanted.
    """

    baseline_id: str
    window_count: int
    from_ms: int
    until_ms: int
    is_provisional: bool = False


@dataclass(frozen=True)
class DriftFinding:
    """One finding. Times are event time, UTC ms; fields that do not apply are None or empty.

    Args:
        tenant_id: owner.
        scope: device, group, tenant, model_version or rollout.
        subject: device id, group, or rollout.
        metric: name of the metric; empty for findings about all.
        rule: family.
        detector: which one of the family: esr, psi, missing_rate, stuck, unit_change, ...
        state: of the incident.
        severity: see `Severity`.
        window_ms: length of the windows.
        first_seen_ms: start of the window in which it most likely began.
        detected_at_ms: end of the window that completed the evidence.
        delay_windows: windows from the one to the other.
        log10_e: evidence: log10 of the e-detector's value; 0 where a rule is no matter of chance.
        expected_false_alarms: of this kind in 10,000 device-days, by the budget.
        direction: up, down, spread, or empty.
        shift_sigma: shift of the location in standard deviations of the baseline.
        psi: population stability index of after against before.
        w1_sigma: Wasserstein distance of the two, in standard deviations of the baseline.
        baseline: what was judged against.
        before: the baseline's distribution.
        after: since `first_seen_ms`.
        coverage: share of expected windows or devices that were there, 0 to 1.
        peers_affected: members of the group that drift too.
        peers: members of the group.
        co_drifting_metrics: of the same subject, strongest first.
        changed_tags: versions or groups that changed within 24 h before, as `name: old -> new`.
        quality_flags: findings about the measuring itself that explain it.
        explained_by_network: share of a shift of power that network and load explain, 0 to 1.
        reason: one sentence, or a standard word.
        suggested_action: one sentence.
        notify: whether somebody is told.
        incident_id: the same for all findings of one incident.
        finding_id: the same in every replay.
    """

    tenant_id: str
    scope: str
    subject: str
    metric: str
    rule: Rule
    detector: str
    state: State
    severity: Severity
    window_ms: int
    first_seen_ms: int
    detected_at_ms: int
    delay_windows: int = 0
    log10_e: float = 0.0
    expected_false_alarms: float | None = None
    direction: str = ""
    shift_sigma: float | None = None
    psi: float | None = None
    w1_sigma: float | None = None
    baseline: BaselineNote | None = None
    before: Sample = field(default_factory=Sample)
    after: Sample = field(default_factory=Sample)
    coverage: float = 1.0
    peers_affected: int = 0
    peers: int = 0
    co_drifting_metrics: tuple[str, ...] = ()
    changed_tags: tuple[str, ...] = ()
    quality_flags: tuple[str, ...] = ()
    explained_by_network: float | None = None
    reason: str = ""
    suggested_action: str = ""
    notify: bool = False
    incident_id: str = ""
    finding_id: str = ""

    def to_values(self) -> dict[str, Any]:
        """Return all fields as plain values."""
        return asdict(self)
