"""What happens to devices at an instant: contacts, and changes that waited for it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from schemas.control import control_key
from udfs.contacts import Contacts, homes_of
from udfs.control_book import Booked, Plan, events_of, looks_at, plans_of
from udfs.device_moves import DeviceMoves, heard_until
from udfs.partition_clocks import UNKNOWN_MS, Int64s, Rows, clocks_by_partition, low_clock_ms
from udfs.quiet import Quiet
from udfs.registry_changes import Atom, PendingChanges
from udfs.rounds import rounds_of


@dataclass
class AtomStep(DeviceMoves):
    """Applies atoms in the order of the log: each device's first, then its second, and so on."""

    pending: PendingChanges = field(default_factory=PendingChanges.empty)

    def clocks_ms(self) -> Int64s:
        """Return the input clocks by partition; the last is that of devices never seen."""
        return clocks_by_partition(self.partitions)

    def take_changes(self, records: pl.DataFrame) -> None:
        """Queue records of the registry until the input clock reaches them."""
        self.pending = self.pending.with_records(records, self.devices)

    def take_controls(self, frame: pl.DataFrame) -> None:
        """Write what operators said into the book, and have the devices of its scope look at it."""
        if frame.is_empty():
            return
        floor_ms = low_clock_ms(self.partitions, self.policy.blind_after_ms)
        index = np.arange(len(self.devices.keys))
        said_ms: dict[str, int] = {}
        for acts_ms, event, text in events_of(frame):
            self.log.add_control(max(acts_ms, floor_ms), text)
            if isinstance(event, Booked):
                self.book = self.book.with_event(event, acts_ms)
                said_ms.setdefault(control_key(event), acts_ms)
        self._plan(self.book.since(said_ms), index, UNKNOWN_MS)

    def _plan(self, plans: Iterable[Plan], index: Int64s, after_ms: Int64s | int) -> None:
        """Have devices look at the book at the instants that they have not reached."""
        for atom, chosen, at_ms in looks_at(plans, self.devices, index, after_ms):
            self.pending = self.pending.with_atoms(atom, chosen, at_ms)

    def _take_atoms(self, contacts: Contacts, reached_ms: Int64s, floor_ms: Int64s) -> None:
        """Apply contacts and the changes below `reached_ms`, per device in order.

        What operators planned cuts the time: a change before it may bring a device into its scope.
        """
        highest_ms = int(reached_ms.max(initial=UNKNOWN_MS))
        for cut_ms in self.book.instants_between(int(floor_ms.min()), highest_ms):
            is_before = contacts.clock_ms < cut_ms
            reached, now = np.minimum(reached_ms, cut_ms), contacts.at(is_before)
            self._take_part(now, contacts, reached, floor_ms)
            contacts = contacts.at(~is_before)
        self._take_part(contacts, contacts, reached_ms, floor_ms)

    def _take_part(
        self, contacts: Contacts, coming: Contacts, reached_ms: Int64s, floor_ms: Int64s
    ) -> None:
        if len(self.pending.rows):
            homes = homes_of(self.devices, contacts, coming)
            changes, change_ms, told_ms = self._changes_below(homes, reached_ms, floor_ms)
        else:
            changes, change_ms, told_ms = self.pending.rows, *np.zeros((2, 0), dtype=np.int64)
        if not len(contacts.row) and not len(changes):
            return
        row = np.concatenate([contacts.row, changes["row"]])
        time_ms = np.concatenate([contacts.clock_ms, change_ms])
        is_change = np.arange(len(row)) >= len(contacts.row)
        # A rule comes after what else falls on its instant: whom a maintenance hides stays hidden.
        is_rule = np.append(np.zeros(len(contacts.row), np.bool_), changes["atom"] == Atom.RULE)
        for atoms in rounds_of(row, time_ms, is_change=is_change, is_last=is_rule):
            chosen = atoms[~is_change[atoms]]
            if len(chosen):
                self._take_contacts(contacts.at(chosen))
            chosen = atoms[is_change[atoms]] - len(contacts.row)
            if len(chosen):
                self._take_changes(changes[chosen], change_ms[chosen], told_ms[chosen])

    def _take_contacts(self, contacts: Contacts) -> None:
        """Hear devices; who says that it is in another group has that group's rules to come."""
        before = self.devices.rows["claim"][contacts.row]
        self.take_contacts(contacts)
        self.devices.quiet = self.devices.quiet.heard(contacts.seen_ms)
        if len(self.devices.ladders) > 1:
            self.devices.quiet = Quiet(self.policy)
        if self.book.rules.spans:
            moved = self.devices.rows["claim"][contacts.row] != before
            rules = plans_of(self.book.rules.spans)
            self._plan(rules, contacts.row[moved], contacts.clock_ms[moved])

    def _take_changes(self, changes: Rows, time_ms: Int64s, told_ms: Int64s) -> None:
        """Apply what is no contact, at most one change a device."""
        self.devices.quiet = Quiet(self.policy)
        for atom in np.unique(changes["atom"]).tolist():
            chosen = changes["atom"] == atom
            index = changes["row"][chosen].astype(np.int64)
            if atom == Atom.REGISTRY:
                self.change(changes[chosen], time_ms[chosen], told_ms[chosen])
                self._plan(plans_of(self.book.entries), index, told_ms[chosen])
            elif atom == Atom.LOOK:
                self.look(index, time_ms[chosen], told_ms[chosen])
            elif atom == Atom.RULE:
                # On a partition that was silent a rule acts from when it speaks.
                begin_ms = np.maximum(time_ms[chosen], told_ms[chosen])
                self.look_at_rules(index, time_ms[chosen], begin_ms)
            elif atom == Atom.MUTE_END:
                self.climb_up_to(index, heard_until(time_ms[chosen], told_ms[chosen]))
                at_ms = changes["append_time_ms"][chosen]
                self.end_mutes(index, at_ms, time_ms[chosen], told_ms[chosen])
            else:
                self.climb_up_to(index, heard_until(time_ms[chosen], told_ms[chosen]))
                self.say_goodbye(index, changes["append_time_ms"][chosen])

    def _changes_below(
        self, homes: Int64s, reached_ms: Int64s, floor_ms: Int64s
    ) -> tuple[Rows, Int64s, Int64s]:
        """Take the registry changes that are reached, by the partition of each device.

        Returns:
            The changes; where each falls on its partition's clock, which stands still while it is
            silent; and the instant at which it takes place.
        """
        pending = self.pending.rows
        home = homes[pending["row"]]
        clock_ms = np.append(self.partitions["clock_ms"], np.iinfo(np.int64).max)
        taken = pending["append_time_ms"] < reached_ms[home]
        # Of devices that nobody can hear now a rule can say nothing: it waits until they can be,
        # and so comes after what the registry said of them meanwhile.
        taken &= (pending["atom"] != Atom.RULE) | (
            (pending["append_time_ms"] <= clock_ms[home]) & (floor_ms[home] < reached_ms[home])
        )
        changes, at = pending[taken], home[taken]
        if len(changes):
            said = changes["atom"] == Atom.REGISTRY
            values = self.pending.twin_values(changes["twin"][said].tolist())
            changes["twin"][said] = self.devices.twin_codes(values)
            self.pending = self.pending.without(taken)
        change_ms = np.minimum(np.maximum(changes["append_time_ms"], floor_ms[at]), clock_ms[at])
        return changes, change_ms, np.maximum(changes["append_time_ms"], self.before_ms[at])
