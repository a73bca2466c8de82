"""Where devices were, group and site, when their open episodes were told of.

    place    g        g        h        h           Stay(until 12:20, g)
    episode     W 12:05           C 12:30   R       W was told as of g, C as of h: so is the end

A device that changes its group while it is offline takes its episode along. Who is told of the end
follows from who was told of what came before, hence from what stood in its group then (C6).
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from udfs.alerts import Transition
from udfs.device_columns import Stage
from udfs.hushes import Subject
from udfs.transitions import ENDS, FLAPPING_KINDS, Kind

STAYS_MAX_DEVICES = 10_000
"""Of more devices that move while offline, the ends are told as of where they are."""


class Place(NamedTuple):
    """Group and site of a device; empty where it has none."""

    deployment_group: str
    site: str


class Stay(NamedTuple):
    """A place that a device left at an instant, with an open episode or while it flapped."""

    until_ms: int
    place: Place


def place_now(row: Transition) -> Place:
    """Return where a row's device is after it."""
    return Place(row["deployment_group"], row["site"])


def place_before(row: Transition) -> Place:
    """Return where a row's device was before it."""
    group, site = row["left_group"], row["left_site"]
    now = place_now(row)
    return Place(
        now.deployment_group if group is None else group, now.site if site is None else site
    )


def has_left(row: Transition) -> bool:
    """Return whether a row's device was elsewhere before it."""
    return row["left_group"] is not None or row["left_site"] is not None


class Stays:
    """The places that devices left during the episodes that are open.

    Args:
        by_device: oldest first, by tenant and device; taken over.
    """

    def __init__(self, by_device: dict[str, tuple[Stay, ...]] | None = None) -> None:
        self.by_device = by_device or {}

    def copy(self) -> "Stays":
        """Return them for a step to change."""
        return Stays(dict(self.by_device))

    def take(self, row: Transition) -> None:
        """Remember or forget what a device's row says, after its event was told."""
        has_ended = row["kind"] in (*ENDS, Kind.CALM_REMOVED) or row["stage"] == Stage.NONE
        if has_ended and not _is_flapping(row):
            if self.by_device:
                self.by_device.pop(_key(row), None)
        elif has_left(row):
            stay = Stay(row["time_ms"], place_before(row))
            self.by_device[_key(row)] = (*self.by_device.pop(_key(row), ()), stay)
            if len(self.by_device) > STAYS_MAX_DEVICES:
                del self.by_device[next(iter(self.by_device))]

    def place_at(self, row: Transition, at_ms: int) -> Place:
        """Return where a row's device was at an instant of its episode, not after the row."""
        for stay in self.by_device.get(_key(row), ()):
            if at_ms < stay.until_ms:
                return stay.place
        return place_before(row) if at_ms < row["time_ms"] else place_now(row)

    def subject_at(self, row: Transition, at_ms: int) -> Subject:
        """Return a row's device as mutes looked at it at an instant."""
        return Subject(row["tenant_id"], row["device_id"], *self.place_at(row, at_ms))

    def subjects(self, row: Transition) -> Iterable[Subject]:
        """Return a row's device as mutes looked at it during its episode."""
        left = [stay.place for stay in self.by_device.get(_key(row), ())]
        places = dict.fromkeys([*left, place_before(row), place_now(row)])
        return [Subject(row["tenant_id"], row["device_id"], *place) for place in places]

    def to_values(self) -> dict[str, Any]:
        """Return everything for the state's bytes."""
        return {
            key: [[stay.until_ms, [*stay.place]] for stay in stays]
            for key, stays in self.by_device.items()
        }

    @classmethod
    def from_values(cls, stored: Mapping[str, Any]) -> "Stays":
        """Return what `to_values` wrote."""
        return cls(
            {
                key: tuple(Stay(until_ms, Place(*place)) for until_ms, place in stays)
                for key, stays in stored.items()
            }
        )


def _is_flapping(row: Transition) -> bool:
    """Return whether a row's device flaps after it: that, too, is told to be over (C9)."""
    if row["kind"] in FLAPPING_KINDS:
        return bool(row["kind"] == Kind.FLAPPING)
    return row["flapping_ms"] is not None and row["calm_ms"] is None


def _key(row: Transition) -> str:
    return f"{row['tenant_id']}/{row['device_id']}"
