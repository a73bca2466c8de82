"""Whose clock is wrong: told once until it is right again, and at most once a day.

The newest point of a contact tells the device's clock. Liveness never uses it: this is for people
who wonder at the device's times. A contact without points says nothing.
"""

import numpy as np

from schemas.telemetry import AHEAD_MAX_MS, EARLIEST_MS
from udfs.contacts import Contacts
from udfs.device_columns import NOT_YET_MS
from udfs.offline_policy import DAY_MS
from udfs.partition_clocks import Bools, Int64s
from udfs.side_table import SideTable

SKEW_ROW = np.dtype([("row", "<i4"), ("is_wrong", "?"), ("told_ms", "<i8")])


def are_wrong(newest_ms: Int64s, append_time_ms: Int64s) -> Bools:
    """Return which clocks are wrong: ahead of the broker's by over 2 min, or never set.

    >>> are_wrong(np.array([-1, 1_000, 1_767_268_920_000]), np.full(3, 1_767_268_800_000)).tolist()
    [False, True, False]
    """
    is_ahead = newest_ms > append_time_ms + AHEAD_MAX_MS
    wrong: Bools = (newest_ms != NOT_YET_MS) & (is_ahead | (newest_ms < EARLIEST_MS))
    return wrong


class Skews(SideTable):
    """The devices whose clock is wrong, or was told to be on this day."""

    ROW = SKEW_ROW
    NAME = "skews"

    def judge(self, contacts: Contacts) -> Bools:
        """Look at the clocks of devices, at most one contact each; return which are to be told."""
        is_wrong = are_wrong(contacts.newest_ms, contacts.append_time_ms)
        if not len(self.rows) and not is_wrong.any():
            return is_wrong
        known = np.zeros(len(contacts.row), SKEW_ROW)
        known["told_ms"] = NOT_YET_MS
        slots, is_known = self.slots(contacts.row)
        known[is_known] = self.rows[slots[is_known]]
        is_another_day = known["told_ms"] // DAY_MS < contacts.clock_ms // DAY_MS
        is_told: Bools = is_wrong & ~known["is_wrong"] & is_another_day
        known["row"] = contacts.row
        # Of a clock that is right, or says nothing, nothing need be remembered but the day.
        has_said = contacts.newest_ms != NOT_YET_MS
        known["is_wrong"] = np.where(has_said, is_wrong, known["is_wrong"])
        known["told_ms"] = np.where(is_told, contacts.clock_ms, known["told_ms"])
        self.put(known[known["is_wrong"] | (known["told_ms"] != NOT_YET_MS)])
        return is_told

    def without_past(self, slowest_ms: int) -> "Skews":
        """Return it without clocks that are right and were told to be wrong before this day."""
        kept = self.rows["is_wrong"] | (self.rows["told_ms"] // DAY_MS >= slowest_ms // DAY_MS)
        return self.where(kept)
