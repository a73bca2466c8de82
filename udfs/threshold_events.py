"""What a threshold rule tells, as alert events (C3, C6, C7, C10).

    episode_id = uuid5(NAMESPACE, "tenant/threshold/rule_id/subject/start_ms")
    dedup_key  = "threshold/rule_id/tenant/subject/start_ms"

`start_ms` is the start of the first window in breach. `time` is event time: the end of the window
that completed the breach, or the start of the first good one; where data or a rule was corrected,
it is the input clock.
"""

from dataclasses import dataclass

from schemas.control import ThresholdRule
from schemas.severity import Severity
from udfs.alerts import (
    AlertRecord,
    Episode,
    Head,
    Notice,
    Rule,
    Status,
    alert_record,
)
from udfs.offline_policy import OfflinePolicy
from udfs.threshold_watch import Tidings

SUBJECT_LABELS = {"device": "Device", "group": "Group"}


@dataclass(frozen=True)
class ThresholdEpisode(Episode):
    """What names one breach of one rule by one subject.

    >>> episode = ThresholdEpisode("acme", Rule.THRESHOLD, "device/cam-7", 300000, "a/b")
    >>> episode.dedup_key
    'threshold/a%2Fb/acme/device/cam-7/300000'
    """

    rule_id: str

    @property
    def rule_name(self) -> str:
        """Return the rule and its id."""
        # A rule_id may hold "/"; without escapes two rules could share a name.
        escaped = self.rule_id.replace("%", "%25").replace("/", "%2F")
        return f"{self.rule.value}/{escaped}"


@dataclass(frozen=True)
class Subject:
    """Whom an event is about; `name` is `device/<id>` or `group/<name>`."""

    tenant_id: str
    name: str
    deployment_group: str
    site: str

    def is_covered(self, rule: ThresholdRule) -> bool:
        """Return whether a rule's scope holds the subject; a group has no site and no device."""
        device_id = self.name.removeprefix("device/") if rule.per == "device" else ""
        return rule.scope.covers(self.tenant_id, device_id, self.deployment_group, self.site)


def routes_of(rule: ThresholdRule, policy: OfflinePolicy) -> tuple[str, ...]:
    """Return the channels that a rule names, else those of its severity."""
    return rule.channels or policy.channels_of(rule.severity)


def threshold_record(
    subject: Subject, rule: ThresholdRule, tidings: Tidings, now_ms: int
) -> AlertRecord:
    """Return the event that says some tidings."""
    told = tidings.told
    episode = ThresholdEpisode(
        subject.tenant_id, Rule.THRESHOLD, subject.name, told.start_ms, rule.rule_id
    )
    severity = Severity(told.severity)
    head = Head(episode, told.seq, tidings.status, severity, tidings.time_ms, now_ms)
    is_first = told.seq == 1
    return alert_record(
        head,
        Notice(tidings.is_notified, told.channels),
        previous_severity=None if is_first else told.severity,
        starts_at=tidings.starts_ms,
        ends_at=tidings.ends_ms,
        value=tidings.value,
        reason=None if tidings.reason is None else tidings.reason.value,
        backfilled=tidings.is_backfilled,
        labels=_labels(subject, rule),
        summary=_summary(subject, rule, tidings),
    )


def _labels(subject: Subject, rule: ThresholdRule) -> dict[str, str]:
    return {
        "tenant": subject.tenant_id,
        "group": subject.deployment_group,
        "site": subject.site,
        "rule": Rule.THRESHOLD.value,
        "rule_id": rule.rule_id,
        "metric": rule.metric,
        "aggregate": rule.aggregate,
        "threshold": f"{rule.operator} {rule.threshold:g}",
    }


def _summary(subject: Subject, rule: ThresholdRule, tidings: Tidings) -> str:
    kind, _, name = subject.name.partition("/")
    figure = "unknown" if tidings.value is None else f"{tidings.value:g}"
    said = f"{rule.aggregate} of {rule.metric} is {figure}"
    limit = f"limit {rule.operator} {rule.threshold:g}"
    whose = f"{SUBJECT_LABELS[kind]} {name} of {subject.tenant_id}"
    if tidings.status is Status.FIRING:
        return f"{whose}: {said} ({limit})."
    if tidings.reason is not None:
        return f"{whose}: no longer said, {tidings.reason.value} ({limit})."
    return f"{whose}: over, {said} ({limit})."
