"""What operators have planned for a shard's devices: maintenance, mutes and goodbyes, by scope.

    book      events, and the instants between which each acts; a later one of its key cuts it short
    atoms     for each device of a scope: look at the book at this instant (`registry_changes.Atom`)

A device is looked at when an event begins and ends to act, and whenever the registry moves it; what
the book says of that instant is what counts. So nothing that was replaced needs undoing, and what
was said later changes nothing that came before.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from schemas.control import (
    ControlEvent,
    Goodbye,
    Maintenance,
    Mute,
    Scope,
    control_fields,
    control_key,
    parse_control,
)
from udfs.acting_spans import ActingSpan, with_later
from udfs.device_columns import DeviceColumns
from udfs.device_labels import groups_of, sites_of
from udfs.partition_clocks import Bools, Int64s, Rows
from udfs.registry_changes import Atom

KEPT_AFTER_END_MS = 3_600_000
"""So long an event stays in the book for partitions that are read late."""

Timed = Maintenance | Mute | Goodbye


@dataclass(frozen=True)
class Planned(ActingSpan):
    """An event and when it acts.

    Args:
        event: what an operator said.
    """

    event: Timed

    @classmethod
    def of(cls, event: Timed, acts_ms: int) -> "Planned":
        """Return when an event acts that was appended at some instant."""
        key = control_key(event)
        if isinstance(event, Goodbye):
            return cls(key, acts_ms, max(acts_ms, event.expected_back_ms), event)
        return cls(key, max(acts_ms, event.from_ms), max(acts_ms, event.until_ms), event)

    def is_active(self, at_ms: Int64s) -> Bools:
        """Return at which instants it acts, shape (n,)."""
        return np.asarray((self.begin_ms <= at_ms) & (at_ms < self.end_ms))


@dataclass(frozen=True)
class ControlBook:
    """The events that act, will act, or acted a while ago."""

    planned: tuple[Planned, ...] = ()

    def with_event(self, event: Timed, acts_ms: int) -> "ControlBook":
        """Return the book with one more event, which takes the place of earlier ones of its key."""
        return ControlBook(with_later(self.planned, Planned.of(event, acts_ms), acts_ms))

    def without_past(self, slowest_ms: int) -> "ControlBook":
        """Return the book without what ended long before every clock."""
        kept = tuple(p for p in self.planned if p.end_ms + KEPT_AFTER_END_MS >= slowest_ms)
        return self if len(kept) == len(self.planned) else ControlBook(kept)

    def of_kind(self, kind: type[Timed]) -> list[Planned]:
        """Return the events of one kind."""
        return [planned for planned in self.planned if isinstance(planned.event, kind)]

    def of_key(self, event: Timed) -> list[Planned]:
        """Return the events that have the key of one."""
        return [planned for planned in self.planned if planned.key == control_key(event)]

    def instants_between(self, after_ms: int, before_ms: int) -> list[int]:
        """Return when something begins or ends to act, in order, both limits exclusive."""
        found = {at_ms for p in self.planned for at_ms in (p.begin_ms, p.end_ms)}
        return sorted(at_ms for at_ms in found if after_ms < at_ms < before_ms)

    def to_values(self) -> list[Any]:
        """Return everything for the state's bytes."""
        return [[control_fields(p.event), p.begin_ms, p.end_ms] for p in self.planned]

    @classmethod
    def from_values(cls, stored: Iterable[Any]) -> "ControlBook":
        """Return what `to_values` wrote."""
        planned = []
        for fields, begin_ms, end_ms in stored:
            event = parse_control(fields)
            assert isinstance(event, Timed), "only these are planned"
            planned.append(Planned(control_key(event), begin_ms, end_ms, event))
        return cls(tuple(planned))


def instants_of(planned: Planned) -> list[tuple[Atom, int]]:
    """Return what happens to each device of an event's scope, and when."""
    if isinstance(planned.event, Mute):
        return [(Atom.MUTE_END, planned.end_ms)]
    if isinstance(planned.event, Goodbye):
        return [(Atom.GOODBYE, planned.begin_ms), (Atom.BACK, planned.end_ms)]
    return [(Atom.LOOK, planned.begin_ms), (Atom.LOOK, planned.end_ms)]


def events_of(frame: pl.DataFrame) -> list[tuple[int, ControlEvent, str]]:
    """Return append time, event and its JSON of each row of `CONTROL_SCHEMA`, in order."""
    rows = frame.select("append_time_ms", "event").iter_rows()
    return [(acts_ms, parse_control(json.loads(text)), text) for acts_ms, text in rows]


def covered(scope: Scope, devices: DeviceColumns, index: Int64s, rows: Rows) -> Bools:
    """Return which of some devices belong to a scope.

    Args:
        scope: whom.
        devices: of the shard, for ids and labels.
        index: their row numbers, shape (n,).
        rows: DEVICE_ROW of each, shape (n,).
    """
    prefix = f"{scope.tenant_id}/"
    if scope.device_id is not None:
        row = devices.row_of.get(prefix + scope.device_id, -1)
        return np.asarray(index == row)
    keys = devices.keys
    found = np.fromiter((keys[i].startswith(prefix) for i in index.tolist()), np.bool_, len(index))
    if scope.deployment_group is not None:
        found &= groups_of(devices, rows) == scope.deployment_group
    if scope.site is not None:
        found &= sites_of(devices, rows) == scope.site
    return found
