"""The fleet rule and the finished alert events, worked out from the contract by brute force.

All transitions of all devices in the order of their exact times; N and M are counted anew from the
stage of every device at each step. Rules C5 (emergency), C6 (channels), C7 (who is told).

Readings of the contract where it leaves a choice:
- Only a device that goes offline is a rise of M; the end of a partition's blindness is not.
- The transition that raises the emergency is told; those after it are suppressed.
- A resolve goes to the channels whose firing was told, even during an emergency. When none was, it
  names the channels of the firings and what kept them silent, and is not told either.
- As a record wins over an alert of its instant, a transition at the end of a hold still breaks it.
- `suppressed_by` names the emergency by the id of its firing event.
- Events later than the slowest partition that still speaks are not known yet.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from tests.oracle.alerts_oracle import (
    Entry,
    OfflineRules,
    PartitionLog,
    Transition,
    device_transitions,
    partition_logs,
)

Alert = dict[str, Any]

NAMESPACE = uuid5(NAMESPACE_URL, "fleetpulse")
CHANNELS = {
    "warning": ["email"],
    "critical": ["sms", "slack"],
    "emergency": ["pagerduty", "oncall"],
}


def alerts_of(log: list[Entry], rules: OfflineRules | None = None) -> list[Alert]:
    """Return the deterministic fields of every alert event of a log, in order.

    Args:
        log: telemetry and registry records in any order.
        rules: the numbers; the contract's own when None.
    """
    rules = rules or OfflineRules()
    partitions = partition_logs(log, rules)
    transitions = device_transitions(log, partitions, rules)
    tenants = sorted({transition.tenant_id for transition in transitions})
    events: list[tuple[int, str, int, Alert]] = []
    for tenant_id in tenants:
        own = [transition for transition in transitions if transition.tenant_id == tenant_id]
        watch = TenantWatch(tenant_id, partitions, rules)
        events += [(e["time"], tenant_id, i, e) for i, e in enumerate(watch.follow(own))]
    horizon_ms = known_until_ms(partitions, rules)
    return [event for at_ms, _, _, event in sorted(events, key=_order) if at_ms <= horizon_ms]


def known_until_ms(partitions: dict[int, PartitionLog], rules: OfflineRules) -> int:
    """Return the clock of the slowest partition that has not fallen silent."""
    newest_ms = max(log.clock_ms for log in partitions.values())
    clocks = (log.clock_ms for log in partitions.values())
    return min(clock for clock in clocks if newest_ms - clock <= rules.blind_after_ms)


def need(monitored: int) -> int:
    """Return how many offline devices make an emergency: a tenth, at least 3, or all of fewer.

    >>> need(1000), need(1001), need(20), need(2)
    (100, 101, 3, 2)
    """
    return max(min(3, monitored), -(-monitored // 10))


def clear(monitored: int) -> int:
    """Return how many may be offline for the emergency to end.

    >>> clear(100_000), clear(5), clear(2)
    (7999, 1, 0)
    """
    return max(0, need(monitored) - 1 - max(1, -(-monitored // 50)))


@dataclass
class DeviceStage:
    """What the fleet knows of one device."""

    partition: int
    severity: str | None = None
    told: list[str] = field(default_factory=list)
    """Channels that were told of the running episode."""
    silent: list[str] = field(default_factory=list)
    """Channels whose firing was suppressed."""
    suppressed_by: list[str] = field(default_factory=list)


@dataclass
class Emergency:
    """A fleet episode that fires."""

    start_ms: int
    calm_since_ms: int | None = None
    """Since when M is at most clear(N)."""


class TenantWatch:
    """Follows the fleet of one tenant."""

    def __init__(
        self, tenant_id: str, partitions: dict[int, PartitionLog], rules: OfflineRules
    ) -> None:
        self._tenant_id, self._rules = tenant_id, rules
        self._partitions = partitions
        self._away = {p: list(away_spans(p, partitions, rules)) for p in partitions}
        self._devices: dict[str, DeviceStage] = {}
        self._emergency: Emergency | None = None
        self._events: list[Alert] = []

    def follow(self, transitions: list[Transition]) -> list[Alert]:
        """Return all events of the tenant in order."""
        steps: list[tuple[int, int, Transition | None]] = [(t.at_ms, 1, t) for t in transitions]
        for spans in self._away.values():
            steps += [(at_ms, 0, None) for span in spans for at_ms in span]
        for at_ms, _, transition in sorted(steps, key=lambda step: step[:2]):
            self._end_hold(at_ms)
            if transition is not None:
                self._apply(transition)
            self._judge_calm(at_ms)
        self._end_hold(known_until_ms(self._partitions, self._rules) + 1)
        return self._events

    def _apply(self, transition: Transition) -> None:
        device = self._devices.get(transition.device_id)
        if transition.kind == "removed":
            del self._devices[transition.device_id]
            return
        if device is None:
            device = self._devices[transition.device_id] = DeviceStage(transition.partition)
        device.partition = transition.partition
        if transition.kind == "joined":
            return
        before, monitored_before = self._counts(transition.at_ms)
        self._tell(device, transition)
        device.severity = None if transition.kind == "resolved" else transition.kind
        offline, monitored = self._counts(transition.at_ms)
        assert monitored == monitored_before
        is_enough = monitored >= 2 and offline >= need(monitored)
        if self._emergency is None and offline > before and is_enough:
            self._emergency = Emergency(start_ms=transition.at_ms)
            self._tell_fleet("firing", transition.at_ms)

    def _tell(self, device: DeviceStage, transition: Transition) -> None:
        """Write the event of one device."""
        is_resolved = transition.kind == "resolved"
        if transition.kind == "warning":
            device.told, device.silent, device.suppressed_by = [], [], []
        severity = device.severity if is_resolved else transition.kind
        assert severity is not None
        if is_resolved:
            notify = len(device.told) > 0
            channels = list(device.told if notify else device.silent)
            suppressed_by = [] if notify else list(device.suppressed_by)
        else:
            notify, channels, suppressed_by = self._emergency is None, CHANNELS[severity], []
            if not notify:
                suppressed_by = [self._suppressor()]
                device.suppressed_by += [i for i in suppressed_by if i not in device.suppressed_by]
            (device.told if notify else device.silent).extend(channels)
        self._events.append(
            self._identity("device-offline", f"device/{transition.device_id}", transition)
            | {
                "status": "resolved" if is_resolved else "firing",
                "severity": severity,
                "starts_at": transition.starts_at_ms,
                "ends_at": transition.at_ms if is_resolved else None,
                "last_seen": transition.last_seen_ms,
                "notify": notify,
                "channels": channels,
                "suppressed_by": suppressed_by,
                "blind_seconds": transition.blind_ms / 1000,
                "counts": None,
            }
        )

    def _tell_fleet(self, status: str, at_ms: int) -> None:
        """Write the event of the whole fleet."""
        emergency = self._emergency
        assert emergency is not None
        offline, monitored = self._counts(at_ms)
        subject, start_ms = f"tenant/{self._tenant_id}", emergency.start_ms
        seq = 1 if status == "firing" else 2
        self._events.append(
            self._named("fleet-offline", subject, start_ms, seq)
            | {
                "time": at_ms,
                "status": status,
                "severity": "emergency",
                "starts_at": start_ms,
                "ends_at": at_ms if status == "resolved" else None,
                "last_seen": None,
                "notify": True,
                "channels": CHANNELS["emergency"],
                "suppressed_by": [],
                "blind_seconds": 0.0,
                "counts": {"monitored": monitored, "offline": offline},
            }
        )

    def _end_hold(self, now_ms: int) -> None:
        """End the emergency if it was calm for long enough before now."""
        emergency = self._emergency
        if emergency is None or emergency.calm_since_ms is None:
            return
        ends_at_ms = emergency.calm_since_ms + self._rules.resolve_hold_ms
        if ends_at_ms < now_ms:
            self._tell_fleet("resolved", ends_at_ms)
            self._emergency = None

    def _judge_calm(self, now_ms: int) -> None:
        """Start or break the hold, and end an emergency of nobody at once."""
        emergency = self._emergency
        if emergency is None:
            return
        offline, monitored = self._counts(now_ms)
        if monitored == 0:
            self._tell_fleet("resolved", now_ms)
            self._emergency = None
        elif offline > clear(monitored):
            emergency.calm_since_ms = None
        elif emergency.calm_since_ms is None:
            emergency.calm_since_ms = now_ms

    def _counts(self, now_ms: int) -> tuple[int, int]:
        """Return M and N at an instant."""
        present = [d for d in self._devices.values() if not self._is_away(d.partition, now_ms)]
        return sum(d.severity is not None for d in present), len(present)

    def _is_away(self, partition: int, now_ms: int) -> bool:
        return any(start <= now_ms < end for start, end in self._away[partition])

    def _suppressor(self) -> str:
        assert self._emergency is not None
        subject, start_ms = f"tenant/{self._tenant_id}", self._emergency.start_ms
        return str(self._named("fleet-offline", subject, start_ms, 1)["id"])

    def _identity(self, rule: str, subject: str, transition: Transition) -> Alert:
        named = self._named(rule, subject, transition.last_seen_ms, transition.seq)
        return named | {"time": transition.at_ms}

    def _named(self, rule: str, subject: str, start_ms: int, seq: int) -> Alert:
        tenant = self._tenant_id
        episode = uuid5(NAMESPACE, f"{tenant}/{rule}/{subject}/{start_ms}")
        return {
            "id": str(uuid5(UUID(str(episode)), str(seq))),
            "type": f"fleetpulse.alert.{rule}",
            "tenant_id": tenant,
            "subject": subject,
            "dedup_key": f"{rule}/{tenant}/{subject}/{start_ms}",
            "episode_id": str(episode),
            "seq": seq,
        }


def away_spans(
    partition: int, partitions: dict[int, PartitionLog], rules: OfflineRules
) -> Iterator[tuple[int, int]]:
    """Yield when a partition is blind while others speak; the end is the record that ends it.

    While every partition is silent nobody's clock moves: the first that speaks again makes the
    others blind until they do.
    """
    others = [log for p, log in partitions.items() if p != partition]
    own = partitions[partition]
    newest_ms = max((log.clock_ms for log in others), default=0)
    stretches = [*own.blind, (own.clock_ms, newest_ms + 1)]
    for start_ms, end_ms in stretches:
        from_ms = start_ms + rules.blind_after_ms
        heard = [_speaks_from_ms(log, from_ms) for log in others]
        spoken = [at_ms for at_ms in heard if at_ms is not None and at_ms < end_ms]
        if spoken and from_ms < end_ms:
            yield min(spoken), end_ms


def _speaks_from_ms(log: PartitionLog, at_ms: int) -> int | None:
    """Return the first instant from `at_ms` on at which a partition is not blind itself."""
    if at_ms > log.clock_ms:
        return None
    for start_ms, end_ms in log.blind:
        if start_ms < at_ms < end_ms:
            return end_ms
    return max(at_ms, log.first_ms)


def _order(row: tuple[int, str, int, Alert]) -> tuple[int, str, int]:
    return row[:3]
