"""What contacts, registry changes and silence do to devices, while a step of a shard runs."""

from dataclasses import dataclass, field, replace

import numpy as np

from schemas.control import Maintenance
from udfs.climb_moves import ClimbMoves
from udfs.contact_dedup import take_duplicates
from udfs.contact_rows import heard_in_time, heard_rows
from udfs.contacts import Contacts
from udfs.control_book import ControlBook, covered
from udfs.device_columns import (
    NO_PARTITION,
    Flag,
    has_flag,
    is_monitored,
    is_open,
    set_flag,
)
from udfs.device_labels import are_regrouped
from udfs.known_logs import KnownLogs
from udfs.offline_policy import DAY_MS
from udfs.partition_clocks import (
    UNKNOWN_MS,
    Bools,
    Int64s,
    Rows,
    homeless_blind_ms,
)
from udfs.plan_moves import are_mutes_over, excuse_away
from udfs.quiet import NEVER_MS
from udfs.registry_changes import change_devices, excuse_hidden
from udfs.rule_moves import (
    EXTRA_SEQ_MAX,
    are_others,
    follow_claims,
    ladders_at,
    with_ladders,
)
from udfs.skews import Skews
from udfs.transitions import Kind


@dataclass
class DeviceMoves(ClimbMoves):
    """What is found of a shard's devices, contact by contact and change by change."""

    unknown_count: int = 0
    skews: Skews = field(default_factory=Skews.empty)
    book: ControlBook = field(default_factory=ControlBook)
    logs: KnownLogs = field(default_factory=KnownLogs)

    def take_contacts(self, contacts: Contacts) -> None:
        """Hear devices, at most one contact each."""
        rows = self.devices.rows[contacts.row]
        is_gone = has_flag(rows, Flag.DECOMMISSIONED)
        self.unknown_count += int(is_gone.sum())
        is_news = ~take_duplicates(rows, contacts.boot, contacts.sequence) & ~is_gone
        contacts, rows = contacts.at(is_news), rows[is_news]
        self.climb(contacts.row, rows, self._judged_ms(contacts, rows["partition"]), None)
        contacts = heard_in_time(contacts, rows, self.devices, self.policy)
        is_first = ~has_flag(rows, Flag.SEEN)
        is_fresh = is_first | (contacts.seen_ms > rows["last_seen_ms"])
        heard = heard_rows(rows, contacts.seen_ms)
        heard["claim"] = np.where(is_fresh, contacts.claim, rows["claim"])
        follow_claims(self.book.rules, self.devices, contacts, heard, rows["claim"])
        heard["partition"] = np.where(is_fresh, contacts.partition, rows["partition"])
        self._tell_contacts(contacts, rows, heard, is_fresh)
        self._tell_skews(contacts, heard)
        rows = np.where(is_fresh, heard, rows)
        stale = contacts.is_stale & is_fresh
        if stale.any():
            # The device may be overdue again: found now, so it takes place now.
            clock_ms = contacts.clock_ms[stale]
            overdue = rows[stale]
            self.climb(contacts.row[stale], overdue, clock_ms, clock_ms)
            rows[stale] = overdue
        self.devices.rows[contacts.row] = rows

    def _judged_ms(self, contacts: Contacts, home: Rows) -> Int64s:
        """Return up to when devices were silent: who leaves a blind partition, up to its clock."""
        clock_ms = np.append(self.partitions["clock_ms"], UNKNOWN_MS)[home]
        heard_ms = np.append(self.partitions["heard_ms"], UNKNOWN_MS)[home]
        is_blind = contacts.clock_ms - np.maximum(clock_ms, heard_ms) > self.policy.blind_after_ms
        is_blind &= (home != NO_PARTITION) & (home != contacts.partition)
        return np.where(is_blind, clock_ms + 1, contacts.clock_ms)

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
        has_moved |= are_regrouped(self.devices, rows, heard, self.policy)
        has_moved &= ~is_first & ~is_back & is_monitored(rows)
        move = rows[has_moved], heard[has_moved]
        self.log.add(Kind.MOVED, index[has_moved], move, clock_ms[has_moved])
        is_another_day = rows["last_seen_ms"] // DAY_MS < contacts.seen_ms // DAY_MS
        is_stranger = is_fresh & ~has_flag(rows, Flag.REGISTERED) & (is_first | is_another_day)
        strange = heard[is_stranger], heard[is_stranger]
        self.log.add(Kind.UNREGISTERED, index[is_stranger], strange, clock_ms[is_stranger])

    def _tell_skews(self, contacts: Contacts, heard: Rows) -> None:
        wrong = self.skews.judge(contacts)
        skew_ms = (contacts.newest_ms - contacts.append_time_ms)[wrong]
        self.log.tell_skewed(contacts.row[wrong], heard[wrong], contacts.clock_ms[wrong], skew_ms)

    def change(self, changes: Rows, time_ms: Int64s, told_ms: Int64s) -> None:
        """Apply registry changes, at most one a device.

        Args:
            changes: CHANGE_ROW, numbered as the devices number twins.
            time_ms: where each falls on the clock of its device's partition.
            told_ms: instant at which each takes place.
        """
        index = changes["row"].astype(np.int64)
        rows = self.devices.rows[index]
        limit_ms = heard_until(time_ms, told_ms)
        self.climb(index, rows, limit_ms, None)
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
        self.skews.forget(index[is_removed])
        self._tell_moved(index, (rows, after), told_ms, ~changes["is_removed"])
        self.follow_rules(index, after, time_ms, told_ms)
        self.climb(index, after, limit_ms, told_ms)
        self.devices.rows[index] = after

    def look(self, index: Int64s, time_ms: Int64s, told_ms: Int64s) -> None:
        """Let planned maintenance begin or end for devices; arguments as for `change`."""
        rows = self.devices.rows[index]
        limit_ms = heard_until(time_ms, told_ms)
        self.climb(index, rows, limit_ms, None)
        after = rows.copy()
        self.look_at_plans(index, after, told_ms)
        excuse_hidden(rows, after, time_ms)
        self._tell_moved(index, (rows, after), told_ms, np.ones(len(index), np.bool_))
        self.climb(index, after, limit_ms, told_ms)
        self.devices.rows[index] = after

    def look_at_rules(self, index: Int64s, time_ms: Int64s, told_ms: Int64s) -> None:
        """Let other thresholds act on devices; arguments as for `change`."""
        rows = self.devices.rows[index]
        self.climb(index, rows, time_ms, None)
        self.follow_rules(index, rows, time_ms, told_ms)
        self.devices.rows[index] = rows

    def follow_rules(self, index: Int64s, rows: Rows, time_ms: Int64s, told_ms: Int64s) -> None:
        """Give device rows the thresholds that act on them, in place, from an instant on.

        What stands too high for the new ones is taken back; what they call overdue fires now.
        """
        if not self.book.rules.spans and len(self.devices.ladders) == 1:
            return
        ladder = ladders_at(self.book.rules, self.devices, index, rows, told_ms)
        chosen = np.flatnonzero(are_others(self.devices, rows["ladder"], ladder, self.policy))
        rows["ladder"], before = ladder, rows[chosen]
        index, time_ms, told_ms = index[chosen], time_ms[chosen], told_ms[chosen]
        found = with_ladders(self.devices, before, ladder[chosen], time_ms, self.policy)
        back, ends_ms = found.is_back, told_ms[found.is_back]
        change = found.taken_back
        # Blind until now: not until the partition speaks, nor only until it was heard last.
        change[0]["excused_ms"] += (told_ms - time_ms)[back]
        self.log.add(Kind.RULE_CHANGED, index[back], change, ends_ms, ends_ms)
        limit_ms = heard_until(time_ms, told_ms)
        self.climb(index, found.after, limit_ms, told_ms, is_dated_now=True)
        rows[chosen] = found.after

    def look_at_plans(self, index: Int64s, after: Rows, told_ms: Int64s) -> None:
        """Set in device rows whether a planned maintenance acts at an instant, in place."""
        is_planned = np.zeros(len(index), np.bool_)
        for planned in self.book.of_kind(Maintenance):
            is_planned |= planned.is_active(told_ms) & covered(
                planned.event.scope, self.devices, index, after
            )
        set_flag(after, Flag.PLANNED, is_planned & has_flag(after, Flag.REGISTERED | Flag.SEEN))

    def end_mutes(self, index: Int64s, at_ms: Int64s, time_ms: Int64s, told_ms: Int64s) -> None:
        """Tell of open episodes whose mute is over, unless another one goes on (C13).

        Args:
            index: row numbers of devices.
            at_ms: when some mute was to end; it may have been replaced.
            time_ms: where that falls on the clock of each device's partition.
            told_ms: instant at which that takes place.
        """
        rows = self.devices.rows[index]
        is_over = are_mutes_over(self.book, self.devices, index, at_ms, told_ms)
        chosen = is_over & is_open(rows)
        after = rows.copy()
        after["extra_seq"] += chosen & (rows["extra_seq"] < EXTRA_SEQ_MAX)
        change = rows[chosen], after[chosen]
        # Blind until now: not until the partition speaks, nor only until it was heard last.
        change[1]["excused_ms"] += (told_ms - time_ms)[chosen]
        self.log.add(Kind.MUTE_ENDED, index[chosen], change, told_ms[chosen])
        self.log.tell_unmuted(index[is_over], rows[is_over], told_ms[is_over])
        self.devices.rows[index] = after

    def say_goodbye(self, index: Int64s, at_ms: Int64s) -> None:
        """Excuse the silence of devices that left on purpose until they are expected back.

        When they are expected, what else was excused meanwhile is taken away again.

        Args:
            index: row numbers of devices.
            at_ms: when some goodbye was said, or its devices are expected.
        """
        rows = self.devices.rows[index]
        excuse_away(self.book, self.devices, index, rows, at_ms)
        self.devices.rows[index] = rows

    def _tell_moved(
        self, index: Int64s, change: tuple[Rows, Rows], told_ms: Int64s, chosen: Bools
    ) -> None:
        rows, after = change
        moved = has_flag(rows, Flag.HIDDEN) != has_flag(after, Flag.HIDDEN)
        moved |= is_monitored(rows) != is_monitored(after)
        moved &= chosen
        self.log.add(Kind.REGISTERED, index[moved], (rows[moved], after[moved]), told_ms[moved])
        moved = are_regrouped(self.devices, rows, after, self.policy) & chosen & ~moved
        self.log.add(Kind.MOVED, index[moved], (rows[moved], after[moved]), told_ms[moved])

    def tell_overdue(self, slowest: int) -> None:
        """Tell of devices that were registered a day ago and never came."""
        if slowest <= self.devices.quiet.overdue_ms:
            return
        rows = self.devices.rows
        rest = ~np.uint8(Flag.REGISTERED)
        index = np.flatnonzero((rows["flags"] & Flag.REGISTERED != 0) & (rows["flags"] & rest == 0))
        due_ms = rows["starts_ms"][index] + self.policy.commissioning_after_ms
        overdue_ms = int(due_ms.min(initial=NEVER_MS))
        self.devices.quiet = replace(self.devices.quiet, overdue_ms=overdue_ms)
        index, due_ms = index[due_ms < slowest], due_ms[due_ms < slowest]
        if len(index):
            rows["flags"][index] |= np.uint8(Flag.COMMISSIONING_TOLD)
            told = rows[index]
            told["last_seen_ms"] = told["starts_ms"]
            time_ms = np.maximum(due_ms, int(self.before_ms[-1]))
            self.log.add(Kind.OVERDUE, index, (told, told), time_ms)


def heard_until(time_ms: Int64s, told_ms: Int64s) -> Int64s:
    """Return below which instants devices climb around a change.

    On a partition that is silent now, the last instant was settled when it fell silent: whatever is
    said of its devices since then makes none newly offline until it speaks (C8). Arguments as for
    `DeviceMoves.change`.
    """
    return np.where(told_ms > time_ms, UNKNOWN_MS, time_ms)
