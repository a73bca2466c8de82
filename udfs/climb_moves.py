"""What silence does to devices while a step of a shard runs: they climb, and they may flap."""

from dataclasses import dataclass, field, replace

import numpy as np

from udfs.device_columns import NOT_YET_MS, DeviceColumns, Stage, is_open
from udfs.ladder import climb
from udfs.offline_policy import OfflinePolicy
from udfs.partition_clocks import UNKNOWN_MS, Int64s, Rows, graces_by_partition
from udfs.quiet import NEVER_MS
from udfs.rule_moves import EXTRA_SEQ_MAX, terms_of
from udfs.transition_log import TransitionLog
from udfs.transitions import Kind


@dataclass
class ClimbMoves:
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

    def climb(
        self,
        index: Int64s,
        rows: Rows,
        limit_ms: Int64s,
        floor_ms: Int64s | None,
        *,
        is_dated_now: bool = False,
    ) -> None:
        """Move devices up the ladder below `limit_ms`; what flaps ends to do so in between.

        Args:
            index: row numbers of the devices.
            rows: DEVICE_ROW of each, changed in place.
            limit_ms: instants below it are settled.
            floor_ms: nothing takes place before it; None where nothing can.
            is_dated_now: whether what begins does not begin before the floor either.
        """
        floor = np.full(len(rows), UNKNOWN_MS) if floor_ms is None else floor_ms
        date_ms = floor if is_dated_now else None
        ends_ms = self.log.flaps.ends_ms(index)
        while True:
            below_ms = np.minimum(limit_ms, ends_ms + 1)
            self._climb_steadily(index, rows, below_ms, floor, date_ms)
            before_ms, ends_ms = ends_ms, self.log.flaps.ends_ms(index)
            is_over = (ends_ms == before_ms) & (ends_ms < limit_ms)
            if is_over.any():
                time_ms = np.maximum(ends_ms, floor)[is_over]
                rows[is_over] = self._calm_down(index[is_over], rows[is_over], time_ms)
                ends_ms = self.log.flaps.ends_ms(index)
            elif bool((ends_ms == before_ms).all()):
                return

    def _calm_down(self, index: Int64s, rows: Rows, time_ms: Int64s) -> Rows:
        """Return device rows after their flapping ended, and tell of it."""
        after = rows.copy()
        after["extra_seq"] += is_open(rows) & (rows["extra_seq"] < EXTRA_SEQ_MAX)
        self.log.tell_calm(index, (rows, after), time_ms)
        return after

    def _climb_steadily(
        self,
        index: Int64s,
        rows: Rows,
        limit_ms: Int64s,
        floor_ms: Int64s,
        date_ms: Int64s | None,
    ) -> None:
        """Move devices up the ladder while none of them ceases to flap."""
        before = rows.copy()
        grace_ms = graces_by_partition(self.partitions)[rows["partition"]]
        terms = terms_of(self.devices, rows, self.policy)
        rungs = climb(rows, terms, grace_ms, limit_ms, self.policy)
        if not rungs.is_warned.any() and not rungs.is_escalated.any():
            return
        if date_ms is not None:
            rungs.date(rows, date_ms)
        warned = rows.copy()
        is_warning = rungs.is_warned | rungs.is_escalated
        warned["stage"] = np.where(is_warning, Stage.WARNING, warned["stage"])
        at, time_ms = rungs.is_warned, np.maximum(rows["starts_ms"], floor_ms)
        self.log.add(Kind.WARNING, index[at], (before[at], warned[at]), time_ms[at])
        # The warning may have made it flap, until before it gets worse.
        is_early = rungs.is_escalated & (rows["escalated_ms"] > self.log.flaps.ends_ms(index))
        if is_early.any():
            warned["escalated_ms"], warned["flags"] = before["escalated_ms"], before["flags"]
            rows[is_early] = warned[is_early]
        at, time_ms = rungs.is_escalated & ~is_early, np.maximum(rows["escalated_ms"], floor_ms)
        self.log.add(Kind.CRITICAL, index[at], (warned[at], rows[at]), time_ms[at])

    def climb_up_to(self, index: Int64s, time_ms: Int64s) -> None:
        """Move some devices up the ladder below an instant."""
        rows = self.devices.rows[index]
        self.climb(index, rows, time_ms, None)
        self.devices.rows[index] = rows

    def climb_where_due(self, limit_ms: Int64s) -> None:
        """Move every device up the ladder below its partition's limit."""
        is_quiet = int(limit_ms.max(initial=UNKNOWN_MS)) <= self.devices.quiet.climbs_ms
        if is_quiet and not len(self.log.flaps.rows):
            return
        rows = self.devices.rows
        limit = limit_ms[rows["partition"]]
        may_climb = (rows["stage"] != Stage.CRITICAL) & (rows["last_seen_ms"] != NOT_YET_MS)
        warning_after_ms, _ = self.devices.ladders.after_ms(rows["ladder"], self.policy)
        may_climb_ms = np.where(may_climb, rows["last_seen_ms"] + warning_after_ms, NEVER_MS)
        climbs_ms = int(may_climb_ms.min(initial=NEVER_MS))
        self.devices.quiet = replace(self.devices.quiet, climbs_ms=climbs_ms)
        may_climb = may_climb_ms < limit
        may_climb[self.log.flaps.ending_below(limit)] = True
        index = np.flatnonzero(may_climb)
        if len(index):
            chosen = rows[index]
            floor_ms = self.before_ms[chosen["partition"]]
            self.climb(index, chosen, limit[index], floor_ms)
            rows[index] = chosen
