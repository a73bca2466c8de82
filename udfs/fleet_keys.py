"""Whose fleet a device counts in, and what a row of it does to their N and M (C5).

A device counts in the fleet of its tenant, and in those of its deployment group and of its site
where such are watched. When the registry or its own claim gives it another group or site, it leaves
one fleet and joins another, with what it is: in N, and in M if it is offline.
"""

from functools import lru_cache
from typing import NamedTuple

from udfs.alerts import Transition
from udfs.device_columns import Stage
from udfs.hushes import Subject
from udfs.offline_policy import FleetKind
from udfs.stays import has_left, place_before, place_now


class FleetKey(NamedTuple):
    """Names a fleet; of one tenant, the tenant's own comes first.

    >>> FleetKey("acme", FleetKind.SITE, "paris").subject_text
    'site/paris'
    """

    tenant_id: str
    kind: FleetKind = FleetKind.TENANT
    name: str = ""

    @property
    def subject_text(self) -> str:
        """Return the fleet as its events name it."""
        if self.kind is FleetKind.TENANT:
            return f"tenant/{self.tenant_id}"
        return f"{self.label}/{self.name}"

    @property
    def label(self) -> str:
        """Return the label of events that holds the name of a group or site."""
        return "group" if self.kind is FleetKind.DEPLOYMENT_GROUP else "site"

    @property
    def subject(self) -> Subject:
        """Return the fleet as mutes look at it."""
        is_group, is_site = (self.kind is k for k in (FleetKind.DEPLOYMENT_GROUP, FleetKind.SITE))
        return Subject(
            self.tenant_id,
            deployment_group=self.name if is_group else "",
            site=self.name if is_site else "",
        )


class Change(NamedTuple):
    """What happens to N and M of a fleet on one partition."""

    partition: int
    monitored: int
    offline: int


def keys_of(
    tenant_id: str, deployment_group: str, site: str, kinds: FleetKind
) -> tuple[FleetKey, ...]:
    """Return the fleets that a device counts in, the tenant's first; no name, no fleet."""
    if int(kinds) == FleetKind.TENANT.value:
        return _whole(tenant_id)
    keys = _whole(tenant_id) if FleetKind.TENANT in kinds else ()
    if FleetKind.DEPLOYMENT_GROUP in kinds and deployment_group:
        keys += (FleetKey(tenant_id, FleetKind.DEPLOYMENT_GROUP, deployment_group),)
    if FleetKind.SITE in kinds and site:
        keys += (FleetKey(tenant_id, FleetKind.SITE, site),)
    return keys


@lru_cache(maxsize=4_096)
def _whole(tenant_id: str) -> tuple[FleetKey, ...]:
    """Return the fleet of a whole tenant; kept, as a storm asks for it with every row."""
    return (FleetKey(tenant_id),)


def changes_of(row: Transition, kinds: FleetKind) -> dict[FleetKey, list[Change]]:
    """Return what a row does to the N and M of fleets, the tenant's first.

    Args:
        row: of `TRANSITION_SCHEMA`.
        kinds: of the fleets that are watched.
    """
    monitored, offline = row["monitored_delta"], row["offline_delta"]
    tenant_id = row["tenant_id"]
    if row["partition"] == row["left_partition"] and not has_left(row):
        if monitored == 0 and offline == 0:
            return {}
        change = [Change(row["partition"], monitored, offline)]
        keys = keys_of(tenant_id, row["deployment_group"], row["site"], kinds)
        return dict.fromkeys(keys, change)
    now, left = place_now(row), place_before(row)
    is_in_n, is_in_m = _stands(row)
    changes: dict[FleetKey, list[Change]] = {}
    before = Change(row["left_partition"], -(is_in_n - monitored), -(is_in_m - offline))
    for key in keys_of(tenant_id, *left, kinds):
        changes[key] = [before]
    for key in keys_of(tenant_id, *now, kinds):
        changes[key] = [*changes.get(key, []), Change(row["partition"], is_in_n, is_in_m)]
    return dict(sorted(changes.items()))


def _stands(row: Transition) -> tuple[int, int]:
    """Return whether a device is in N and in M after a row: 0 or 1 each."""
    is_monitored = row["is_counted"] and row["monitored_delta"] >= 0
    # Of what has ended, the stage is the one it had.
    is_offline = is_monitored and row["stage"] != Stage.NONE and row["offline_delta"] >= 0
    return int(is_monitored), int(is_offline)
