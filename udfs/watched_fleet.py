"""The counters of one fleet, of a tenant, a group or a site, and its emergency (C5).

M >= need(N), on a rise of M     -> fires, once
M <= clear_level(N) for 300 s    -> resolves; any M above it in between begins the wait anew
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from schemas.severity import Severity
from udfs.alerts import AlertRecord, Status
from udfs.device_columns import NO_PARTITION
from udfs.emergency import Emergency, EmergencyEvents, Moment
from udfs.fleet_keys import Change, FleetKey
from udfs.hushes import REMEMBERED_MS
from udfs.offline_policy import FleetKind, OfflinePolicy
from udfs.state_bytes import packed_values
from udfs.transitions import Cause

SAMPLE_MAX_DEVICES = 20
PAST_MAX_EMERGENCIES = 64
"""How many ended emergencies a fleet remembers, to know which firings nobody was told of."""


@dataclass(frozen=True)
class WatchedFleet:
    """One fleet's counters.

    Args:
        key: whose.
        monitored_count: N, without the devices of blind partitions.
        offline_count: M, those of N in warning or critical.
        emergency: the one that fires now.
        clear_since_ms: since when M is at or below the clear level, while an emergency fires.
        past: emergencies that ended, oldest first.
        sample: the devices that went offline last and are so still.
        homes: N and M by the partition that devices were last heard on, blind ones too.
    """

    key: FleetKey
    monitored_count: int = 0
    offline_count: int = 0
    emergency: Emergency | None = None
    clear_since_ms: int | None = None
    past: tuple[Emergency, ...] = ()
    sample: tuple[str, ...] = ()
    homes: Mapping[int, tuple[int, int]] = field(default_factory=dict)

    def counted(
        self, changes: Sequence[Change], device_id: str, blind: frozenset[int]
    ) -> "WatchedFleet":
        """Return the fleet after one transition of a device.

        Args:
            changes: what it does to N and M.
            device_id: of the device.
            blind: partitions that do not count.
        """
        homes, offline_delta = dict(self.homes), 0
        monitored_count, offline_count = self.monitored_count, self.offline_count
        for partition, monitored, offline in changes:
            before = homes.get(partition, (0, 0))
            homes[partition] = after = before[0] + monitored, before[1] + offline
            if after == (0, 0):
                del homes[partition]
            offline_delta += offline
            if partition not in blind:
                monitored_count += monitored
                offline_count += offline
        assert 0 <= offline_count <= monitored_count, f"M and N of {self.key.subject_text}"
        return WatchedFleet(
            self.key,
            monitored_count,
            offline_count,
            self.emergency,
            self.clear_since_ms,
            self.past,
            self._sampled(device_id, offline_delta),
            homes,
        )

    def _sampled(self, device_id: str, offline_delta: int) -> tuple[str, ...]:
        if offline_delta > 0:
            return (*self.sample, device_id)[-SAMPLE_MAX_DEVICES:]
        if offline_delta < 0 and device_id in self.sample:
            return tuple(offline for offline in self.sample if offline != device_id)
        return self.sample

    def without_blind(self, blind: frozenset[int]) -> "WatchedFleet":
        """Return the fleet with N and M of those partitions alone that are heard (C5)."""
        heard = [counts for partition, counts in self.homes.items() if partition not in blind]
        monitored_count = sum(monitored for monitored, _ in heard)
        offline_count = sum(offline for _, offline in heard)
        return replace(self, monitored_count=monitored_count, offline_count=offline_count)

    def is_idle(self) -> bool:
        """Return whether nothing is to be remembered of the fleet."""
        return not self.homes and self.emergency is None and not self.past

    def without_old(self, now_ms: int) -> "WatchedFleet":
        """Return the fleet without what is too old to matter to anybody, see `covering`."""
        past = tuple(p for p in self.past if _is_remembered(p, now_ms))
        return self if len(past) == len(self.past) else replace(self, past=past)

    def is_emergency_reached(self, policy: OfflinePolicy) -> bool:
        """Return whether so many are offline that a rise of M fires."""
        has_fleet = self.monitored_count >= 2  # noqa: PLR2004 - one device is no fleet (C5)
        return has_fleet and self.offline_count >= policy.need(self.monitored_count)

    def watched_clear(self, time_ms: int, policy: OfflinePolicy) -> "WatchedFleet":
        """Return the fleet with the wait for the end of its emergency begun, kept or broken."""
        if self.emergency is None:
            return self
        is_clear = self.offline_count <= policy.clear_level(self.monitored_count)
        if not is_clear:
            return self if self.clear_since_ms is None else replace(self, clear_since_ms=None)
        return self if self.clear_since_ms is not None else replace(self, clear_since_ms=time_ms)

    def covering(self, moment: Moment, now_ms: int) -> Emergency | None:
        """Return the emergency into which a moment fell.

        Args:
            moment: before now.
            now_ms: an emergency that ended 31 days before it is forgotten.
        """
        if self.emergency is not None and self.emergency.covers(moment):
            return self.emergency
        covers = (p for p in reversed(self.past) if p.covers(moment))
        return next((past for past in covers if _is_remembered(past, now_ms)), None)

    def with_emergency(
        self,
        moment: Moment,
        input_clock_ms: int,
        policy: OfflinePolicy,
        suppressed_by: tuple[str, ...] = (),
    ) -> tuple["WatchedFleet", AlertRecord]:
        """Return the fleet with an emergency that fires at a moment, and its event."""
        event_id = self._events(policy).episode(moment[0]).event_id(1)
        emergency = Emergency(
            moment, event_id, is_told=not suppressed_by, suppressed_by=suppressed_by
        )
        fleet = replace(self, emergency=emergency)
        times_ms = moment[0], input_clock_ms
        return fleet, self._events(policy).event(Status.FIRING, emergency, times_ms, suppressed_by)

    def unmuted(
        self,
        time_ms: int,
        input_clock_ms: int,
        policy: OfflinePolicy,
        suppressed_by: tuple[str, ...] = (),
    ) -> tuple["WatchedFleet", AlertRecord]:
        """Return the fleet whose emergency is told as its mute is over, and the event (C13).

        Args:
            time_ms: the end of the mute.
            input_clock_ms: when that is known.
            policy: for channels.
            suppressed_by: what else keeps it from people.
        """
        emergency = self.emergency
        assert emergency is not None, "only what fires is told"
        is_told = emergency.is_told or not suppressed_by
        emergency = replace(emergency, seq=emergency.seq + 1, is_told=is_told)
        event = self._events(policy).event(
            Status.FIRING,
            emergency,
            (time_ms, input_clock_ms),
            suppressed_by,
            previous_severity=Severity.EMERGENCY.value,
            reason=Cause.MUTE_ENDED.value,
        )
        return replace(self, emergency=emergency), event

    def without_emergency(
        self, moment: Moment, input_clock_ms: int, policy: OfflinePolicy, reason: Cause | None
    ) -> tuple["WatchedFleet", AlertRecord]:
        """Return the fleet with its emergency ended at a moment, and the event that tells it."""
        assert self.emergency is not None, "only what fires can end"
        ended = replace(self.emergency, seq=self.emergency.seq + 1, ended=moment)
        event = self._events(policy).event(
            Status.RESOLVED,
            ended,
            (moment[0], input_clock_ms),
            () if ended.is_told else ended.suppressed_by,
            ends_at=moment[0],
            previous_severity=Severity.EMERGENCY.value,
            reason=None if reason is None else reason.value,
        )
        past = (*self.past, ended)[-PAST_MAX_EMERGENCIES:]
        return replace(self, emergency=None, clear_since_ms=None, past=past), event

    def _events(self, policy: OfflinePolicy) -> EmergencyEvents:
        return EmergencyEvents(
            self.key, self.monitored_count, self.offline_count, self.sample, policy
        )

    @cached_property
    def packed(self) -> Any:
        """Return everything for the state's bytes; computed once, as few fleets change."""
        return packed_values(
            {
                **self.key._asdict(),
                "monitored_count": self.monitored_count,
                "offline_count": self.offline_count,
                "emergency": None if self.emergency is None else self.emergency.to_values(),
                "clear_since_ms": self.clear_since_ms,
                "past": [past.to_values() for past in self.past],
                "sample": self.sample,
                "homes": [[partition, *counts] for partition, counts in self.homes.items()],
            }
        )

    @classmethod
    def from_values(cls, stored: dict[str, Any]) -> "WatchedFleet":
        """Return what `packed` holds, in this or an earlier layout."""
        # The first layout counted a tenant as a whole: as if on a partition that is never blind.
        whole = [[NO_PARTITION, stored["monitored_count"], stored["offline_count"]]]
        homes = {partition: (n, m) for partition, n, m in stored.get("homes", whole)}
        emergency = stored["emergency"]
        kind = FleetKind(stored.get("kind", FleetKind.TENANT))
        return cls(
            FleetKey(stored["tenant_id"], kind, stored.get("name", "")),
            stored["monitored_count"],
            stored["offline_count"],
            None if emergency is None else Emergency.from_values(emergency),
            stored["clear_since_ms"],
            tuple(Emergency.from_values(past) for past in stored["past"]),
            tuple(stored["sample"]),
            homes,
        )


def _is_remembered(past: Emergency, now_ms: int) -> bool:
    return past.ended is not None and past.ended[0] > now_ms - REMEMBERED_MS
