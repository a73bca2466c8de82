"""What the registry says of devices, held back until the input clock has reached it.

The registry's topic and telemetry are different logs. A change acts from its own append time on,
as told by the input clock of the device's partition; so which log is read faster does not matter.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import polars as pl

from udfs.contacts import device_keys
from udfs.device_columns import (
    DEFAULT_REPORT_INTERVAL_S,
    NOT_YET_MS,
    DeviceColumns,
    Flag,
    LabelPool,
    Twin,
    has_flag,
    is_open,
    set_flag,
)
from udfs.partition_clocks import Bools, Int64s, Rows

CHANGE_ROW = np.dtype(
    [
        ("append_time_ms", "i8"),
        ("offset", "i8"),
        ("row", "i4"),
        ("twin", "i4"),  # number in the pool of the pending changes
        ("is_removed", "?"),
        ("is_in_maintenance", "?"),
        ("is_active", "?"),
        ("atom", "u1"),
    ]
)


class Atom(IntEnum):
    """What happens to a device at an instant that is not a contact."""

    REGISTRY = 0
    LOOK = 1  # a planned maintenance may have begun or ended
    MUTE_END = 2
    GOODBYE = 3
    BACK = 4  # the end of a goodbye
    RULE = 5  # other thresholds may act from here on


STATUS_ACTIVE = "active"
STATUS_MAINTENANCE = "maintenance"
STATUS_DECOMMISSIONED = "decommissioned"


@dataclass(frozen=True)
class PendingChanges:
    """Changes by device row, in order of the registry's log, that no clock has reached yet."""

    rows: Rows
    twins: LabelPool[Twin]

    @classmethod
    def empty(cls) -> "PendingChanges":
        """Return no changes."""
        return cls(np.zeros(0, CHANGE_ROW), LabelPool(Twin))

    def with_records(self, records: pl.DataFrame, devices: DeviceColumns) -> "PendingChanges":
        """Add records of the registry; devices that are new get a row.

        Args:
            records: `DEVICE_CHANGE_SCHEMA`; of a tombstone only the ids and the position count.
            devices: of the shard.
        """
        if records.is_empty():
            return self
        fresh = np.zeros(len(records), CHANGE_ROW)
        fresh["append_time_ms"] = records["append_time_ms"].to_numpy()
        fresh["offset"] = records["offset"].to_numpy()
        fresh["row"] = devices.rows_for(device_keys(records))
        fresh["twin"] = self.twins.codes_of(_twin_values(records))
        status = records["status"].fill_null(STATUS_ACTIVE)
        is_tombstone = records["is_tombstone"].to_numpy()
        fresh["is_removed"] = is_tombstone | (status == STATUS_DECOMMISSIONED).to_numpy()
        fresh["is_in_maintenance"] = (status == STATUS_MAINTENANCE).to_numpy()
        fresh["is_active"] = (status == STATUS_ACTIVE).to_numpy()
        return PendingChanges(np.concatenate([self.rows, fresh]), self.twins)

    def with_atoms(self, atom: Atom, index: Int64s, at_ms: int) -> "PendingChanges":
        """Add what operators planned for some devices at an instant; twice is once."""
        same = (self.rows["append_time_ms"] == at_ms) & (self.rows["atom"] == atom)
        index = np.setdiff1d(index, self.rows["row"][same])
        fresh = np.zeros(len(index), CHANGE_ROW)
        fresh["append_time_ms"], fresh["row"], fresh["atom"] = at_ms, index, atom
        return PendingChanges(np.concatenate([self.rows, fresh]), self.twins)

    def without(self, taken: Bools) -> "PendingChanges":
        """Return what is left; an empty rest forgets its labels too."""
        if taken.all():
            return PendingChanges.empty()
        return PendingChanges(self.rows[~taken], self.twins)

    def twin_values(self, codes: list[int]) -> list[tuple[object, ...]]:
        """Return the field values of twins by their numbers here."""
        return [tuple(self.twins.labels[code].__dict__.values()) for code in codes]

    def to_values(self) -> dict[str, Any]:
        """Return everything for the state's bytes."""
        return {"changes": self.rows.tolist(), "twins": self.twins.to_values()}

    @classmethod
    def from_values(cls, stored: dict[str, Any]) -> "PendingChanges":
        """Return what `to_values` wrote."""
        # The first layout knew the registry alone, and did not say so.
        width = len(CHANGE_ROW.names or ())
        changes = [(*change, int(Atom.REGISTRY))[:width] for change in stored["changes"]]
        rows = np.array(changes, CHANGE_ROW)
        return cls(rows, LabelPool.from_values(Twin, stored["twins"]))


def _twin_values(records: pl.DataFrame) -> list[tuple[object, ...]]:
    filled = records.select(
        pl.col("deployment_group", "site", "model_version").fill_null(""),
        pl.col("report_interval_s").cast(pl.Int64).fill_null(DEFAULT_REPORT_INTERVAL_S),
    )
    return list(filled.iter_rows())


def change_devices(rows: Rows, changes: Rows, time_ms: Int64s, start_ms: int) -> Rows:
    """Return device rows as they stand after one registry change each.

    Args:
        rows: DEVICE_ROW before, shape (n,).
        changes: CHANGE_ROW of each, with `twin` numbered as the devices number it.
        time_ms: instants at which the changes act.
        start_ms: start of the observation; a device that the registry called active before it
            is expected, others that were never seen are not (C11).
    """
    after = rows.copy()
    after["flags"] &= ~np.uint8(Flag.DECOMMISSIONED)
    after["flags"] |= np.uint8(Flag.REGISTERED)
    set_flag(after, Flag.MAINTENANCE, changes["is_in_maintenance"])
    after["twin"] = changes["twin"]
    _expect(after, changes, start_ms)
    is_unseen = ~has_flag(after, Flag.SEEN) & ~is_open(after)
    is_first = is_unseen & (after["starts_ms"] == NOT_YET_MS)
    after["starts_ms"] = np.where(is_first, time_ms, after["starts_ms"])
    _remove(after, changes["is_removed"])
    return after


def excuse_hidden(rows: Rows, after: Rows, time_ms: Int64s) -> None:
    """Let silence that outlasts a maintenance count from its end.

    Args:
        rows: DEVICE_ROW before, shape (n,).
        after: the same afterwards; changed in place.
        time_ms: instants of the change.
    """
    has_left = has_flag(rows, Flag.HIDDEN) & ~has_flag(after, Flag.HIDDEN)
    is_silent_since = has_left & ~is_open(rows) & has_flag(after, Flag.SEEN)
    excused = np.maximum(rows["excused_ms"], time_ms - rows["last_seen_ms"])
    after["excused_ms"] = np.where(is_silent_since, excused, after["excused_ms"])


def _expect(after: Rows, changes: Rows, start_ms: int) -> None:
    is_unseen = ~has_flag(after, Flag.SEEN) & ~is_open(after)
    was_expected = has_flag(after, Flag.EXPECTED)
    is_known_before = was_expected | (changes["append_time_ms"] <= start_ms)
    is_expected = np.where(is_unseen, changes["is_active"] & is_known_before, was_expected)
    after["last_seen_ms"] = np.where(
        is_unseen, np.where(is_expected, start_ms, NOT_YET_MS), after["last_seen_ms"]
    )
    set_flag(after, Flag.EXPECTED, is_expected)


def _remove(after: Rows, is_removed: Bools) -> None:
    blank = DeviceColumns.empty()
    blank.rows_for(["-"])
    after[is_removed] = blank.rows[0]
    after["flags"] = np.where(is_removed, int(Flag.DECOMMISSIONED), after["flags"])
