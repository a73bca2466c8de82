"""One step of one shard, while it runs: see `liveness` for the stages."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from schemas.control import control_key
from udfs.contacts import Contacts, after_gaps, homes_of
from udfs.control_book import Booked, ControlBook, Plan, events_of, looks_at, plans_of
from udfs.device_columns import DeviceColumns, Flag, has_flag
from udfs.device_moves import DeviceMoves
from udfs.offline_policy import OfflinePolicy
from udfs.partition_clocks import (
    UNKNOWN_MS,
    Bools,
    Int64s,
    Rows,
    Stretches,
    clocks_by_partition,
    homeless_blind_ms,
    is_behind,
    is_known,
    is_left_behind,
    low_clock_ms,
    position_keys,
    ranks_within,
    slowest_ms,
    stretches_of,
    with_partitions,
)
from udfs.registry_changes import Atom, PendingChanges
from udfs.rounds import rounds_of
from udfs.silent_partitions import Silence, tell_heard, tell_left_behind, tell_met


@dataclass
class ShardStep(DeviceMoves):
    """The order of one step: waves, gaps, rounds and the sweep, on a working copy of the state."""

    pending: PendingChanges = field(default_factory=PendingChanges.empty)

    @classmethod
    def on(
        cls,
        devices: DeviceColumns,
        partitions: Rows,
        pending: PendingChanges,
        book: ControlBook,
        start_ms: int | None,
        policy: OfflinePolicy,
    ) -> "ShardStep":
        """Begin a step; what is given stays as it is."""
        before_ms = np.append(partitions["clock_ms"], slowest_ms(partitions))
        working = devices.fork(), partitions.copy()
        return cls(*working, start_ms, policy, before_ms, book=book, pending=pending)

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

    def take_log(self, contacts: pl.DataFrame, clocks: pl.DataFrame) -> None:
        """Apply the block's records, wave by wave."""
        if clocks.is_empty():
            assert contacts.is_empty(), "contacts belong to stretches"
            return
        self.logs = self.logs.with_logs(clocks["partition"].to_list(), clocks["log"].to_list())
        stretches = stretches_of(clocks, self.logs.indexes(clocks["partition"].to_numpy()))
        self._meet(stretches)
        wave = ranks_within(stretches.partition)
        known_count = len(self.devices.keys)
        found = self._contacts_of(contacts)
        new = np.arange(known_count, len(self.devices.keys))
        self._plan(plans_of(self.book.planned), new, UNKNOWN_MS)
        # Rules that act already are looked up when a device is heard for the first time.
        self._plan(plans_of(self.book.rules.spans), new, slowest_ms(self.partitions))
        keys = position_keys(stretches.partition, stretches.first_offset)
        place = np.searchsorted(keys, position_keys(found.partition, found.offset), "right") - 1
        assert bool((stretches.partition[place] == found.partition).all()), "a stretch is missing"
        turn = after_gaps(found, wave[place], self.devices, stretches.at(wave > 0), wave[wave > 0])
        for number in range(int(wave.max()) + 1):
            self._take_wave(stretches.at(wave == number), found.at(turn == number))

    def _meet(self, stretches: Stretches) -> None:
        """Open the books of partitions that are read for the first time."""
        if self.start_ms is None:
            self.start_ms = int(stretches.first_ms.min())
        self.partitions = with_partitions(self.partitions, int(stretches.partition.max()))
        missing = len(self.partitions) + 1 - len(self.before_ms)
        unknown = np.full(missing, UNKNOWN_MS, dtype=np.int64)
        self.before_ms = np.concatenate([self.before_ms[:-1], unknown, self.before_ms[-1:]])

    def _contacts_of(self, frame: pl.DataFrame) -> Contacts:
        partition = self.logs.indexes(frame["partition"].to_numpy())
        clock_ms = np.maximum(frame["clock_ms"].to_numpy(), self.partitions["clock_ms"][partition])
        return Contacts.of(frame, (partition, clock_ms), self.devices, self.policy)

    def _take_wave(self, stretches: Stretches, contacts: Contacts) -> None:
        floor_ms = self._enter(stretches)
        clock_ms = self.partitions["clock_ms"]
        reached = np.maximum(clock_ms[stretches.partition], stretches.last_ms)
        clock_ms[stretches.partition] = reached
        self.partitions["next_offset"][stretches.partition] = stretches.last_offset + 1
        # What was read before this block was there when its records came.
        heard_ms = np.maximum(stretches.heard_ms, self.before_ms[:-1].max())
        self.partitions["heard_ms"][stretches.partition] = heard_ms
        reached_by_partition = np.full(len(clock_ms) + 1, UNKNOWN_MS, dtype=np.int64)
        reached_by_partition[stretches.partition] = reached
        self._take_atoms(contacts, reached_by_partition, floor_ms)

    def _enter(self, stretches: Stretches) -> Int64s:
        """Begin a stretch on some partitions: excuse what came before it unheard.

        Returns:
            By partition: the instant below which nothing can take place any more.
        """
        at = stretches.partition
        books = self.partitions[at]
        known = is_known(books)
        tell_met(self.log, stretches.at(~known), max(0, int(self.before_ms[-1])))
        step_ms = stretches.first_ms - books["clock_ms"]
        lost = known & (
            stretches.first_offset - books["next_offset"] >= self.policy.gap_min_offsets
        )
        gap = known & (step_ms > 0) & (lost | (step_ms > self.policy.blind_after_ms))
        tell_heard(self.log, books, stretches, Silence(lost & gap, gap & ~lost), self.policy)
        self.partitions["is_blind_told"][at] = False
        if gap.any():
            self._excuse(at[gap], stretches.first_ms[gap])
        unheard_ms = stretches.first_ms - (self.start_ms or 0)
        late_ms = np.where(unheard_ms > self.policy.blind_after_ms, unheard_ms, 0)
        books = self.partitions[at]
        books["blind_ms"] = np.where(known, books["blind_ms"], late_ms)
        books["first_ms"] = np.where(known, books["first_ms"], stretches.first_ms)
        self.partitions[at] = books
        if gap.any() or not known.all():
            self._excuse_awaited()
        floor_ms = np.append(self.partitions["clock_ms"], UNKNOWN_MS)
        floor_ms[at] = np.where(gap, stretches.first_ms, floor_ms[at])
        return floor_ms

    def _excuse(self, at: Int64s, first_ms: Int64s) -> None:
        """Excuse the silence before `first_ms` on partitions, after settling what was due in it."""
        last_heard = np.full(len(self.partitions) + 1, UNKNOWN_MS, dtype=np.int64)
        last_heard[at] = self.partitions["clock_ms"][at]
        self._take_atoms(
            Contacts.none(), np.where(last_heard >= 0, last_heard + 1, UNKNOWN_MS), last_heard
        )
        self.climb_where_due(np.where(last_heard >= 0, last_heard + 1, UNKNOWN_MS))
        unheard_ms = np.zeros(len(self.partitions) + 1, dtype=np.int64)
        unheard_ms[at] = first_ms - last_heard[at]
        self.partitions["blind_ms"] += unheard_ms[:-1]
        self.partitions["grace_until_ms"][at] = first_ms + self.policy.blind_grace_ms
        rows = self.devices.rows
        rows["excused_ms"] += unheard_ms[rows["partition"]]
        self.log.flaps.wait(unheard_ms[rows["partition"]])

    def _excuse_awaited(self) -> None:
        rows = self.devices.rows
        is_awaited = has_flag(rows, Flag.EXPECTED)
        rows["excused_ms"][is_awaited] = homeless_blind_ms(self.partitions)

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
        homes = homes_of(self.devices, contacts, coming)
        changes, change_ms, told_ms = self._changes_below(homes, reached_ms, floor_ms)
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
        if self.book.rules.spans:
            moved = self.devices.rows["claim"][contacts.row] != before
            rules = plans_of(self.book.rules.spans)
            self._plan(rules, contacts.row[moved], contacts.clock_ms[moved])

    def _take_changes(self, changes: Rows, time_ms: Int64s, told_ms: Int64s) -> None:
        """Apply what is no contact, at most one change a device."""
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
                self.climb_up_to(index, time_ms[chosen])
                self.end_mutes(index, changes["append_time_ms"][chosen], told_ms[chosen])
            else:
                self.climb_up_to(index, time_ms[chosen])
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
        if not len(pending):
            return pending, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        home = homes[pending["row"]]
        clock_ms = np.append(self.partitions["clock_ms"], np.iinfo(np.int64).max)
        taken = pending["append_time_ms"] < reached_ms[home]
        # Of devices that nobody can hear now a rule can say nothing: it waits until they can be.
        taken &= (pending["atom"] != Atom.RULE) | (pending["append_time_ms"] <= clock_ms[home])
        changes, at = pending[taken], home[taken]
        if len(changes):
            said = changes["atom"] == Atom.REGISTRY
            values = self.pending.twin_values(changes["twin"][said].tolist())
            changes["twin"][said] = self.devices.twin_codes(values)
            self.pending = self.pending.without(taken)
        change_ms = np.minimum(np.maximum(changes["append_time_ms"], floor_ms[at]), clock_ms[at])
        return changes, change_ms, np.maximum(changes["append_time_ms"], self.before_ms[at])

    def sweep(self) -> None:
        """Settle everything that the clocks have passed."""
        left = is_left_behind(self.partitions, self.policy.blind_after_ms)
        tell_left_behind(self.log, self.partitions, left, self.policy)
        self.partitions["is_blind_told"] |= left
        # Nothing more can come to the last instant of a partition that fell silent.
        limit_ms = self.clocks_ms() + np.append(left, False).astype(np.int64)
        low_ms = low_clock_ms(self.partitions, self.policy.blind_after_ms)
        self._settle(limit_ms, left, (low_ms, slowest_ms(self.partitions)))

    def settle_last_instant(self) -> None:
        """Settle the instant at the clocks too: the log has ended."""
        end_ms = np.where(self.clocks_ms() >= 0, self.clocks_ms() + 1, UNKNOWN_MS)
        self._take_atoms(Contacts.none(), end_ms, np.full(len(end_ms), UNKNOWN_MS))
        # Nobody is waited for any more.
        left = is_behind(self.partitions, self.policy.blind_after_ms)
        low_ms = slowest_ms(self.partitions[~left])
        self._settle(end_ms, left, (low_ms + 1, slowest_ms(self.partitions) + 1))

    def _settle(self, limit_ms: Int64s, left: Bools, low_and_slowest: tuple[int, int]) -> None:
        """Climb up to the limits; the registry speaks for the unseen and the unheard as well."""
        low_ms, slowest = low_and_slowest
        reached_ms = np.full(len(limit_ms), UNKNOWN_MS)
        reached_ms[:-1][left] = low_ms
        reached_ms[-1] = slowest
        floor_ms = np.append(self.partitions["clock_ms"], self.before_ms[-1])
        self._take_atoms(Contacts.none(), reached_ms, floor_ms)
        self.climb_where_due(limit_ms)
        self.tell_overdue(slowest)
