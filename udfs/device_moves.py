"""What contacts, registry changes and silence do to devices, while a step of a shard runs."""

from dataclasses import dataclass, field

import numpy as np

from schemas.control import Goodbye, Maintenance, Mute
from udfs.contact_dedup import take_duplicates
from udfs.contacts import Contacts
from udfs.control_book import ControlBook, covered
from udfs.device_columns import (
    NOT_YET_MS,
    DeviceColumns,
    Flag,
    Stage,
    has_flag,
    is_monitored,
    is_open,
    set_flag,
)
from udfs.device_labels import has_other_place
from udfs.ladder import climb
from udfs.offline_policy import DAY_MS, FleetKind, OfflinePolicy
from udfs.partition_clocks import (
    UNKNOWN_MS,
    Bools,
    Int64s,
    Rows,
    graces_by_partition,
    homeless_blind_ms,
)
from udfs.registry_changes import change_devices, excuse_hidden
from udfs.transitions import Kind, TransitionLog

EXTRA_SEQ_MAX = 255


@dataclass
class DeviceMoves:
    """The working copy of a shard's devices, and what was found of them so far."""

    devices: DeviceColumns
    partitions: Rows
    start_ms: int | None
    policy: OfflinePolicy
    before_ms: Int64s
    """Clocks by partition when the step began: nothing can take place below them any more.

    The last element is the slowest: that of devices never seen.
    """
    log: TransitionLog = field(default_factory=TransitionLog)
    unknown_count: int = 0
    book: ControlBook = field(default_factory=ControlBook)

    def take_contacts(self, contacts: Contacts) -> None:
        """Hear devices, at most one contact each."""
        rows = self.devices.rows[contacts.row]
        is_gone = has_flag(rows, Flag.DECOMMISSIONED)
        self.unknown_count += int(is_gone.sum())
        is_news = ~take_duplicates(rows, contacts.boot, contacts.sequence) & ~is_gone
        contacts, rows = contacts.at(is_news), rows[is_news]
        self.climb(contacts.row, rows, contacts.clock_ms, None)
        is_first = ~has_flag(rows, Flag.SEEN)
        is_fresh = is_first | (contacts.seen_ms > rows["last_seen_ms"])
        heard = _heard(rows, contacts.seen_ms)
        heard["claim"] = np.where(is_fresh, contacts.claim, rows["claim"])
        heard["partition"] = np.where(is_fresh, contacts.partition, rows["partition"])
        self._tell_contacts(contacts, rows, heard, is_fresh)
        rows = np.where(is_fresh, heard, rows)
        stale = contacts.is_stale & is_fresh
        if stale.any():
            # The device may be overdue again: found now, so it takes place now.
            clock_ms = contacts.clock_ms[stale]
            overdue = rows[stale]
            self.climb(contacts.row[stale], overdue, clock_ms, clock_ms)
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
        has_moved = rows["partition"] != heard["partition"]
        has_moved |= self._has_other_fleets(rows, heard)
        has_moved &= ~is_first & ~is_back & is_monitored(rows)
        move = rows[has_moved], heard[has_moved]
        self.log.add(Kind.MOVED, index[has_moved], move, clock_ms[has_moved])
        is_another_day = rows["last_seen_ms"] // DAY_MS < contacts.seen_ms // DAY_MS
        is_stranger = is_fresh & ~has_flag(rows, Flag.REGISTERED) & (is_first | is_another_day)
        strange = heard[is_stranger], heard[is_stranger]
        self.log.add(Kind.UNREGISTERED, index[is_stranger], strange, clock_ms[is_stranger])

    def change(self, changes: Rows, time_ms: Int64s, told_ms: Int64s) -> None:
        """Apply registry changes, at most one a device.

        Args:
            changes: CHANGE_ROW, numbered as the devices number twins.
            time_ms: where each falls on the clock of its device's partition.
            told_ms: instant at which each takes place.
        """
        index = changes["row"].astype(np.int64)
        rows = self.devices.rows[index]
        self.climb(index, rows, time_ms, None)
        after = change_devices(rows, changes, time_ms, self.start_ms or 0)
        self.look_at_plans(index, after, told_ms)
        excuse_hidden(rows, after, time_ms)
        excused_ms = homeless_blind_ms(self.partitions)
        is_awaited = has_flag(after, Flag.EXPECTED)
        after["excused_ms"] = np.where(is_awaited, excused_ms, after["excused_ms"])
        is_removed = changes["is_removed"] & has_flag(rows, Flag.REGISTERED | Flag.SEEN)
        gone = rows[is_removed], after[is_removed]
        gone[0]["excused_ms"] += (told_ms - time_ms)[is_removed]
        ends_ms = told_ms[is_removed]
        self.log.add(Kind.REMOVED, index[is_removed], gone, ends_ms, ends_ms)
        self._tell_moved(index, (rows, after), told_ms, ~changes["is_removed"])
        self.climb(index, after, time_ms, told_ms)
        self.devices.rows[index] = after

    def look(self, index: Int64s, time_ms: Int64s, told_ms: Int64s) -> None:
        """Let planned maintenance begin or end for devices; arguments as for `change`."""
        rows = self.devices.rows[index]
        self.climb(index, rows, time_ms, None)
        after = rows.copy()
        self.look_at_plans(index, after, told_ms)
        excuse_hidden(rows, after, time_ms)
        self._tell_moved(index, (rows, after), told_ms, np.ones(len(index), np.bool_))
        self.climb(index, after, time_ms, told_ms)
        self.devices.rows[index] = after

    def look_at_plans(self, index: Int64s, after: Rows, told_ms: Int64s) -> None:
        """Set in device rows whether a planned maintenance acts at an instant, in place."""
        is_planned = np.zeros(len(index), np.bool_)
        for planned in self.book.of_kind(Maintenance):
            is_planned |= planned.is_active(told_ms) & covered(
                planned.event.scope, self.devices, index, after
            )
        set_flag(after, Flag.PLANNED, is_planned & has_flag(after, Flag.REGISTERED | Flag.SEEN))

    def end_mutes(self, index: Int64s, at_ms: Int64s, told_ms: Int64s) -> None:
        """Tell of open episodes whose mute is over, unless another one goes on (C13).

        Args:
            index: row numbers of devices.
            at_ms: when some mute was to end; it may have been replaced.
            told_ms: instant at which that takes place.
        """
        rows = self.devices.rows[index]
        is_over, is_muted = np.zeros((2, len(index)), np.bool_)
        for planned in self.book.of_kind(Mute):
            is_here = covered(planned.event.scope, self.devices, index, rows)
            is_over |= is_here & (at_ms == planned.end_ms)
            # Told late, it may be muted again; then that mute's end tells it.
            for instant_ms in (at_ms, told_ms):
                is_muted |= is_here & planned.is_active(instant_ms)
        chosen = is_over & ~is_muted & is_open(rows)
        after = rows.copy()
        after["extra_seq"] += chosen & (rows["extra_seq"] < EXTRA_SEQ_MAX)
        change = rows[chosen], after[chosen]
        self.log.add(Kind.MUTE_ENDED, index[chosen], change, told_ms[chosen])
        self.devices.rows[index] = after

    def say_goodbye(self, index: Int64s, at_ms: Int64s) -> None:
        """Excuse the silence of devices that left on purpose until they are expected back.

        When they are expected, what else was excused meanwhile is taken away again.

        Args:
            index: row numbers of devices.
            at_ms: when some goodbye was said, or its devices are expected.
        """
        rows = self.devices.rows[index]
        for planned in self.book.of_kind(Goodbye):
            is_here = covered(planned.event.scope, self.devices, index, rows)
            is_here &= has_flag(rows, Flag.SEEN) & ~is_open(rows)
            is_here &= rows["last_seen_ms"] <= planned.begin_ms
            away_ms = planned.end_ms - rows["last_seen_ms"]
            longest_ms = np.maximum(rows["excused_ms"], away_ms)
            has_left, is_back = at_ms == planned.begin_ms, at_ms == planned.end_ms
            rows["excused_ms"] = np.select(
                [is_here & is_back, is_here & has_left], [away_ms, longest_ms], rows["excused_ms"]
            )
        self.devices.rows[index] = rows

    def _tell_moved(
        self, index: Int64s, change: tuple[Rows, Rows], told_ms: Int64s, chosen: Bools
    ) -> None:
        rows, after = change
        moved = has_flag(rows, Flag.HIDDEN) != has_flag(after, Flag.HIDDEN)
        moved |= is_monitored(rows) != is_monitored(after)
        moved &= chosen
        self.log.add(Kind.REGISTERED, index[moved], (rows[moved], after[moved]), told_ms[moved])
        moved = self._has_other_fleets(rows, after) & chosen & ~moved
        self.log.add(Kind.MOVED, index[moved], (rows[moved], after[moved]), told_ms[moved])

    def _has_other_fleets(self, rows: Rows, after: Rows) -> Bools:
        """Return of which devices the fleets or the open episode must learn of a new place."""
        has_other: Bools = (rows["claim"] != after["claim"]) | (rows["twin"] != after["twin"])
        # The end of an episode is told as its beginning was, so as of the place it had then.
        is_counted = is_monitored(rows) & (self.policy.fleet_kinds != FleetKind.TENANT)
        has_other &= is_open(rows) | is_counted
        if has_other.any():
            has_other[has_other] = has_other_place(self.devices, rows[has_other], after[has_other])
        return has_other

    def climb(self, index: Int64s, rows: Rows, limit_ms: Int64s, floor_ms: Int64s | None) -> None:
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

    def climb_up_to(self, index: Int64s, time_ms: Int64s) -> None:
        """Move some devices up the ladder below an instant."""
        rows = self.devices.rows[index]
        self.climb(index, rows, time_ms, None)
        self.devices.rows[index] = rows

    def climb_where_due(self, limit_ms: Int64s) -> None:
        """Move every device up the ladder below its partition's limit."""
        rows = self.devices.rows
        limit = limit_ms[rows["partition"]]
        may_climb = (rows["stage"] != Stage.CRITICAL) & (rows["last_seen_ms"] != NOT_YET_MS)
        may_climb &= rows["last_seen_ms"] + self.policy.warning_after_ms < limit
        index = np.flatnonzero(may_climb)
        if len(index):
            chosen = rows[index]
            floor_ms = self.before_ms[chosen["partition"]]
            self.climb(index, chosen, limit[index], floor_ms)
            rows[index] = chosen

    def tell_overdue(self, slowest: int) -> None:
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
    heard["extra_seq"] = 0
    heard["stage"] = Stage.NONE
    heard["flags"] &= ~np.uint8(Flag.EXPECTED | Flag.HUSHED)
    heard["flags"] |= np.uint8(Flag.SEEN)
    return heard
