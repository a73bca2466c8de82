"""The alerts of a log, worked out from the contract by brute force.

One device at a time, one event at a time, then the fleet over all transitions in the order of their
exact times. Nothing is incremental: silences are measured again from the whole log at each step.

Rules (of the alert contract): C1 clocks, C2 ladder, C3 identity, C4 recovery, C8 blind time, C11
lifecycle (registered, seen, decommissioned), C12 exact times. C5 to C7 are in fleet_oracle.py.

Not modelled, refused or never generated: gateways, maintenance, control events, devices that the
registry expects at a cold start, a device that is registered after its first contact.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

MODELLED_STATUSES = ("active", "provisioned", "decommissioned")


@dataclass(frozen=True)
class OfflineRules:
    """The numbers of the contract, in milliseconds."""

    warning_after_ms: int = 300_000
    critical_after_ms: int = 1_800_000
    late_report_interval_ms: int = 120_000
    blind_after_ms: int = 30_000
    blind_grace_ms: int = 120_000
    resolve_hold_ms: int = 300_000
    emergency_scopes: tuple[str, ...] = ("tenant",)


class Contact(NamedTuple):
    """A record of a device on the telemetry topic."""

    at_ms: int
    partition: int
    offset: int
    tenant_id: str
    device_id: str
    boot_id: str | None = None
    sequence: int | None = None
    deployment_group: str = ""


class Tick(NamedTuple):
    """A clock tick, or any other record that is no contact."""

    at_ms: int
    partition: int
    offset: int


class Registration(NamedTuple):
    """A record of the topic `devices`; without status it is a tombstone."""

    at_ms: int
    tenant_id: str
    device_id: str
    status: str | None = "active"
    report_interval_s: int = 60
    deployment_group: str = ""
    site: str = ""


Entry = Contact | Tick | Registration


class Transition(NamedTuple):
    """One change of one device; ordered by exact time, then device, then its own sequence."""

    at_ms: int
    tenant_id: str
    device_id: str
    seq: int
    """Of the episode; 0 outside of one."""
    kind: str
    """joined, warning, critical, resolved, removed or regrouped; see `flapping_transitions` too."""
    partition: int
    last_seen_ms: int
    starts_at_ms: int
    blind_ms: int = 0
    deployment_group: str = ""
    site: str = ""
    flapping_ms: int = 0
    """Since when the device flaps, and so nobody is told; 0 when it does not."""
    ends_ms: int = 0
    """Append time that ended the silence, where that is not the input clock; else 0."""


class PartitionLog:
    """The clock of one partition: when it spoke."""

    def __init__(self, records: list[tuple[int, int]], rules: OfflineRules) -> None:
        """Find the blind stretches.

        Args:
            records: (offset, append time) of every record, in offset order.
            rules: the contract's numbers.
        """
        self.first_ms = records[0][1]
        self.clock_ms = max(at_ms for _, at_ms in records)
        self.blind: list[tuple[int, int]] = []
        clock_ms, last_offset = self.first_ms, records[0][0]
        for offset, at_ms in records[1:]:
            is_gap = offset > last_offset + 1
            if at_ms - clock_ms > rules.blind_after_ms or (is_gap and at_ms > clock_ms):
                self.blind.append((clock_ms, at_ms))
            clock_ms, last_offset = max(clock_ms, at_ms), offset

    def blind_ms(self, from_ms: int, until_ms: int) -> int:
        """Return how much of a span was blind."""
        overlaps = (min(until_ms, end) - max(from_ms, start) for start, end in self.blind)
        return sum(overlap for overlap in overlaps if overlap > 0)

    def after_silence_ms(self, from_ms: int, silence_ms: int) -> int:
        """Return the first instant at which so much silence was heard since an instant."""
        at_ms = from_ms + silence_ms
        for start_ms, end_ms in self.blind:
            if end_ms > from_ms and start_ms < at_ms:
                at_ms += end_ms - max(start_ms, from_ms)
        return at_ms

    def after_grace_ms(self, at_ms: int, grace_ms: int) -> int:
        """Return the first instant from `at_ms` on at which a device may be newly declared."""
        for start_ms, end_ms in self.blind:
            if start_ms < at_ms < end_ms + grace_ms:
                at_ms = end_ms + grace_ms
        return at_ms


def partition_logs(log: Iterable[Entry], rules: OfflineRules) -> dict[int, PartitionLog]:
    """Return the clock of each partition."""
    records: dict[int, list[tuple[int, int]]] = {}
    for entry in log:
        if isinstance(entry, Contact | Tick):
            records.setdefault(entry.partition, []).append((entry.offset, entry.at_ms))
    return {p: PartitionLog(sorted(found), rules) for p, found in sorted(records.items())}


def device_transitions(
    log: list[Entry], partitions: dict[int, PartitionLog], rules: OfflineRules
) -> list[Transition]:
    """Return all transitions of all devices in order."""
    by_device: dict[tuple[str, str], list[Contact | Registration]] = {}
    for entry in log:
        if isinstance(entry, Contact | Registration):
            by_device.setdefault((entry.tenant_id, entry.device_id), []).append(entry)
    found: list[Transition] = []
    for (tenant_id, device_id), entries in by_device.items():
        found += DeviceWatch(tenant_id, device_id, partitions, rules).watch(entries)
    return sorted(found)


@dataclass
class Episode:
    """One silence."""

    starts_at_ms: int
    seq: int
    is_critical: bool = False


class DeviceWatch:
    """Follows one device through its whole log."""

    def __init__(
        self,
        tenant_id: str,
        device_id: str,
        partitions: dict[int, PartitionLog],
        rules: OfflineRules,
    ) -> None:
        self._tenant_id, self._device_id = tenant_id, device_id
        self._partitions, self._rules = partitions, rules
        self._registration: Registration | None = None
        self._last_seen: Contact | None = None
        self._episode: Episode | None = None
        self._heard: set[Any] = set()
        self._found: list[Transition] = []

    def watch(self, entries: list[Contact | Registration]) -> list[Transition]:
        """Return the transitions of the device."""
        for entry in sorted(entries, key=_application_order):
            self._fall_due(before_ms=entry.at_ms)
            if isinstance(entry, Registration):
                self._register(entry)
            else:
                self._hear(entry)
        self._fall_due(before_ms=None)
        return self._found

    def _register(self, entry: Registration) -> None:
        assert entry.status in (None, *MODELLED_STATUSES), f"{entry.status} is not modelled"
        if entry.status not in (None, "decommissioned"):
            before, self._registration = self._place(self._last_seen), entry
            if self._last_seen is not None and self._place(self._last_seen) != before:
                self._transit("regrouped", entry.at_ms)
            return
        if self._last_seen is not None:
            if self._episode is not None:
                self._transit("resolved", entry.at_ms)
            self._transit("removed", entry.at_ms)
        self._registration = self._last_seen = self._episode = None
        self._heard.clear()

    def _hear(self, contact: Contact) -> None:
        identity = (contact.boot_id, contact.sequence)
        if self._registration is None or identity in self._heard:
            return
        if contact.sequence is not None:
            self._heard.add(identity)
        before = self._last_seen
        if before is not None and contact.at_ms <= before.at_ms:
            return
        place = self._place(contact)
        is_same = place == self._place(before)
        if self._episode is not None:
            self._transit("resolved", contact.at_ms, place)
            self._episode = None
            is_same = True
        self._last_seen = contact
        if before is None:
            self._transit("joined", contact.at_ms)
        elif not is_same:
            self._transit("regrouped", contact.at_ms)

    def _place(self, seen: Contact | None) -> tuple[str, str]:
        """Return group and site: the registry's word, and else the device's for its group."""
        registered = self._registration or Registration(0, "", "")
        claim = seen.deployment_group if seen is not None else ""
        return registered.deployment_group or claim, registered.site

    def _fall_due(self, before_ms: int | None) -> None:
        """Find the transitions due before the device's next entry, or by the end of its log."""
        if self._last_seen is None:
            return
        clock_ms = self._partitions[self._last_seen.partition].clock_ms
        warning_ms, critical_ms = self._due_ms(self._last_seen)

        def is_due(at_ms: int) -> bool:
            return at_ms <= clock_ms and (before_ms is None or at_ms < before_ms)

        if self._episode is None and is_due(warning_ms):
            self._episode = Episode(starts_at_ms=warning_ms, seq=0)
            self._transit("warning", warning_ms)
        if self._episode is not None and not self._episode.is_critical and is_due(critical_ms):
            self._episode.is_critical = True
            self._transit("critical", critical_ms)

    def _due_ms(self, last_seen: Contact) -> tuple[int, int]:
        """Return the exact instants of warning and critical if nothing is heard any more."""
        rules, partition = self._rules, self._partitions[last_seen.partition]
        assert self._registration is not None
        interval_ms = self._registration.report_interval_s * 1000
        allowed_ms = interval_ms if interval_ms > rules.late_report_interval_ms else 0
        after_ms = partition.after_silence_ms
        warning_ms = after_ms(last_seen.at_ms, allowed_ms + rules.warning_after_ms)
        warning_ms = partition.after_grace_ms(warning_ms, rules.blind_grace_ms)
        critical_ms = after_ms(last_seen.at_ms, allowed_ms + rules.critical_after_ms)
        return warning_ms, max(warning_ms, critical_ms)

    def _transit(self, kind: str, at_ms: int, place: tuple[str, str] | None = None) -> None:
        assert self._last_seen is not None
        seen, episode = self._last_seen, self._episode
        if episode is not None and kind != "regrouped":
            episode.seq += 1
        group, site = place or self._place(seen)
        self._found.append(
            Transition(
                at_ms=at_ms,
                tenant_id=self._tenant_id,
                device_id=self._device_id,
                seq=0 if episode is None else episode.seq,
                kind=kind,
                partition=seen.partition,
                last_seen_ms=seen.at_ms,
                starts_at_ms=0 if episode is None else episode.starts_at_ms,
                blind_ms=self._partitions[seen.partition].blind_ms(seen.at_ms, at_ms),
                deployment_group=group,
                site=site,
            )
        )


def _application_order(entry: Contact | Registration) -> tuple[int, int, int, int]:
    """Order a device's entries: at one instant the registry speaks first."""
    if isinstance(entry, Registration):
        return entry.at_ms, 0, 0, 0
    return entry.at_ms, 1, entry.partition, entry.offset
