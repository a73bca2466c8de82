"""Alert events: their identity, and how a transition becomes one record (C3, C6).

    episode_id = uuid5(NAMESPACE, "tenant/rule/subject/start_ms")     one silence, one episode
    id         = uuid5(episode_id, seq)                               one transition, one id
    dedup_key  = "rule/tenant/subject/start_ms"

All of it is a pure function of the input log, so whoever computes an event again computes the same.
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from schemas.severity import Severity
from udfs.device_columns import Stage
from udfs.offline_policy import OfflinePolicy
from udfs.transitions import ENDS, OPEN_KINDS, Kind

NAMESPACE = uuid5(NAMESPACE_URL, "fleetpulse").bytes
DEDUP_KEY_MAX_CHARACTERS = 255

AlertRecord = dict[str, Any]
"""A record of `schemas/avro/alert_event.avsc` without emitted_at; times are UTC ms."""
Transition = dict[str, Any]
"""One row of `TRANSITION_SCHEMA`."""


class Rule(StrEnum):
    """What raises events."""

    DEVICE_OFFLINE = "device-offline"
    FLEET_OFFLINE = "fleet-offline"
    MONITOR_BLIND = "monitor-blind"
    MONITOR_GAP = "monitor-gap"
    UNREGISTERED_DEVICE = "unregistered-device"
    COMMISSIONING_OVERDUE = "commissioning-overdue"
    FLAPPING = "flapping"
    CLOCK_SKEW = "clock-skew"
    THRESHOLD = "threshold"
    DRIFT = "drift"
    DATA_QUALITY = "data-quality"
    CANARY = "canary"
    POWER_DRAIN = "power-drain"
    MONITOR_LAGGING = "monitor-lagging"
    WATCHDOG = "watchdog"


class Status(StrEnum):
    """Whether an event begins, ends or only tells."""

    FIRING = "firing"
    RESOLVED = "resolved"
    INFO = "info"


def uuid5_text(namespace: bytes, name: str) -> str:
    """Return `str(uuid.uuid5(namespace, name))` at a third of its cost: storms make 100,000 ids.

    >>> from uuid import NAMESPACE_DNS
    >>> uuid5_text(NAMESPACE_DNS.bytes, "x") == str(uuid5(NAMESPACE_DNS, "x"))
    True
    """
    digest = hashlib.sha1(namespace + name.encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digest[16], 16) & 3]
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"


def event_id(episode_id: str, seq: int) -> str:
    """Return the id of one transition of an episode."""
    return uuid5_text(bytes.fromhex(episode_id.replace("-", "")), str(seq))


@dataclass(frozen=True)
class Episode:
    """What names one silence of one subject.

    >>> Episode("acme", Rule.DEVICE_OFFLINE, "device/cam-7", 1767268800000).dedup_key
    'device-offline/acme/device/cam-7/1767268800000'
    """

    tenant_id: str
    rule: Rule
    subject: str
    start_ms: int

    @property
    def rule_name(self) -> str:
        """Return the rule as it stands in the names of its episodes."""
        return self.rule.value

    @cached_property
    def id(self) -> str:
        """Return the id of all transitions of the episode."""
        name = f"{self.tenant_id}/{self.rule_name}/{self.subject}/{self.start_ms}"
        return uuid5_text(NAMESPACE, name)

    @property
    def dedup_key(self) -> str:
        """Return the key that receivers group by; a hash stands in for a subject too long."""
        key = f"{self.rule_name}/{self.tenant_id}/{self.subject}/{self.start_ms}"
        if len(key) <= DEDUP_KEY_MAX_CHARACTERS:
            return key
        return f"{self.rule.value}/{hashlib.sha256(key.encode()).hexdigest()}/{self.start_ms}"

    def event_id(self, seq: int) -> str:
        """Return the id of one transition."""
        return event_id(self.id, seq)


@dataclass(frozen=True)
class Notice:
    """Whether a person is to be told, over what, and what keeps it from them."""

    is_told: bool
    channels: tuple[str, ...]
    suppressed_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Head:
    """What every event says in the same way."""

    episode: Episode
    seq: int
    status: Status
    severity: Severity
    time_ms: int
    input_clock_ms: int


def alert_record(head: Head, notice: Notice, **rest: Any) -> AlertRecord:
    """Return a whole record; `rest` fills in what differs from rule to rule."""
    rule = head.episode.rule.value
    record: AlertRecord = {
        "id": head.episode.event_id(head.seq),
        "source": f"fleetpulse/{rule}",
        "type": f"fleetpulse.alert.{rule}",
        "subject": head.episode.subject,
        "tenant_id": head.episode.tenant_id,
        "time": head.time_ms,
        "dedup_key": head.episode.dedup_key,
        "episode_id": head.episode.id,
        "seq": head.seq,
        "status": head.status.value,
        "severity": head.severity.value,
        "previous_severity": None,
        "starts_at": head.time_ms,
        "escalated_at": None,
        "ends_at": None,
        "last_seen": None,
        "silence_s": None,
        "threshold_s": None,
        "value": None,
        "reason": None,
        "notify": notice.is_told,
        "channels": list(notice.channels),
        "suppressed_by": list(notice.suppressed_by),
        "acked": False,
        "backfilled": False,
        "input_clock": head.input_clock_ms,
        "detection_delay_ms": max(0, head.input_clock_ms - head.time_ms),
        "blind_seconds": 0.0,
        "labels": {"tenant": head.episode.tenant_id, "rule": rule},
        "counts": None,
        "summary": "",
        "runbook_url": None,
    }
    record.update(rest)
    return record


def device_severity(stage: int) -> Severity:
    """Return the severity of a device's stage."""
    return Severity.CRITICAL if stage == Stage.CRITICAL else Severity.WARNING


