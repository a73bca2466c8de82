"""Which devices flap: they fall silent and come back too often to tell people each time (C9).

    changes   W R   W R          W R              W = an episode of silence begins, R = it ends
              |--------|         ^ told to nobody
              4 within 60 min    |<--- 30 min heard --->|
                       ^ flaps from here                ^ calm from here

A change is the begin or the end of a silence; that it gets worse is none, nor what ends in a
maintenance, nor what a changed rule ends and begins again. Four changes whose first and last lie
exactly 60 min apart are within them. At the instant of the calm a change still wins, as a record
wins over an alert. Blind time is not calm.
"""

from dataclasses import dataclass
from enum import IntFlag
from typing import Any

import numpy as np
import polars as pl

from udfs.offline_policy import MINUTE_MS
from udfs.partition_clocks import Bools, Int64s, Rows

CHANGES_COUNT = 4
WITHIN_MS = 60 * MINUTE_MS
CALM_AFTER_MS = 30 * MINUTE_MS
NONE_MS = -1
NEVER_MS = np.iinfo(np.int64).max - 1
SEQ_MAX = 254

FLAP_ROW = np.dtype(
    [
        ("row", "<i4"),  # number of the device
        ("seq", "u1"),  # of the last event of the flapping
        ("untold", "u1"),  # `Untold` of the open episode
        ("times_ms", "<i8", (CHANGES_COUNT,)),  # of the last changes, oldest first
        ("since_ms", "<i8"),  # the change that made it flap
        ("ends_ms", "<i8"),  # if nothing changes until then
        ("calm_ms", "<i8"),  # when it ended, while the episode that it left open is so
    ]
)
ROW_MAX_BYTES = 64
assert FLAP_ROW.itemsize <= ROW_MAX_BYTES, "a storm of all devices must stay small"


class Untold(IntFlag):
    """What of an open episode was kept from people, and cannot be seen from instants alone."""

    WARNING = 1  # as the device flapped
    CRITICAL = 2  # as the device flapped
    FINAL = 4  # the state at the end of the flapping, as the device was in maintenance


def blank_flaps(index: Int64s) -> Rows:
    """Return rows of devices that never changed, shape (n,)."""
    rows = np.zeros(len(index), FLAP_ROW)
    rows["row"] = index
    for name in ("times_ms", "since_ms", "ends_ms", "calm_ms"):
        rows[name] = NONE_MS
    return rows


def is_flapping(flaps: Rows) -> Bools:
    """Return which rows flap now."""
    flapping: Bools = (flaps["since_ms"] != NONE_MS) & (flaps["calm_ms"] == NONE_MS)
    return flapping


