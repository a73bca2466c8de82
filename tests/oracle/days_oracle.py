"""The alerts of a log of days, from the raw times of contact; it knows nothing of the engine.

    contacts of a device   o o o o o o                 o o o o    o  o o
    runs                   |--------|                  |----|    |--|      no step of 4 min within

No silence of under 4 min can be an alert (the least is 5), and nothing else of a contact within a
run matters: so what the brute-force watch of a device says of the ends of its runs is what it would
say of all contacts. A run ends, too, where the device is heard on another partition or the registry
speaks of it; a contact that comes with a clock behind its partition's is a run of its own.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tests.oracle.alerts_oracle import (
    Contact,
    DeviceWatch,
    OfflineRules,
    PartitionLog,
    Registration,
    Transition,
)
from tests.oracle.flapping_transitions import with_flapping
from tests.oracle.fleet_oracle import Alert, DeviceStage, Fleet, TenantWatch
from tests.oracle.hearing_oracle import known_until_ms

Int64s = NDArray[np.int64]
SHORT_MS = 240_000
SEQUENCE_BITS = 24


class LongPartition(PartitionLog):
    """The clock of one partition, from arrays of its append times."""

    def __init__(self, blind_after_ms: int) -> None:
        """Begin before the first record."""
        self.first_ms, self.clock_ms, self.blind = -1, -1, []
        self._blind_after_ms = blind_after_ms

    def hear(self, append_ms: Int64s) -> Int64s:
        """Take the next records, in order, and return the input clock at each."""
        if not len(append_ms):
            return append_ms
        if self.first_ms < 0:
            self.first_ms = self.clock_ms = int(append_ms[0])
        clocks = np.maximum.accumulate(np.append(self.clock_ms, append_ms))
        for at in np.flatnonzero(append_ms - clocks[:-1] > self._blind_after_ms).tolist():
            self.blind.append((int(clocks[at]), int(append_ms[at])))
        self.clock_ms = int(clocks[-1])
        return clocks[1:]


class Run(NamedTuple):
    """A stretch in which a device was heard without a long pause."""

    clock_ms: int
    """Input clock at its first contact."""
    at_ms: int
    last_ms: int
    partition: int


@dataclass
class Runs:
    """Runs of all devices, each array of shape (n,), in order within a device."""

    device: Int64s
    clock_ms: Int64s
    at_ms: Int64s
    last_ms: Int64s
    partition: Int64s
    epoch: Int64s
    """How often the registry had spoken of the device."""

    def joined(self) -> "Runs":
        """Return them with neighbours made one where nothing lies between."""
        order = np.argsort(self.device, kind="stable")
        device, clock_ms, at_ms, last_ms, partition, epoch = (
            column[order] for column in self.__dict__.values()
        )
        is_behind = clock_ms != at_ms
        begins = np.ones(len(device), np.bool_)
        begins[1:] = (device[1:] != device[:-1]) | (at_ms[1:] - last_ms[:-1] >= SHORT_MS)
        begins[1:] |= (partition[1:] != partition[:-1]) | (epoch[1:] != epoch[:-1])
        begins[1:] |= is_behind[1:] | is_behind[:-1]
        first = np.flatnonzero(begins)
        highest = np.maximum.reduceat(last_ms, first) if len(first) else last_ms
        return Runs(
            device[first], clock_ms[first], at_ms[first], highest, partition[first], epoch[first]
        )


class RunWatch(DeviceWatch):
    """Follows one device through its runs."""

    def follow(self, entries: list[Run | Registration]) -> list[Transition]:
        """Return the transitions of the device; at one instant the registry speaks first."""
        for entry in sorted(entries, key=_application_order):
            if isinstance(entry, Registration):
                self._fall_due(before_ms=entry.at_ms)
                self._register(entry)
            else:
                self._fall_due(before_ms=entry.clock_ms)
                self._hear_run(entry)
        self._fall_due(before_ms=None)
        return self._found

    def _hear_run(self, run: Run) -> None:
        before = self._last_seen
        if self._registration is None or (before is not None and run.last_ms <= before.at_ms):
            return
        if self._episode is not None:
            self._transit("resolved", run.clock_ms)
            last = self._found[-1]
            self._found[-1] = last._replace(ends_ms=run.at_ms, partition=run.partition)
            self._episode = None
        self._last_seen = Contact(run.last_ms, run.partition, 0, self._tenant_id, self._device_id)
        if before is None:
            self._transit("joined", run.clock_ms)
        elif before.partition != run.partition:
            self._transit("regrouped", run.clock_ms)


class LongTenantWatch(TenantWatch):
    """Counts again only the device that a step touches."""

    def __init__(
        self, tenant_id: str, partitions: dict[int, PartitionLog], rules: OfflineRules
    ) -> None:
        """Begin with nobody."""
        super().__init__(tenant_id, partitions, rules)
        self._touched: str | None = None
        self._counted: dict[str, tuple[list[Fleet], int, bool]] = {}
        self._monitored: Counter[tuple[Fleet, int]] = Counter()
        self._offline: Counter[tuple[Fleet, int]] = Counter()

    def _apply(self, transition: Transition) -> None:
        self._touched = transition.device_id
        super()._apply(transition)
        self._count_again(transition.device_id)

    def _counts(self, fleet: Fleet, now_ms: int) -> tuple[int, int]:
        if self._touched is not None:
            self._count_again(self._touched)
        heard = [p for p in self._partitions if not self._is_away(p, now_ms)]
        offline = sum(self._offline[fleet, p] for p in heard)
        return offline, sum(self._monitored[fleet, p] for p in heard)

    def _count_again(self, device_id: str) -> None:
        for sign, counted in ((-1, self._counted.pop(device_id, None)), (1, self._now(device_id))):
            if counted is None:
                continue
            fleets, partition, is_offline = counted
            for fleet in fleets:
                self._monitored[fleet, partition] += sign
                self._offline[fleet, partition] += sign * is_offline
            if sign > 0:
                self._counted[device_id] = counted

    def _now(self, device_id: str) -> tuple[list[Fleet], int, bool] | None:
        device: DeviceStage | None = self._devices.get(device_id)
        if device is None:
            return None
        return list(device.places.items()), device.partition, device.severity is not None


@dataclass
class DaysOracle:
    """Reads a log in pieces and tells its alerts at the end.

    Args:
        registrations: device (number) and what the registry says of it, in order of time.
        partition_count: of the topic.
        rules: the contract's numbers.
    """

    registrations: list[tuple[int, Registration]]
    partition_count: int
    rules: OfflineRules
    contact_count: int = 0
    duplicate_count: int = 0
    partitions: dict[int, PartitionLog] = field(default_factory=dict)
    _runs: list[Runs] = field(default_factory=list)
    _recent: Int64s = field(default_factory=lambda: np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        """Open the partitions, and sort the instants at which the registry speaks."""
        blind_after_ms = self.rules.blind_after_ms
        self._logs = {p: LongPartition(blind_after_ms) for p in range(self.partition_count)}
        self.partitions = dict(self._logs)
        device_count = 1 + max(device for device, _ in self.registrations)
        self._said_ms = np.array([r.at_ms for _, r in self.registrations])
        self._said_of = np.array([device for device, _ in self.registrations])
        self._entries: list[list[Run | Registration]] = [[] for _ in range(device_count)]
        for device, registration in self.registrations:
            self._entries[device].append(registration)

    def hear(self, append_ms: Int64s, partition: Int64s, device: Int64s, sequence: Int64s) -> None:
        """Take the next records, in the order of each partition; a tick's device is below 0."""
        clock_ms = np.empty_like(append_ms)
        for each, log in self._logs.items():
            clock_ms[partition == each] = log.hear(append_ms[partition == each])
        said = np.flatnonzero(device >= 0)
        self.contact_count += len(said)
        said = said[self._is_new(device[said], sequence[said])]
        of, at_ms = device[said], append_ms[said]
        epoch = np.zeros(len(said), np.int64)
        later = np.flatnonzero(self._said_ms > self._said_ms.min())
        for place in later.tolist():
            epoch += (of == self._said_of[place]) & (clock_ms[said] >= self._said_ms[place])
        runs = Runs(of, clock_ms[said], at_ms, at_ms, partition[said], epoch)
        self._runs.append(runs.joined())

    def _is_new(self, device: Int64s, sequence: Int64s) -> Int64s:
        """Return the places of first copies; a copy comes within the piece or the next."""
        keys = (device << SEQUENCE_BITS) | sequence
        found, first = np.unique(keys, return_index=True)
        new = np.sort(first[~np.isin(found, self._recent, assume_unique=True)])
        self.duplicate_count += len(keys) - len(new)
        self._recent = found
        return new

    def alerts(self) -> list[Alert]:
        """Return the deterministic fields of every alert event, tenant by tenant, in order."""
        transitions = with_flapping(self._transitions(), self.partitions)
        ends = {(t.tenant_id, t.device_id, t.at_ms): t.ends_ms for t in transitions if t.ends_ms}
        horizon_ms = known_until_ms(self.partitions, self.rules)
        events: list[Alert] = []
        for tenant_id in sorted({t.tenant_id for t in transitions}):
            own = [t for t in transitions if t.tenant_id == tenant_id]
            events += LongTenantWatch(tenant_id, self.partitions, self.rules).follow(own)
        for event in events:
            place = event["tenant_id"], event["subject"].removeprefix("device/"), event["time"]
            if event["status"] == "resolved" and event["type"].endswith("device-offline"):
                event["ends_at"] = ends.get(place, event["ends_at"])
        return [event for event in events if event["time"] < horizon_ms]

    def _transitions(self) -> list[Transition]:
        columns = zip(*(r.__dict__.values() for r in self._runs), strict=True)
        runs = Runs(*(np.concatenate(parts) for parts in columns)).joined()
        fields = (runs.device, runs.clock_ms, runs.at_ms, runs.last_ms, runs.partition)
        for device, *run in zip(*(column.tolist() for column in fields), strict=True):
            self._entries[device].append(Run(*run))
        found: list[Transition] = []
        for entries in self._entries:
            first = next(entry for entry in entries if isinstance(entry, Registration))
            names = first.tenant_id, first.device_id
            found += RunWatch(*names, self.partitions, self.rules).follow(entries)
        return sorted(found)


def _application_order(entry: Run | Registration) -> tuple[int, int]:
    if isinstance(entry, Registration):
        return entry.at_ms, 0
    return entry.clock_ms, 1
