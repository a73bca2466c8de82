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

from enum import IntFlag

import numpy as np

from udfs.offline_policy import MINUTE_MS
from udfs.partition_clocks import Bools, Int64s, Rows
from udfs.side_table import SideTable

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


class Flaps(SideTable):
    """The devices that changed within the hour, flap, or flapped in their open episode."""

    ROW = FLAP_ROW
    NAME = "flaps"

    def of(self, index: Int64s) -> Rows:
        """Return the row of each device, a blank one where there is none; shape (n,)."""
        found = blank_flaps(index)
        slots, is_known = self.slots(index)
        found[is_known] = self.rows[slots[is_known]]
        return found

    def ends_ms(self, index: Int64s) -> Int64s:
        """Return until when each device flaps if nothing changes; `NEVER_MS` if it does not."""
        ends: Int64s = np.full(len(index), NEVER_MS)
        slots, is_known = self.slots(index)
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
        self.put(flaps)

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
        self.put(flaps)

    def calm_down(self, index: Int64s, time_ms: Int64s, is_open: Bools, is_hidden: Bools) -> None:
        """End flappings, and remember them while the episodes that they leave open are so."""
        flaps = self.of(index)
        flaps["since_ms"] = np.where(is_open, flaps["since_ms"], NONE_MS)
        flaps["calm_ms"] = np.where(is_open, time_ms, NONE_MS)
        flaps["untold"] |= np.where(is_open & is_hidden, np.uint8(Untold.FINAL), np.uint8(0))
        self.put(flaps)

    def wait(self, unheard_ms: Int64s) -> None:
        """Put the calm off by what could not be heard, given by device."""
        late = is_flapping(self.rows)
        self.rows["ends_ms"][late] += unheard_ms[self.rows["row"][late]]

    def without_past(self, slowest_ms: int) -> "Flaps":
        """Return it without devices whose last change no later one can be within the hour of."""
        kept = self.rows["since_ms"] != NONE_MS
        kept |= self.rows["times_ms"][:, -1] + WITHIN_MS >= slowest_ms
        return self.where(kept)

    def _change_unless(self, is_none: Bools, flaps: Rows, time_ms: Int64s) -> Bools:
        self.put(flaps[is_none & (flaps["times_ms"][:, -1] != NONE_MS)])
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
        self.put(flaps)
        return begins