@dataclass
class Flaps:
    """The devices that changed within the hour, flap, or flapped in their open episode.

    A step works on a fork of it, in place.

    Args:
        rows: FLAP_ROW, ordered by the number of the device, at most one each.
    """

    rows: Rows

    @classmethod
    def empty(cls) -> "Flaps":
        """Return no devices."""
        return cls(np.zeros(0, FLAP_ROW))

    def fork(self) -> "Flaps":
        """Return a copy that can be changed."""
        return Flaps(self.rows.copy())

    def of(self, index: Int64s) -> Rows:
        """Return the row of each device, a blank one where there is none; shape (n,)."""
        found = blank_flaps(index)
        slots, is_known = self._slots(index)
        found[is_known] = self.rows[slots[is_known]]
        return found

    def ends_ms(self, index: Int64s) -> Int64s:
        """Return until when each device flaps if nothing changes; `NEVER_MS` if it does not."""
        ends: Int64s = np.full(len(index), NEVER_MS)
        slots, is_known = self._slots(index)
        if is_known.any():
            flaps = self.rows[slots[is_known]]
            ends[is_known] = np.where(is_flapping(flaps), flaps["ends_ms"], NEVER_MS)
        return ends

    def ending_below(self, limit_ms: Int64s) -> Int64s:
        """Return the devices whose flapping ends below a limit, given by device."""
        is_over = is_flapping(self.rows) & (self.rows["ends_ms"] < limit_ms[self.rows["row"]])
        ending: Int64s = self.rows["row"][is_over].astype(np.int64)
        return ending

    def begin_episode(self, index: Int64s, time_ms: Int64s, is_again: Bools) -> Bools:
        """Note that episodes begin, at most one a device.

        Args:
            index: row numbers of the devices, shape (n,).
            time_ms: when.
            is_again: where a rule had ended it in the same silence: no change of the device.

        Returns:
            Which devices begin to flap with it.
        """
        flaps = self.of(index)
        flaps["untold"] = np.where(is_flapping(flaps), Untold.WARNING, 0)
        return self._change_unless(is_again, flaps, time_ms)

    def escalate(self, index: Int64s) -> None:
        """Note that open episodes get worse: of those that flap, nobody is told."""
        flaps = self.of(index)
        flaps = flaps[is_flapping(flaps)]
        flaps["untold"] |= np.uint8(Untold.CRITICAL)
        self._put(flaps)

    def end_episode(self, index: Int64s, time_ms: Int64s, is_excused: Bools) -> Bools:
        """Note that episodes end; excused ends are no changes. Return which begin to flap."""
        flaps = self.of(index)
        flaps["untold"] = 0
        is_over = flaps["calm_ms"] != NONE_MS
        flaps["since_ms"][is_over] = flaps["calm_ms"][is_over] = NONE_MS
        return self._change_unless(is_excused, flaps, time_ms)

    def tell_again(self, index: Int64s) -> None:
        """Count one more event of each flapping."""
        flaps = self.of(index)
        flaps["seq"] += flaps["seq"] < SEQ_MAX
        self._put(flaps)

    def calm_down(self, index: Int64s, time_ms: Int64s, is_open: Bools, is_hidden: Bools) -> None:
        """End flappings, and remember them while the episodes that they leave open are so."""
        flaps = self.of(index)
        flaps["since_ms"] = np.where(is_open, flaps["since_ms"], NONE_MS)
        flaps["calm_ms"] = np.where(is_open, time_ms, NONE_MS)
        flaps["untold"] |= np.where(is_open & is_hidden, np.uint8(Untold.FINAL), np.uint8(0))
        self._put(flaps)

    def forget(self, index: Int64s) -> None:
        """Drop devices that are no more."""
        self.rows = self.rows[~np.isin(self.rows["row"], index)]

    def wait(self, unheard_ms: Int64s) -> None:
        """Put the calm off by what could not be heard, given by device."""
        late = is_flapping(self.rows)
        self.rows["ends_ms"][late] += unheard_ms[self.rows["row"][late]]

    def without_past(self, slowest_ms: int) -> "Flaps":
        """Return it without devices whose last change no later one can be within the hour of."""
        kept = self.rows["since_ms"] != NONE_MS
        kept |= self.rows["times_ms"][:, -1] + WITHIN_MS >= slowest_ms
        return self if kept.all() else Flaps(self.rows[kept])

    def _change_unless(self, is_none: Bools, flaps: Rows, time_ms: Int64s) -> Bools:
        self._put(flaps[is_none & (flaps["times_ms"][:, -1] != NONE_MS)])
        begins = np.zeros(len(flaps), np.bool_)
        begins[~is_none] = self._change(flaps[~is_none], time_ms[~is_none])
        return begins

    def _change(self, flaps: Rows, time_ms: Int64s) -> Bools:
        # A device that moves between partitions may be heard at an earlier instant of the log.
        now_ms = np.maximum(time_ms, flaps["times_ms"][:, -1])
        flaps["times_ms"][:, :-1] = flaps["times_ms"][:, 1:]
        flaps["times_ms"][:, -1] = now_ms
        oldest_ms = flaps["times_ms"][:, 0]
        is_often = (oldest_ms != NONE_MS) & (now_ms - oldest_ms <= WITHIN_MS)
        begins: Bools = is_often & ~is_flapping(flaps)
        flaps["since_ms"] = np.where(begins, now_ms, flaps["since_ms"])
        flaps["seq"] = np.where(begins, 1, flaps["seq"])
        flaps["ends_ms"] = np.where(is_flapping(flaps), now_ms + CALM_AFTER_MS, flaps["ends_ms"])
        self._put(flaps)
        return begins

    def _put(self, flaps: Rows) -> None:
        slots, is_known = self._slots(flaps["row"].astype(np.int64))
        self.rows[slots[is_known]] = flaps[is_known]
        if not is_known.all():
            rows = np.concatenate([self.rows, flaps[~is_known]])
            self.rows = rows[np.argsort(rows["row"], kind="stable")]
            assert bool((np.diff(self.rows["row"]) > 0).all()), "one row a device"

    def _slots(self, index: Int64s) -> tuple[Int64s, Bools]:
        """Return where the row of each device is, and whether it is there at all."""
        if not len(self.rows):
            return np.zeros(len(index), np.int64), np.zeros(len(index), np.bool_)
        slots = np.minimum(np.searchsorted(self.rows["row"], index), len(self.rows) - 1)
        is_known: Bools = self.rows["row"][slots] == index
        return slots, is_known

    def to_frames(self) -> dict[str, pl.DataFrame]:
        """Return the rows as one column of bytes; nothing where there are none."""
        if not len(self.rows):
            return {}
        return {"flaps": pl.DataFrame({"bytes": np.frombuffer(self.rows.tobytes(), np.uint8)})}

    @classmethod
    def from_frames(cls, frames: dict[str, Any]) -> "Flaps":
        """Return what `to_frames` wrote; of a state without it, no devices."""
        if "flaps" not in frames:
            return cls.empty()
        stored = frames["flaps"]["bytes"].to_numpy().tobytes()
        return cls(np.frombuffer(stored, FLAP_ROW).copy())
