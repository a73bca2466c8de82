"""Which emergencies keep the events of a device, or of a smaller fleet, from people (C7)."""

from collections.abc import Mapping
from dataclasses import dataclass

from udfs.alerts import Transition
from udfs.emergency import Moment
from udfs.fleet_keys import FleetKey, keys_of
from udfs.hushes import MUTE, Hushes
from udfs.offline_policy import FleetKind
from udfs.stays import Stays
from udfs.watched_fleet import WatchedFleet


@dataclass(frozen=True)
class Inhibition:
    """Looks at the emergencies of all fleets.

    Args:
        fleets: as they are now; those without an entry have nothing to say.
        stays: where devices were while their episodes were open.
        kinds: of the fleets that are watched.
    """

    fleets: Mapping[FleetKey, WatchedFleet]
    stays: Stays
    kinds: FleetKind

    def firing(self, row: Transition) -> list[str]:
        """Return the emergencies that fire for a row's device now, the tenant's first."""
        names = row["tenant_id"], row["deployment_group"], row["site"]
        found = [self.fleets.get(key) for key in keys_of(*names, self.kinds)]
        return [f.emergency.event_id for f in found if f is not None and f.emergency is not None]

    def covering(self, row: Transition, moment: Moment) -> list[str]:
        """Return the emergencies into which an earlier moment of a row's device fell."""
        place = self.stays.place_at(row, moment[0])
        fleets = map(self.fleets.get, keys_of(row["tenant_id"], *place, self.kinds))
        found = [f.covering(moment, row["time_ms"]) for f in fleets if f is not None]
        return [emergency.event_id for emergency in found if emergency is not None]

    def of_fleet(self, key: FleetKey, hushes: Hushes, at_ms: int) -> tuple[str, ...]:
        """Return what keeps an emergency from people: its tenant's, or a mute."""
        above = self.fleets.get(FleetKey(key.tenant_id))
        is_below = key.kind is not FleetKind.TENANT
        causes = []
        if is_below and above is not None and above.emergency is not None:
            causes.append(above.emergency.event_id)
        if hushes.is_muted(key.subject, at_ms):
            causes.append(MUTE)
        return tuple(causes)
