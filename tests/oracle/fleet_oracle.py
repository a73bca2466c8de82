"""The fleet rule and the finished alert events, worked out from the contract by brute force.

All transitions of all devices in the order of their exact times; N and M are counted anew from the
stage of every device at each step. Rules C5 (emergency), C6 (channels), C7 (who is told).

Readings of the contract where it leaves a choice:
- Only a device that goes offline is a rise of M; the end of a partition's blindness is not.
- The transition that raises the emergency is told; those after it are suppressed.
- A resolve goes to the channels whose firing was told, even during an emergency. When none was, it
  names the channels of the firings and what kept them silent, and is not told either.
- As a record wins over an alert of its instant, a transition at the end of a hold still breaks it.
- `suppressed_by` names the emergency by the id of its firing event; all that cover a device, its
  tenant's first. One transition may raise several: the tenant's first, which suppresses the others.
- A group's or site's emergency is told unless its tenant's fires; its end is told if it was told.
- Where a device belongs counts from the instant at which the registry, or its own contact, says so.
- Events later than the slowest partition that still speaks are not known yet.
"""

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
from tests.oracle.flapping_transitions import flapping_alert, with_flapping
from tests.oracle.fleet_numbers import clear, need
from tests.oracle.hearing_oracle import away_spans, known_until_ms

Alert = dict[str, Any]
Fleet = tuple[str, str]
"""Kind and name, such as ("site", "paris")."""

NAMESPACE = uuid5(NAMESPACE_URL, "fleetpulse")
CHANNELS = {
    "warning": ["email"],
    "critical": ["sms", "slack"],
    "emergency": ["pagerduty", "oncall"],
}


KINDS = ("tenant", "group", "site")


def alerts_of(log: list[Entry], rules: OfflineRules | None = None) -> list[Alert]:
    """Return the deterministic fields of every alert event of a log, in order.

    Args:
        log: telemetry and registry records in any order.
        rules: the numbers; the contract's own when None.
    """
    rules = rules or OfflineRules()
    partitions = partition_logs(log, rules)
    transitions = with_flapping(device_transitions(log, partitions, rules), partitions)
    tenants = sorted({transition.tenant_id for transition in transitions})
    events: list[tuple[int, str, int, Alert]] = []
    for tenant_id in tenants:
        own = [transition for transition in transitions if transition.tenant_id == tenant_id]
        watch = TenantWatch(tenant_id, partitions, rules)
        events += [(e["time"], tenant_id, i, e) for i, e in enumerate(watch.follow(own))]
    horizon_ms = known_until_ms(partitions, rules)
    return [event for at_ms, _, _, event in sorted(events, key=_order) if at_ms <= horizon_ms]


@dataclass
class DeviceStage:
    """What the fleet knows of one device."""

    partition: int
    places: dict[str, str]
    """Name of its group and site; of the tenant there is one."""
    severity: str | None = None
    told: list[str] = field(default_factory=list)
    """Channels that were told of the running episode."""
    silent: list[str] = field(default_factory=list)
    """Channels whose firing was suppressed."""
    suppressed_by: list[str] = field(default_factory=list)
    flapping: list[str] = field(default_factory=list)
    """What kept it from people that it flaps."""


