"""What operators have said of a shard's devices, by scope: maintenance, mutes, goodbyes, rules.

    book      events, and the instants between which each acts; a later one of its key cuts it short
    atoms     for each device of a scope: look at the book at this instant (`registry_changes.Atom`)

A device is looked at when an event begins and ends to act, and whenever the registry moves it; what
the book says of that instant is what counts. So nothing that was replaced needs undoing, and what
was said later changes nothing that came before.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl

from schemas.control import (
    FAR_MS,
    ControlEvent,
    Goodbye,
    Maintenance,
    Mute,
    OfflineRule,
    Scope,
    control_fields,
    control_key,
    parse_control,
)
from udfs.acting_spans import ActingSpan, with_later
from udfs.device_columns import DeviceColumns
from udfs.device_labels import groups_of, sites_of
from udfs.offline_rules import OfflineRules, RuleSpan
from udfs.partition_clocks import Bools, Int64s, Rows
from udfs.registry_changes import Atom

KEPT_AFTER_END_MS = 3_600_000
"""So long an event stays in the book for partitions that are read late."""

Plan = tuple[Scope, list[tuple[Atom, int]]]
"""Whom an event is about, and what it asks them to do at which instants."""
Timed = Maintenance | Mute | Goodbye
Booked = Timed | OfflineRule


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
    """The events that act, will act, or acted a while ago.

    Args:
        planned: with a begin and an end of their own.
        rules: about silence.
    """

    planned: tuple[Planned, ...] = ()
    rules: OfflineRules = field(default_factory=OfflineRules)

    def with_event(self, event: Booked, acts_ms: int) -> "ControlBook":
        """Return the book with one more event, which takes the place of earlier ones of its key."""
        if isinstance(event, OfflineRule):
            return replace(self, rules=self.rules.with_rule(event, acts_ms))
        return replace(self, planned=with_later(self.planned, Planned.of(event, acts_ms), acts_ms))

    def without_past(self, slowest_ms: int) -> "ControlBook":
        """Return the book without what ended long before every clock."""
        past_ms = slowest_ms - KEPT_AFTER_END_MS
        kept = tuple(planned for planned in self.planned if planned.end_ms >= past_ms)
        rules = self.rules.without_past(past_ms)
        if len(kept) == len(self.planned) and rules is self.rules:
            return self
        return ControlBook(kept, rules)

    @property
    def entries(self) -> tuple[Planned | RuleSpan, ...]:
        """Return everything in it."""
        return (*self.planned, *self.rules.spans)

    def since(self, said_ms: Mapping[str, int]) -> "list[Plan]":
        """Return what events of some keys have changed: what they did until then is done.

        Args:
            said_ms: by key, the append time of the first of its events that is new.
        """
        news = [entry for entry in self.entries if entry.key in said_ms]
        return [
            (scope, [(atom, at_ms) for atom, at_ms in due if at_ms >= said_ms[entry.key]])
            for entry, (scope, due) in zip(news, plans_of(news), strict=True)
        ]

    def of_kind(self, kind: type[Timed]) -> list[Planned]:
        """Return the events of one kind."""
        return [planned for planned in self.planned if isinstance(planned.event, kind)]

    def instants_between(self, after_ms: int, before_ms: int) -> list[int]:
        """Return when something begins or ends to act, in order, both limits exclusive."""
        found = {at_ms for p in self.planned for at_ms in (p.begin_ms, p.end_ms)}
        found.update(self.rules.instants_between(after_ms, before_ms))
        return sorted(at_ms for at_ms in found if after_ms < at_ms < before_ms)

    def to_values(self) -> list[Any]:
        """Return what is planned, for the state's bytes; the rules have a place of their own."""
        return [[control_fields(p.event), p.begin_ms, p.end_ms] for p in self.planned]

    @classmethod
    def from_values(cls, stored: Iterable[Any], rules: Iterable[Any]) -> "ControlBook":
        """Return what `to_values` of the book and of its rules wrote."""
        planned = []
        for fields, begin_ms, end_ms in stored:
            event = parse_control(fields)
            assert isinstance(event, Timed), "only these are planned"
            planned.append(Planned(control_key(event), begin_ms, end_ms, event))
        return cls(tuple(planned), OfflineRules.from_values(rules))


def instants_of(planned: Planned | RuleSpan) -> list[tuple[Atom, int]]:
    """Return what happens to each device of an event's scope, and when."""
    if isinstance(planned, RuleSpan):
        return [
            (Atom.RULE, at_ms) for at_ms in (planned.begin_ms, planned.end_ms) if at_ms < FAR_MS
        ]
    if isinstance(planned.event, Mute):
        return [(Atom.MUTE_END, planned.end_ms)]
    if isinstance(planned.event, Goodbye):
        return [(Atom.GOODBYE, planned.begin_ms), (Atom.BACK, planned.end_ms)]
    return [(Atom.LOOK, planned.begin_ms), (Atom.LOOK, planned.end_ms)]


def plans_of(entries: Iterable[Planned | RuleSpan]) -> list[Plan]:
    """Return the plan of each entry of a book."""
    return [(entry.event.scope, instants_of(entry)) for entry in entries]


def looks_at(
    plans: Iterable[Plan],
    devices: DeviceColumns,
    index: Int64s,
    after_ms: Int64s | int,
) -> Iterator[tuple[Atom, Int64s, int]]:
    """Yield what happens to which of some devices, and when, as far as it is still to come.

    Each instant comes once: a thousand rules that are said at once make one look.

    Args:
        plans: of the book.
        devices: of the shard.
        index: row numbers of the devices in question, shape (n,).
        after_ms: the instant that each has reached, shape (n,), or one for all.
    """
    if not len(index):
        return
    rows, reached_ms = devices.rows[index], np.broadcast_to(after_ms, index.shape)
    lowest_ms, in_scope = int(reached_ms.min()), dict[str, Bools]()
    found: dict[tuple[Atom, int], Bools] = {}
    for scope, due in plans:
        instants = [(atom, at_ms) for atom, at_ms in due if at_ms > lowest_ms]
        if instants and scope.key not in in_scope:
            in_scope[scope.key] = covered(scope, devices, index, rows)
        for each in instants:
            found[each] = found.get(each, False) | in_scope[scope.key]
    for (atom, at_ms), is_here in found.items():
        yield atom, index[is_here & (at_ms > reached_ms)], at_ms


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
