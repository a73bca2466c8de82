"""The counters of one tenant's fleet, and its emergency (C5).

M >= need(N), on a rise of M     -> fires, once
M <= clear_level(N) for 300 s    -> resolves; any M above it in between begins the wait anew
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from schemas.severity import Severity
from udfs.alerts import (
    AlertRecord,
    Episode,
    Head,
    Notice,
    Rule,
    Status,
    Transition,
    alert_record,
)
from udfs.device_columns import NO_PARTITION
from udfs.hushes import MUTE
from udfs.offline_policy import OfflinePolicy
from udfs.transitions import Cause

SAMPLE_MAX_DEVICES = 20
PAST_MAX_EMERGENCIES = 64
"""How many ended emergencies a tenant remembers, to know which firings nobody was told of."""
LAST_OF_INSTANT = "\U0010ffff"
"""Sorts after every device id: an end that comes after all that fell on its instant."""

Moment = tuple[int, str]
"""Instant (UTC ms) and device: the order in which transitions of a tenant take place."""


@dataclass(frozen=True)
class Emergency:
    """One emergency, from just after `begun` to `ended`, inclusive.

    `seq` is that of its last event; `is_told` says whether people got to know of it.
    """

    begun: Moment
    event_id: str
    ended: Moment | None = None
    seq: int = 1
    is_told: bool = True

    @property
    def start_ms(self) -> int:
        """Return the exact instant at which M reached its need."""
        return self.begun[0]

    def covers(self, moment: Moment) -> bool:
        """Return whether what took place at a moment fell into the emergency."""
        return self.begun < moment and (self.ended is None or moment <= self.ended)


@dataclass(frozen=True)
class TenantFleet:
    """One tenant's counters.

    Args:
        tenant_id: whose.
        monitored_count: N, without the devices of blind partitions.
        offline_count: M, those of N in warning or critical.
        homes: N and M by the partition that devices were last heard on, blind ones too.
        emergency: the one that fires now.
        clear_since_ms: since when M is at or below the clear level, while an emergency fires.
        past: emergencies that ended, oldest first.
        sample: the devices that went offline last and are so still.
    """

    tenant_id: str
    monitored_count: int = 0
    offline_count: int = 0
    emergency: Emergency | None = None
    clear_since_ms: int | None = None
    past: tuple[Emergency, ...] = ()
    sample: tuple[str, ...] = ()
    homes: Mapping[int, tuple[int, int]] = field(default_factory=dict)

    def counted(self, row: Transition, blind: frozenset[int]) -> "TenantFleet":
        """Return the fleet after one transition of a device.

        Args:
            row: of `TRANSITION_SCHEMA`.
            blind: partitions that do not count.
        """
        homes, monitored_count, offline_count = dict(self.homes), 0, 0
        for partition, monitored, offline in _changes(row):
            before = homes.get(partition, (0, 0))
            homes[partition] = before[0] + monitored, before[1] + offline
            if partition not in blind:
                monitored_count += monitored
                offline_count += offline
        monitored_count += self.monitored_count
        offline_count += self.offline_count
        assert 0 <= offline_count <= monitored_count, f"M and N of {self.tenant_id}"
        sample, device_id, offline_delta = self.sample, row["device_id"], row["offline_delta"]
        if offline_delta > 0:
            sample = (*sample, device_id)[-SAMPLE_MAX_DEVICES:]
        elif offline_delta < 0 and device_id in sample:
            sample = tuple(offline for offline in sample if offline != device_id)
        return TenantFleet(
            self.tenant_id,
            monitored_count,
            offline_count,
            self.emergency,
            self.clear_since_ms,
            self.past,
            sample,
            homes,
        )

    def without_blind(self, blind: frozenset[int]) -> "TenantFleet":
        """Return the fleet with N and M of those partitions alone that are heard (C5)."""
        heard = [counts for partition, counts in self.homes.items() if partition not in blind]
        monitored_count = sum(monitored for monitored, _ in heard)
        offline_count = sum(offline for _, offline in heard)
        return replace(self, monitored_count=monitored_count, offline_count=offline_count)

    def is_emergency_reached(self, policy: OfflinePolicy) -> bool:
        """Return whether so many are offline that a rise of M fires."""
        has_fleet = self.monitored_count >= 2  # noqa: PLR2004 - one device is no fleet (C5)
        return has_fleet and self.offline_count >= policy.need(self.monitored_count)

    def watched_clear(self, time_ms: int, policy: OfflinePolicy) -> "TenantFleet":
        """Return the fleet with the wait for the end of its emergency begun, kept or broken."""
        if self.emergency is None:
            return self
        is_clear = self.offline_count <= policy.clear_level(self.monitored_count)
        if not is_clear:
            return self if self.clear_since_ms is None else replace(self, clear_since_ms=None)
        return self if self.clear_since_ms is not None else replace(self, clear_since_ms=time_ms)

    def covering(self, moment: Moment) -> Emergency | None:
        """Return the emergency into which a moment fell."""
        if self.emergency is not None and self.emergency.covers(moment):
            return self.emergency
        return next((past for past in reversed(self.past) if past.covers(moment)), None)

    def with_emergency(
        self, moment: Moment, input_clock_ms: int, policy: OfflinePolicy, *, is_muted: bool = False
    ) -> tuple["TenantFleet", AlertRecord]:
        """Return the fleet with an emergency that fires at a moment, and its event."""
        episode = _episode(self.tenant_id, moment[0])
        head = Head(episode, 1, Status.FIRING, Severity.EMERGENCY, moment[0], input_clock_ms)
        emergency = Emergency(moment, episode.event_id(1), is_told=not is_muted)
        fleet = replace(self, emergency=emergency)
        return fleet, fleet._record(head, policy, emergency, starts_at=moment[0])

    def unmuted(
        self, time_ms: int, input_clock_ms: int, policy: OfflinePolicy
    ) -> tuple["TenantFleet", AlertRecord]:
        """Return the fleet whose emergency is told as its mute is over, and the event (C13)."""
        assert self.emergency is not None, "only what fires is told"
        emergency = replace(self.emergency, seq=self.emergency.seq + 1, is_told=True)
        head = Head(
            _episode(self.tenant_id, emergency.start_ms),
            emergency.seq,
            Status.FIRING,
            Severity.EMERGENCY,
            time_ms,
            input_clock_ms,
        )
        record = self._record(
            head,
            policy,
            emergency,
            starts_at=emergency.start_ms,
            previous_severity=Severity.EMERGENCY.value,
            reason=Cause.MUTE_ENDED.value,
        )
        return replace(self, emergency=emergency), record

    def without_emergency(
        self, moment: Moment, input_clock_ms: int, policy: OfflinePolicy, reason: Cause | None
    ) -> tuple["TenantFleet", AlertRecord]:
        """Return the fleet with its emergency ended at a moment, and the event that tells it."""
        emergency = self.emergency
        assert emergency is not None, "only what fires can end"
        episode = _episode(self.tenant_id, emergency.start_ms)
        seq = emergency.seq + 1
        head = Head(episode, seq, Status.RESOLVED, Severity.EMERGENCY, moment[0], input_clock_ms)
        past = (*self.past, replace(emergency, ended=moment))[-PAST_MAX_EMERGENCIES:]
        record = self._record(
            head,
            policy,
            emergency,
            starts_at=emergency.start_ms,
            ends_at=moment[0],
            previous_severity=Severity.EMERGENCY.value,
            reason=None if reason is None else reason.value,
        )
        return replace(self, emergency=None, clear_since_ms=None, past=past), record

    def _record(
        self, head: Head, policy: OfflinePolicy, emergency: Emergency, **rest: Any
    ) -> AlertRecord:
        """Return an event of an emergency with the counts as they are."""
        monitored, offline = self.monitored_count, self.offline_count
        ratio = offline / monitored if monitored > 0 else 0.0
        counts = {
            "monitored": monitored,
            "offline": offline,
            "ratio": ratio,
            "sample_devices": list(self.sample),
        }
        return alert_record(
            head,
            Notice(
                emergency.is_told,
                policy.channels_of(Severity.EMERGENCY),
                () if emergency.is_told else (MUTE,),
            ),
            value=ratio,
            counts=counts,
            summary=f"{offline} of {monitored} devices of {self.tenant_id} are offline.",
            **rest,
        )


def _changes(row: Transition) -> list[tuple[int, int, int]]:
    """Return what a row does to N and M of partitions: (partition, to N, to M)."""
    home, left = row["partition"], row["left_partition"]
    monitored, offline = row["monitored_delta"], row["offline_delta"]
    if home == left:
        return [(home, monitored, offline)] if (monitored, offline) != (0, 0) else []
    was_monitored = row["is_counted"] and monitored <= 0
    is_monitored = row["is_counted"] and monitored >= 0
    # Whoever is heard elsewhere is heard: it is offline no longer.
    return [
        (left, -int(was_monitored), min(0, offline)),
        (home, int(is_monitored), max(0, offline)),
    ]


def _episode(tenant_id: str, start_ms: int) -> Episode:
    return Episode(tenant_id, Rule.FLEET_OFFLINE, f"tenant/{tenant_id}", start_ms)


def tenant_values(tenant: TenantFleet) -> dict[str, Any]:
    """Return everything of a tenant for the state's bytes."""
    homes = [[partition, *counts] for partition, counts in tenant.homes.items()]
    return asdict(replace(tenant, homes={})) | {"homes": homes}


def restored_tenant(stored: dict[str, Any]) -> TenantFleet:
    """Return what `tenant_values` wrote, in this or the first layout."""
    # The first layout counted a tenant as a whole: as if on a partition that is never blind.
    whole = [[NO_PARTITION, stored["monitored_count"], stored["offline_count"]]]
    homes = {partition: (n, m) for partition, n, m in stored.get("homes", whole)}
    emergency = stored["emergency"]
    return TenantFleet(
        **{
            **stored,
            "emergency": None if emergency is None else _restored_emergency(emergency),
            "past": tuple(_restored_emergency(past) for past in stored["past"]),
            "sample": tuple(stored["sample"]),
            "homes": homes,
        }
    )


def _restored_emergency(stored: dict[str, Any]) -> Emergency:
    begun_ms, begun_by = stored["begun"]
    ended = stored["ended"]
    return Emergency(
        (begun_ms, begun_by),
        stored["event_id"],
        ended=None if ended is None else tuple(ended),
        seq=stored.get("seq", 1),
        is_told=stored.get("is_told", True),
    )