@dataclass
class Emergency:
    """A fleet episode that fires."""

    start_ms: int
    suppressed_by: list[str]
    device_id: str  # who raised it
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
        self._emergencies: dict[Fleet, Emergency] = {}
        self._events: list[Alert] = []

    def follow(self, transitions: list[Transition]) -> list[Alert]:
        """Return all events of the tenant in order."""
        steps: list[tuple[int, int, Transition | None]] = [(t.at_ms, 1, t) for t in transitions]
        for spans in self._away.values():
            steps += [(at_ms, 0, None) for span in spans for at_ms in span]
        for at_ms, _, transition in sorted(steps, key=lambda step: step[:2]):
            self._end_holds(at_ms)
            if transition is not None:
                self._apply(transition)
            self._judge_calm(at_ms)
        self._end_holds(known_until_ms(self._partitions, self._rules) + 1)
        return self._events

    def _apply(self, transition: Transition) -> None:
        if transition.kind == "removed":
            del self._devices[transition.device_id]
            return
        if transition.kind in ("flapping", "calm", "final"):
            self._tell_flapping(self._devices[transition.device_id], transition)
            return
        places = {
            "tenant": self._tenant_id,
            "group": transition.deployment_group,
            "site": transition.site,
        }
        device = self._devices.get(transition.device_id)
        if device is None:
            device = self._devices[transition.device_id] = DeviceStage(transition.partition, places)
        device.partition = transition.partition
        if transition.kind in ("joined", "regrouped"):
            device.places = places
            return
        self._tell(device, transition)
        device.places = places
        before = {fleet: self._counts(fleet, transition.at_ms) for fleet in self._fleets(device)}
        device.severity = None if transition.kind == "resolved" else transition.kind
        for fleet, (offline_before, monitored_before) in before.items():
            offline, monitored = self._counts(fleet, transition.at_ms)
            assert monitored == monitored_before
            is_enough = monitored >= 2 and offline >= need(monitored)
            if fleet not in self._emergencies and offline > offline_before and is_enough:
                above = self._emergencies.get(("tenant", self._tenant_id))
                causes = [self._suppressor(("tenant", self._tenant_id))] if above else []
                self._emergencies[fleet] = Emergency(transition.at_ms, causes, transition.device_id)
                self._tell_fleet(fleet, "firing", transition.at_ms)

    def _fleets(self, device: DeviceStage) -> list[Fleet]:
        """Return the watched fleets that a device is in, the tenant's first."""
        scopes = [scope.removeprefix("deployment_") for scope in self._rules.emergency_scopes]
        return [(kind, name) for kind, name in device.places.items() if kind in scopes and name]

    def _tell(self, device: DeviceStage, transition: Transition) -> None:
        """Write the event of one device."""
        is_resolved = transition.kind == "resolved"
        if transition.kind == "warning":
            device.told, device.silent, device.suppressed_by = [], [], []
        is_open = transition.kind in ("resolved", "final")
        severity = device.severity if is_open else transition.kind
        assert severity is not None
        if is_resolved:
            notify = len(device.told) > 0
            channels = list(dict.fromkeys(device.told if notify else device.silent))
            suppressed_by = [] if notify else list(device.suppressed_by)
        else:
            firing = [fleet for fleet in self._fleets(device) if fleet in self._emergencies]
            channels, suppressed_by = CHANNELS[severity], self._flapping_ids(transition)
            suppressed_by += [self._suppressor(fleet) for fleet in firing]
            notify = not suppressed_by
            if not notify:
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

    def _flapping_ids(self, transition: Transition) -> list[str]:
        subject, since_ms = f"device/{transition.device_id}", transition.flapping_ms
        return [str(self._named("flapping", subject, since_ms, 1)["id"])] if since_ms > 0 else []

    def _tell_flapping(self, device: DeviceStage, transition: Transition) -> None:
        """Write that a device flaps, or, to whom that was told, that it does no longer."""
        if transition.kind == "final":
            self._tell(device, transition)
            return
        is_over, moment = transition.kind == "calm", (transition.at_ms, transition.device_id)
        if not is_over:
            firing = [fleet for fleet in self._fleets(device) if fleet in self._emergencies]
            raised = {f: (e.start_ms, e.device_id) for f, e in self._emergencies.items()}
            device.flapping = [self._suppressor(f) for f in firing if raised[f] != moment]
        subject = f"device/{transition.device_id}"
        named = self._named("flapping", subject, transition.flapping_ms, 1 + is_over)
        self._events.append(named | flapping_alert(transition, device.flapping))

    def _tell_fleet(self, fleet: Fleet, status: str, at_ms: int) -> None:
        """Write the event of a whole fleet."""
        emergency = self._emergencies[fleet]
        offline, monitored = self._counts(fleet, at_ms)
        subject, start_ms = "/".join(fleet), emergency.start_ms
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
                "notify": not emergency.suppressed_by,
                "channels": CHANNELS["emergency"],
                "suppressed_by": emergency.suppressed_by,
                "blind_seconds": 0.0,
                "counts": {"monitored": monitored, "offline": offline},
            }
        )

    def _end_holds(self, now_ms: int) -> None:
        """End the emergencies that were calm for long enough before now."""
        ends = [
            (emergency.calm_since_ms + self._rules.resolve_hold_ms, KINDS.index(fleet[0]), fleet)
            for fleet, emergency in self._emergencies.items()
            if emergency.calm_since_ms is not None
        ]
        for ends_at_ms, _, fleet in sorted(ends):
            if ends_at_ms < now_ms:
                self._tell_fleet(fleet, "resolved", ends_at_ms)
                del self._emergencies[fleet]

    def _judge_calm(self, now_ms: int) -> None:
        """Start or break the holds, and end an emergency of nobody at once."""
        for fleet in sorted(self._emergencies, key=lambda fleet: (KINDS.index(fleet[0]), fleet)):
            emergency = self._emergencies[fleet]
            offline, monitored = self._counts(fleet, now_ms)
            if monitored == 0:
                self._tell_fleet(fleet, "resolved", now_ms)
                del self._emergencies[fleet]
            elif offline > clear(monitored):
                emergency.calm_since_ms = None
            elif emergency.calm_since_ms is None:
                emergency.calm_since_ms = now_ms

    def _counts(self, fleet: Fleet, now_ms: int) -> tuple[int, int]:
        """Return M and N of a fleet at an instant."""
        kind, name = fleet
        own = [d for d in self._devices.values() if d.places[kind] == name]
        present = [d for d in own if not self._is_away(d.partition, now_ms)]
        return sum(d.severity is not None for d in present), len(present)

    def _is_away(self, partition: int, now_ms: int) -> bool:
        return any(start <= now_ms < end for start, end in self._away[partition])

    def _suppressor(self, fleet: Fleet) -> str:
        start_ms = self._emergencies[fleet].start_ms
        return str(self._named("fleet-offline", "/".join(fleet), start_ms, 1)["id"])

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


def _order(row: tuple[int, str, int, Alert]) -> tuple[int, str, int]:
    return row[:3]
