"""One emergency of a fleet: when it stands, who was told of it, and its events."""

from dataclasses import dataclass
from typing import Any

from schemas.severity import Severity
from udfs.alerts import AlertRecord, Episode, Head, Notice, Rule, Status, alert_record
from udfs.fleet_keys import FleetKey
from udfs.hushes import MUTE
from udfs.offline_policy import FleetKind, OfflinePolicy

LAST_OF_INSTANT = "\U0010ffff"
"""Sorts after every device id: an end that comes after all that fell on its instant."""

Moment = tuple[int, str]
"""Instant (UTC ms) and device: the order in which transitions of a tenant take place."""


@dataclass(frozen=True)
class Emergency:
    """One emergency, from just after `begun` to `ended`, inclusive.

    `seq` is that of its last event; `is_told` says whether people got to know of it, and
    `suppressed_by` what kept it from them.
    """

    begun: Moment
    event_id: str
    ended: Moment | None = None
    seq: int = 1
    is_told: bool = True
    suppressed_by: tuple[str, ...] = ()

    @property
    def start_ms(self) -> int:
        """Return the exact instant at which M reached its need."""
        return self.begun[0]

    def covers(self, moment: Moment) -> bool:
        """Return whether what took place at a moment fell into the emergency."""
        return self.begun < moment and (self.ended is None or moment <= self.ended)

    def to_values(self) -> dict[str, Any]:
        """Return everything for the state's bytes."""
        return dict(self.__dict__)

    @classmethod
    def from_values(cls, stored: dict[str, Any]) -> "Emergency":
        """Return what `to_values` wrote, in this or an earlier layout."""
        begun_ms, begun_by = stored["begun"]
        ended, is_told = stored["ended"], stored.get("is_told", True)
        # Once only a mute kept an emergency from people.
        suppressed_by = stored.get("suppressed_by", [] if is_told else [MUTE])
        return cls(
            (begun_ms, begun_by),
            stored["event_id"],
            ended=None if ended is None else tuple(ended),
            seq=stored.get("seq", 1),
            is_told=is_told,
            suppressed_by=tuple(suppressed_by),
        )


@dataclass(frozen=True)
class EmergencyEvents:
    """Writes the events of one fleet's emergencies.

    Args:
        key: whose.
        monitored_count: N as it is.
        offline_count: M as it is.
        sample: some of the devices offline.
        policy: for channels.
    """

    key: FleetKey
    monitored_count: int
    offline_count: int
    sample: tuple[str, ...]
    policy: OfflinePolicy

    def episode(self, start_ms: int) -> Episode:
        """Return what names the emergency that began at an instant."""
        return Episode(self.key.tenant_id, Rule.FLEET_OFFLINE, self.key.subject_text, start_ms)

    def event(
        self,
        status: Status,
        emergency: Emergency,
        times_ms: tuple[int, int],
        suppressed_by: tuple[str, ...],
        **rest: Any,
    ) -> AlertRecord:
        """Return one event with the counts as they are.

        Args:
            status: firing or resolved.
            emergency: as it is after the event.
            times_ms: the instant, and the input clock.
            suppressed_by: what keeps it from people.
            rest: what differs from event to event.
        """
        episode = self.episode(emergency.start_ms)
        head = Head(episode, emergency.seq, status, Severity.EMERGENCY, *times_ms)
        notice = Notice(
            not suppressed_by, self.policy.channels_of(Severity.EMERGENCY), suppressed_by
        )
        ratio = self.offline_count / self.monitored_count if self.monitored_count > 0 else 0.0
        return alert_record(
            head,
            notice,
            starts_at=emergency.start_ms,
            value=ratio,
            counts={
                "monitored": self.monitored_count,
                "offline": self.offline_count,
                "ratio": ratio,
                "sample_devices": list(self.sample),
            },
            **self._words(),
            **rest,
        )

    def _words(self) -> dict[str, Any]:
        key, labels = self.key, {"tenant": self.key.tenant_id, "rule": Rule.FLEET_OFFLINE.value}
        whose = key.tenant_id
        if key.kind is not FleetKind.TENANT:
            labels[key.label] = key.name
            whose = f"{key.label} {key.name} of {whose}"
        count = f"{self.offline_count} of {self.monitored_count} devices"
        return {"labels": labels, "summary": f"{count} of {whose} are offline."}