def device_episode(row: Transition) -> Episode:
    """Return the episode of a device's silence."""
    subject = f"device/{row['device_id']}"
    return Episode(row["tenant_id"], Rule.DEVICE_OFFLINE, subject, row["start_ms"])


def device_record(row: Transition, notice: Notice, *, is_acked: bool = False) -> AlertRecord:
    """Return the event of a device that fell silent, stayed so, came back or left (C2, C4)."""
    has_ended = row["kind"] in ENDS
    severity = device_severity(row["stage"])
    head = Head(
        device_episode(row),
        row["seq"],
        Status.RESOLVED if has_ended else Status.FIRING,
        severity,
        row["time_ms"],
        row["input_clock_ms"],
    )
    end_ms = row["ends_ms"] if has_ended else row["time_ms"]
    silence_s = (end_ms - row["start_ms"]) / 1000
    has_stood = has_ended or row["kind"] in OPEN_KINDS
    is_escalated = severity is Severity.CRITICAL
    previous = severity if has_stood else Severity.WARNING if is_escalated else None
    return alert_record(
        head,
        notice,
        previous_severity=None if previous is None else previous.value,
        starts_at=row["starts_ms"],
        escalated_at=row["escalated_ms"],
        ends_at=row["ends_ms"],
        last_seen=row["last_seen_ms"],
        silence_s=silence_s,
        threshold_s=row["threshold_ms"] / 1000,
        reason=row["reason"],
        acked=is_acked,
        blind_seconds=row["blind_ms"] / 1000,
        labels=device_labels(row, Rule.DEVICE_OFFLINE),
        summary=_device_summary(row, silence_s),
    )


INFOS = {
    Kind.OVERDUE: (Rule.COMMISSIONING_OVERDUE, "was registered a day ago and never came"),
    Kind.UNREGISTERED: (Rule.UNREGISTERED_DEVICE, "is not registered"),
    Kind.SKEWED: (Rule.CLOCK_SKEW, "has a wrong clock: it is {:+.0f} s from ours"),
}


def info_record(row: Transition) -> AlertRecord:
    """Return the event of something worth knowing that nobody is woken for (C11)."""
    rule, said = INFOS[row["kind"]]
    is_skew, skew_s = rule is Rule.CLOCK_SKEW, (row["skew_ms"] or 0) / 1000
    # A device may be told of again before it is seen anew: the instant names it then.
    start_ms = row["time_ms"] if is_skew else row["start_ms"]
    episode = Episode(row["tenant_id"], rule, f"device/{row['device_id']}", start_ms)
    head = Head(episode, 1, Status.INFO, Severity.INFO, row["time_ms"], row["input_clock_ms"])
    return alert_record(
        head,
        Notice(is_told=False, channels=()),
        last_seen=row["last_seen_ms"],
        value=skew_s if is_skew else None,
        labels=device_labels(row, rule),
        summary=f"Device {row['device_id']} of {row['tenant_id']} {said.format(skew_s)}.",
    )


def partition_record(row: Transition, policy: OfflinePolicy) -> AlertRecord:
    """Return the event of a partition that fell silent, speaks again, or lost records (C8)."""
    is_gap, is_over = row["kind"] == Kind.GAP, row["kind"] == Kind.HEARD
    rule = Rule.MONITOR_GAP if is_gap else Rule.MONITOR_BLIND
    episode = Episode(row["tenant_id"], rule, f"partition/{row['device_id']}", row["start_ms"])
    status = Status.INFO if is_gap else Status.RESOLVED if is_over else Status.FIRING
    severity = Severity.WARNING if is_gap else Severity.CRITICAL
    head = Head(episode, row["seq"], status, severity, row["time_ms"], row["input_clock_ms"])
    end_ms = row["time_ms"] if row["ends_ms"] is None else row["ends_ms"]
    silence_s = (end_ms - row["start_ms"]) / 1000
    said = "lost records of" if is_gap else "can hear again after" if is_over else "is deaf for"
    return alert_record(
        head,
        Notice(is_told=True, channels=policy.channels_of(severity)),
        previous_severity=severity.value if is_over else None,
        starts_at=row["starts_ms"],
        ends_at=row["ends_ms"],
        silence_s=silence_s,
        threshold_s=row["threshold_ms"] / 1000,
        blind_seconds=silence_s if row["ends_ms"] is not None else 0.0,
        summary=f"The monitor {said} {silence_s:.0f} s on partition {row['device_id']}.",
    )


def device_labels(row: Transition, rule: Rule) -> dict[str, str]:
    """Return the labels of a device's event."""
    return {
        "tenant": row["tenant_id"],
        "group": row["deployment_group"],
        "site": row["site"],
        "model": row["model_version"],
        "rule": rule.value,
    }


def _device_summary(row: Transition, silence_s: float) -> str:
    device = f"Device {row['device_id']} of {row['tenant_id']}"
    if row["kind"] == Kind.REMOVED:
        return f"{device} was decommissioned after {silence_s:.0f} s of silence."
    if row["kind"] == Kind.RESOLVED:
        return f"{device} is back after {silence_s:.0f} s of silence."
    if row["kind"] == Kind.RULE_CHANGED:
        return f"{device} is silent for {silence_s:.0f} s, which a changed rule allows."
    return f"{device} is silent for {silence_s:.0f} s."
