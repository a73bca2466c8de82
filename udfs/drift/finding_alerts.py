"""Findings that somebody is to be told of, as alert events (ALERTS.md C3, C6, C10).

    dedup_key  = "<rule>/<incident_id>/tenant/subject/first_seen"
    episode_id = uuid5 of the same; seq 1, 2, ... within it

One incident is one episode: its first finding that pages fires it, later ones only when they are
worse, and its end resolves it. What is no more than info or watch is on the topic `drift` alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from schemas.severity import Severity
from udfs.alerts import AlertRecord, Head, Notice, Rule, Status, alert_record
from udfs.drift.findings import DriftFinding, State
from udfs.drift.findings import Severity as Gravity
from udfs.offline_policy import MINUTE_MS, OfflinePolicy
from udfs.threshold_events import ThresholdEpisode

OLD_AFTER_MS = 15 * MINUTE_MS
"""What ended longer before the input clock was old when it was found (C10)."""
INCIDENTS_MAX_COUNT = 100_000
SEVERITIES = {
    Gravity.MINOR: Severity.WARNING,
    Gravity.MAJOR: Severity.CRITICAL,
    # An emergency is a fleet that is lost: no shift of a metric wakes as many.
    Gravity.CRITICAL: Severity.CRITICAL,
}
RANKS = tuple(Severity)

LabelOf = Callable[[DriftFinding], tuple[str, str]]
"""Deployment group and model version of a finding's subject."""


@dataclass(frozen=True)
class Told:
    """What alerts have said of one incident.

    Args:
        rule: as `subject` and `start_ms`, of its first event, which name the episode.
        seq: of the last event.
        severity: of the last event.
        channels: that got a firing.
        is_notified: whether anybody was told.
    """

    rule: str
    subject: str
    start_ms: int
    seq: int
    severity: str
    channels: tuple[str, ...]
    is_notified: bool


@dataclass
class FindingAlerts:
    """The incidents of which alerts fire; a step changes them in place.

    Args:
        told: by tenant and incident.
    """

    told: dict[tuple[str, str], Told] = field(default_factory=dict)

    def records(
        self,
        findings: Sequence[DriftFinding],
        label_of: LabelOf,
        clock_ms: int,
        routes: OfflinePolicy,
    ) -> list[AlertRecord]:
        """Return the events of findings, in their order.

        Args:
            findings: of one step.
            label_of: group and model of a finding's subject.
            clock_ms: the step.
            routes: channels of severities.
        """
        found = []
        for finding in findings:
            told = self._told_by(finding, clock_ms, routes)
            if told is not None:
                found.append(_record(finding, told, label_of(finding), clock_ms))
        assert len(self.told) <= INCIDENTS_MAX_COUNT, "raise shard_count"
        return found

    def _told_by(self, finding: DriftFinding, clock_ms: int, routes: OfflinePolicy) -> Told | None:
        """Return what is told by a finding, None when it is nothing new for anybody."""
        key = finding.tenant_id, finding.incident_id
        known = self.told.get(key)
        if finding.state is State.RESOLVED and known is not None:
            del self.told[key]
            return replace(known, seq=known.seq + 1)
        does_page = finding.state is State.FIRING and finding.notify and finding.severity.does_page
        if not does_page:
            return None
        severity = SEVERITIES[finding.severity]
        if known is not None and RANKS.index(severity) <= RANKS.index(Severity(known.severity)):
            return None
        is_new = clock_ms - finding.detected_at_ms <= OLD_AFTER_MS
        self.told[key] = _raised(known, finding, severity, routes.channels_of(severity), is_new)
        return self.told[key]

    def to_values(self) -> list[Any]:
        """Return everything for the state's bytes."""
        return [[*key, *vars(told).values()] for key, told in self.told.items()]

    @classmethod
    def from_values(cls, stored: list[Any]) -> "FindingAlerts":
        """Return what `to_values` wrote."""
        return cls({(row[0], row[1]): _told_of(row[2:]) for row in stored})


def _told_of(values: Sequence[Any]) -> Told:
    rule, subject, start_ms, seq, severity, channels, is_notified = values
    return Told(rule, subject, start_ms, seq, severity, tuple(channels), is_notified)


def _raised(
    known: Told | None,
    finding: DriftFinding,
    severity: Severity,
    channels: Sequence[str],
    is_new: bool,  # noqa: FBT001 - as named
) -> Told:
    if known is None:
        subject, start_ms = alert_subject(finding), finding.first_seen_ms
        first = (finding.rule.value, subject, start_ms, 1, severity.value, tuple(channels))
        return Told(*first, is_notified=is_new)
    both = tuple(dict.fromkeys((*known.channels, *channels)))
    return replace(
        known,
        seq=known.seq + 1,
        severity=severity.value,
        channels=both,
        is_notified=known.is_notified or is_new,
    )


def alert_subject(finding: DriftFinding) -> str:
    """Return whom an alert is about: `device/<id>`, `group/<name>`, `tenant/<id>`, ..."""
    return f"{finding.scope}/{finding.subject or finding.tenant_id}"


def _record(
    finding: DriftFinding, told: Told, label: tuple[str, str], clock_ms: int
) -> AlertRecord:
    is_over = finding.state is State.RESOLVED
    is_old = not is_over and clock_ms - finding.detected_at_ms > OLD_AFTER_MS
    incident = finding.tenant_id, Rule(told.rule), told.subject, told.start_ms
    status = Status.RESOLVED if is_over else Status.FIRING
    severity = Severity(told.severity)
    head = Head(
        ThresholdEpisode(*incident, finding.incident_id),
        told.seq, status, severity, finding.detected_at_ms, clock_ms,
    )  # fmt: skip
    # Only a warning can have become worse.
    previous = severity if is_over else Severity.WARNING if told.seq > 1 else None
    return alert_record(
        head,
        Notice(told.is_notified if is_over else not is_old, told.channels),
        previous_severity=None if previous is None else previous.value,
        starts_at=told.start_ms,
        escalated_at=finding.detected_at_ms if told.seq > 1 and not is_over else None,
        ends_at=finding.detected_at_ms if is_over else None,
        value=finding.shift_sigma,
        reason=finding.detector,
        backfilled=is_old,
        labels=_labels(finding, *label),
        summary=_summary(finding),
    )


def _labels(finding: DriftFinding, group: str, model: str) -> dict[str, str]:
    return {
        "tenant": finding.tenant_id,
        "group": group,
        "site": "",
        "model": model,
        "rule": finding.rule.value,
        "metric": finding.metric,
        "detector": finding.detector,
        "direction": finding.direction,
        "incident_id": finding.incident_id,
        "finding_id": finding.finding_id,
    }


def _summary(finding: DriftFinding) -> str:
    kind, _, name = alert_subject(finding).partition("/")
    whose = f"{kind.replace('_', ' ').capitalize()} {name} of {finding.tenant_id}"
    metric = finding.metric or "all metrics"
    said = finding.reason.rstrip(".") or f"{finding.detector} {finding.direction}".strip()
    is_over = finding.state is State.RESOLVED
    return f"{whose}: {metric}, {'over, ' if is_over else ''}{said}."
