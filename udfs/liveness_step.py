"""One step of one shard, while it runs: see `liveness` for the stages."""

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from udfs.contact_dedup import take_duplicates
from udfs.contacts import Contacts
from udfs.device_columns import (
    NOT_YET_MS,
    DeviceColumns,
    Flag,
    Stage,
    has_flag,
    is_monitored,
    is_open,
)
from udfs.ladder import climb
from udfs.offline_policy import DAY_MS, OfflinePolicy
from udfs.partition_clocks import (
    UNKNOWN_MS,
    Bools,
    Int64s,
    Rows,
    Stretches,
    clocks_by_partition,
    graces_by_partition,
    homeless_blind_ms,
    is_known,
    is_left_behind,
    position_keys,
    ranks_within,
    slowest_ms,
    stretches_of,
    with_partitions,
)
from udfs.registry_changes import PendingChanges, change_devices
from udfs.silent_partitions import Silence, tell_heard, tell_left_behind
from udfs.transitions import Kind, TransitionLog


@dataclass
class ShardStep:
    """The working copy of a shard's state, and what the step has found so far."""

    devices: DeviceColumns
    partitions: Rows
    pending: PendingChanges
    start_ms: int | None
    policy: OfflinePolicy
    before_ms: Int64s
    """Clocks by partition when the step began: nothing can take place below them any more.

    The last element is the slowest: that of devices never seen.
    """
    log: TransitionLog = field(default_factory=TransitionLog)
    unknown_count: int = 0

    @classmethod
    def on(
        cls,
        devices: DeviceColumns,
        partitions: Rows,
        pending: PendingChanges,
        start_ms: int | None,
        policy: OfflinePolicy,
    ) -> "ShardStep":
        """Begin a step; what is given stays as it is."""
        before_ms = np.append(partitions["clock_ms"], slowest_ms(partitions))
        return cls(
            devices.fork(),
            partitions.copy(),
            pending,
            start_ms,
            policy,
            before_ms,
        )

    def clocks_ms(self) -> Int64s:
        """Return the input clocks by partition; the last is that of devices never seen."""
        return clocks_by_partition(self.partitions)

    def take_changes(self, records: pl.DataFrame) -> None:
        """Queue records of the registry until the input clock reaches them."""
        self.pending = self.pending.with_records(records, self.devices)

    def take_log(self, contacts: pl.DataFrame, clocks: pl.DataFrame) -> None:
        """Apply the block's records, wave by wave."""
        stretches = stretches_of(clocks)
        if not len(stretches.partition):
            assert contacts.is_empty(), "contacts belong to stretches"
            return
        self._meet(stretches)
        wave = ranks_within(stretches.partition)
        found = self._contacts_of(contacts)
        keys = position_keys(stretches.partition, stretches.first_offset)
        place = np.searchsorted(keys, position_keys(found.partition, found.offset), "right") - 1
        assert bool((stretches.partition[place] == found.partition).all()), "a stretch is missing"
        for number in range(int(wave.max()) + 1):
            self._take_wave(stretches.at(wave == number), found.at(wave[place] == number))

    def _meet(self, stretches: Stretches) -> None:
        """Open the books of partitions that are read for the first time."""
        if self.start_ms is None:
            self.start_ms = int(stretches.first_ms.min())
        self.partitions = with_partitions(self.partitions, int(stretches.partition.max()))
        missing = len(self.partitions) + 1 - len(self.before_ms)
        unknown = np.full(missing, UNKNOWN_MS, dtype=np.int64)
        self.before_ms = np.concatenate([self.before_ms[:-1], unknown, self.before_ms[-1:]])

    def _contacts_of(self, frame: pl.DataFrame) -> Contacts:
        partition = frame["partition"].cast(pl.Int64).to_numpy()
        clock_ms = np.maximum(frame["clock_ms"].to_numpy(), self.partitions["clock_ms"][partition])
        return Contacts.of(frame, clock_ms, self.devices, self.policy)

    def _take_wave(self, stretches: Stretches, contacts: Contacts) -> None:
        floor_ms = self._enter(stretches)
        clock_ms = self.partitions["clock_ms"]
        reached = np.maximum(clock_ms[stretches.partition], stretches.last_ms)
        clock_ms[stretches.partition] = reached
        self.partitions["next_offset"][stretches.partition] = stretches.last_offset + 1
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
        self._climb_where_due(np.where(last_heard >= 0, last_heard + 1, UNKNOWN_MS))
        unheard_ms = np.zeros(len(self.partitions) + 1, dtype=np.int64)
        unheard_ms[at] = first_ms - last_heard[at]
        self.partitions["blind_ms"] += unheard_ms[:-1]
        self.partitions["grace_until_ms"][at] = first_ms + self.policy.blind_grace_ms
        rows = self.devices.rows
        rows["excused_ms"] += unheard_ms[rows["partition"]]

    def _excuse_awaited(self) -> None:
        rows = self.devices.rows
        is_awaited = has_flag(rows, Flag.EXPECTED)
        rows["excused_ms"][is_awaited] = homeless_blind_ms(self.partitions)

    def _take_atoms(self, contacts: Contacts, reached_ms: Int64s, floor_ms: Int64s) -> None:
        """Apply contacts and the registry changes below `reached_ms`, per device in order."""
        changes, change_ms = self._changes_below(contacts, reached_ms, floor_ms)
        if not len(contacts.row) and not len(changes):
            return
        row = np.concatenate([contacts.row, changes["row"]])
        time_ms = np.concatenate([contacts.clock_ms, change_ms])
        is_change = np.arange(len(row)) >= len(contacts.row)
        order = np.lexsort((np.arange(len(row)), ~is_change, time_ms, row))
        rank = ranks_within(row[order])
        rounds = np.split(order[np.argsort(rank, kind="stable")], np.cumsum(np.bincount(rank)))
        for atoms in rounds[:-1]:
            chosen = atoms[~is_change[atoms]]
            if len(chosen):
                self._take_contacts(contacts.at(chosen))
            chosen = atoms[is_change[atoms]] - len(contacts.row)
            if len(chosen):
                self._change(changes[chosen], change_ms[chosen])

    def _changes_below(
        self, contacts: Contacts, reached_ms: Int64s, floor_ms: Int64s
    ) -> tuple[Rows, Int64s]:
        pending = self.pending.rows
        if not len(pending):
            return pending, np.zeros(0, dtype=np.int64)
        partition = self.devices.rows["partition"].astype(np.int64)
        partition[contacts.row] = contacts.partition
        home = partition[pending["row"]]
        taken = pending["append_time_ms"] < reached_ms[home]
        changes, at = pending[taken], home[taken]
        if len(changes):
            values = self.pending.twin_values(changes["twin"].tolist())
            changes["twin"] = self.devices.twin_codes(values)
            self.pending = self.pending.without(taken)
        return changes, np.maximum(changes["append_time_ms"], floor_ms[at])

    def _take_contacts(self, contacts: Contacts) -> None:
        rows = self.devices.rows[contacts.row]
        is_gone = has_flag(rows, Flag.DECOMMISSIONED)
        self.unknown_count += int(is_gone.sum())
        is_news = ~take_duplicates(rows, contacts.boot, contacts.sequence) & ~is_gone
        contacts, rows = contacts.at(is_news), rows[is_news]
        self._climb(contacts.row, rows, contacts.clock_ms, None)
        is_first = ~has_flag(rows, Flag.SEEN)
        is_fresh = is_first | (contacts.seen_ms > rows["last_seen_ms"])
        rows["partition"] = np.where(is_fresh, contacts.partition, rows["partition"])
        rows["claim"] = np.where(is_fresh, contacts.claim, rows["claim"])
        heard = _heard(rows, contacts.seen_ms)
        self._tell_contacts(contacts, rows, heard, is_fresh)
        rows = np.where(is_fresh, heard, rows)
        stale = contacts.is_stale & is_fresh
        if stale.any():
            # The device may be overdue again: found now, so it takes place now.
            clock_ms = contacts.clock_ms[stale]
            overdue = rows[stale]
            self._climb(contacts.row[stale], overdue, clock_ms, clock_ms)
            rows[stale] = overdue
        self.devices.rows[contacts.row] = rows

    def _tell_contacts(self, contacts: Contacts, rows: Rows, heard: Rows, is_fresh: Bools) -> None:
        is_first = ~has_flag(rows, Flag.SEEN)
        is_back = is_fresh & is_open(rows)
        index, clock_ms = contacts.row, contacts.clock_ms
        ends_ms = contacts.seen_ms[is_back]
        change = rows[is_back], heard[is_back]
        self.log.add(Kind.RESOLVED, index[is_back], change, clock_ms[is_back], ends_ms)
        is_new = is_first & ~is_back
        self.log.add(Kind.SEEN, index[is_new], (rows[is_new], heard[is_new]), clock_ms[is_new])
        is_another_day = rows["last_seen_ms"] // DAY_MS < contacts.seen_ms // DAY_MS
        is_stranger = is_fresh & ~has_flag(rows, Flag.REGISTERED) & (is_first | is_another_day)
        strange = heard[is_stranger], heard[is_stranger]
        self.log.add(Kind.UNREGISTERED, index[is_stranger], strange, clock_ms[is_stranger])

    def _change(self, changes: Rows, time_ms: Int64s) -> None:
        index = changes["row"].astype(np.int64)
        rows = self.devices.rows[index]
        self._climb(index, rows, time_ms, None)
        after = change_devices(rows, changes, time_ms, self.start_ms or 0)
        excused_ms = homeless_blind_ms(self.partitions)
        is_awaited = has_flag(after, Flag.EXPECTED)
        after["excused_ms"] = np.where(is_awaited, excused_ms, after["excused_ms"])
        is_removed = changes["is_removed"] & has_flag(rows, Flag.REGISTERED | Flag.SEEN)
        gone = rows[is_removed], after[is_removed]
        ends_ms = time_ms[is_removed]
        self.log.add(Kind.REMOVED, index[is_removed], gone, ends_ms, ends_ms)
        was_hidden = has_flag(rows, Flag.MAINTENANCE)
        moved = (was_hidden != changes["is_in_maintenance"]) | (
            is_monitored(rows) != is_monitored(after)
        )
        moved &= ~changes["is_removed"]
        self.log.add(Kind.REGISTERED, index[moved], (rows[moved], after[moved]), time_ms[moved])
        self._climb(index, after, time_ms, time_ms)
        self.devices.rows[index] = after

    def _climb(self, index: Int64s, rows: Rows, limit_ms: Int64s, floor_ms: Int64s | None) -> None:
        """Move devices up the ladder below `limit_ms`; `rows` are changed in place."""
        before = rows.copy()
        interval_ms = self.devices.intervals_ms[rows["twin"]]
        grace_ms = graces_by_partition(self.partitions)[rows["partition"]]
        rungs = climb(rows, interval_ms, grace_ms, limit_ms, self.policy)
        if not rungs.is_warned.any() and not rungs.is_escalated.any():
            return
        warned = rows.copy()
        warned["stage"] = np.where(rungs.is_warned, Stage.WARNING, warned["stage"])
        warned["stage"] = np.where(rungs.is_escalated, Stage.WARNING, warned["stage"])
        floor = np.full(len(rows), UNKNOWN_MS) if floor_ms is None else floor_ms
        for kind, chosen, change, instant in (
            (Kind.WARNING, rungs.is_warned, (before, warned), "starts_ms"),
            (Kind.CRITICAL, rungs.is_escalated, (warned, rows), "escalated_ms"),
        ):
            time_ms = np.maximum(rows[instant], floor)[chosen]
            self.log.add(kind, index[chosen], (change[0][chosen], change[1][chosen]), time_ms)

    def sweep(self) -> None:
        """Settle everything that the clocks have passed."""
        left = is_left_behind(self.partitions, self.policy.blind_after_ms)
        tell_left_behind(self.log, self.partitions, left, self.policy)
        self.partitions["is_blind_told"] |= left
        # Nothing more can come to the last instant of a partition that fell silent.
        limit_ms = self.clocks_ms() + np.append(left, False).astype(np.int64)
        self._settle(limit_ms, slowest_ms(self.partitions))

    def settle_last_instant(self) -> None:
        """Settle the instant at the clocks too: the log has ended."""
        clocks_ms = self.clocks_ms()
        end_ms = np.where(clocks_ms >= 0, clocks_ms + 1, UNKNOWN_MS)
        self._take_atoms(Contacts.none(), end_ms, np.full(len(end_ms), UNKNOWN_MS))
        self._settle(end_ms, slowest_ms(self.partitions) + 1)

    def _settle(self, limit_ms: Int64s, slowest: int) -> None:
        homeless = np.full(len(limit_ms), UNKNOWN_MS)
        homeless[-1] = slowest
        self._take_atoms(Contacts.none(), homeless, np.full(len(limit_ms), int(self.before_ms[-1])))
        self._climb_where_due(limit_ms)
        self._tell_overdue(slowest)

    def _climb_where_due(self, limit_ms: Int64s) -> None:
        rows = self.devices.rows
        limit = limit_ms[rows["partition"]]
        may_climb = (rows["stage"] != Stage.CRITICAL) & (rows["last_seen_ms"] != NOT_YET_MS)
        may_climb &= rows["last_seen_ms"] + self.policy.warning_after_ms < limit
        index = np.flatnonzero(may_climb)
        if len(index):
            chosen = rows[index]
            floor_ms = self.before_ms[chosen["partition"]]
            self._climb(index, chosen, limit[index], floor_ms)
            rows[index] = chosen

    def _tell_overdue(self, slowest: int) -> None:
        """Tell of devices that were registered a day ago and never came."""
        rows = self.devices.rows
        rest = ~np.uint8(Flag.REGISTERED)
        index = np.flatnonzero((rows["flags"] & Flag.REGISTERED != 0) & (rows["flags"] & rest == 0))
        due_ms = rows["starts_ms"][index] + self.policy.commissioning_after_ms
        index, due_ms = index[due_ms < slowest], due_ms[due_ms < slowest]
        if len(index):
            rows["flags"][index] |= np.uint8(Flag.COMMISSIONING_TOLD)
            told = rows[index]
            told["last_seen_ms"] = told["starts_ms"]
            time_ms = np.maximum(due_ms, int(self.before_ms[-1]))
            self.log.add(Kind.OVERDUE, index, (told, told), time_ms)


def _heard(rows: Rows, seen_ms: Int64s) -> Rows:
    """Return device rows as they stand after a contact."""
    heard = rows.copy()
    heard["last_seen_ms"] = seen_ms
    heard["excused_ms"] = 0
    heard["starts_ms"] = heard["escalated_ms"] = NOT_YET_MS
    heard["stage"] = Stage.NONE
    heard["flags"] &= ~np.uint8(Flag.EXPECTED | Flag.HUSHED)
    heard["flags"] |= np.uint8(Flag.SEEN)
    return heard
