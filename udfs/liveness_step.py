"""One step of one shard, while it runs: see `liveness` for the stages."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from udfs.atom_step import AtomStep
from udfs.contacts import Contacts, after_gaps
from udfs.control_book import ControlBook, plans_of
from udfs.device_columns import DeviceColumns, Flag, has_flag
from udfs.offline_policy import OfflinePolicy
from udfs.partition_clocks import (
    UNKNOWN_MS,
    Bools,
    Int64s,
    Rows,
    Stretches,
    homeless_blind_ms,
    is_known,
    is_left_behind,
    low_clock_ms,
    position_keys,
    slowest_ms,
    stretches_of,
    with_partitions,
)
from udfs.quiet import Quiet
from udfs.registry_changes import PendingChanges
from udfs.runs import ranks_within
from udfs.silent_partitions import Silence, tell_heard, tell_left_behind, tell_met


@dataclass
class ShardStep(AtomStep):
    """The order of one step: waves, gaps, rounds and the sweep, on a working copy of the state."""

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
        if devices.quiet.policy != policy:
            working[0].quiet = Quiet(policy)
        return cls(*working, start_ms, policy, before_ms, book=book, pending=pending)

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
            self._settle_silent(at[gap & ~books["is_blind_told"]])
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

    def _settle_silent(self, at: Int64s) -> None:
        """Settle the last instant of partitions that fell silent: nothing more can come to it.

        Once that is done, what is said of their devices makes none newly offline (C8).
        """
        if not len(at):
            return
        last_heard = np.full(len(self.partitions) + 1, UNKNOWN_MS, dtype=np.int64)
        last_heard[at] = self.partitions["clock_ms"][at]
        end_ms = np.where(last_heard >= 0, last_heard + 1, UNKNOWN_MS)
        self._take_atoms(Contacts.none(), end_ms, last_heard)
        self.climb_where_due(end_ms)

    def _excuse(self, at: Int64s, first_ms: Int64s) -> None:
        """Excuse the silence before `first_ms` on partitions."""
        unheard_ms = np.zeros(len(self.partitions) + 1, dtype=np.int64)
        unheard_ms[at] = first_ms - self.partitions["clock_ms"][at]
        self.partitions["blind_ms"] += unheard_ms[:-1]
        self.partitions["grace_until_ms"][at] = first_ms + self.policy.blind_grace_ms
        rows = self.devices.rows
        rows["excused_ms"] += unheard_ms[rows["partition"]]
        self.log.flaps.wait(unheard_ms[rows["partition"]])

    def _excuse_awaited(self) -> None:
        rows = self.devices.rows
        is_awaited = has_flag(rows, Flag.EXPECTED)
        rows["excused_ms"][is_awaited] = homeless_blind_ms(self.partitions)

    def sweep(self) -> None:
        """Settle everything that the clocks have passed."""
        left = self._leave_behind()
        limit_ms = self.clocks_ms()
        limit_ms[:-1][left] = UNKNOWN_MS
        low_ms = low_clock_ms(self.partitions, self.policy.blind_after_ms)
        self._settle(limit_ms, left, (low_ms, slowest_ms(self.partitions)))

    def _leave_behind(self) -> Bools:
        """Return which partitions are silent while others run on; of new ones it is told."""
        left = is_left_behind(self.partitions, self.policy.blind_after_ms)
        tell_left_behind(self.log, self.partitions, left, self.policy)
        fresh = left & ~self.partitions["is_blind_told"]
        self.partitions["is_blind_told"] |= left
        self._settle_silent(np.flatnonzero(fresh))
        return left

    def settle_last_instant(self) -> None:
        """Settle the instant at the clocks too: the log has ended."""
        left = is_left_behind(self.partitions, self.policy.blind_after_ms)
        end_ms = np.where(self.clocks_ms() >= 0, self.clocks_ms() + 1, UNKNOWN_MS)
        end_ms[:-1][left] = UNKNOWN_MS
        floor_ms = np.append(self.partitions["clock_ms"], UNKNOWN_MS)
        self._take_atoms(Contacts.none(), end_ms, floor_ms)
        low_ms = low_clock_ms(self.partitions, self.policy.blind_after_ms)
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
