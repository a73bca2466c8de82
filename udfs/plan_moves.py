"""What mutes and goodbyes of the book say of device rows at an instant."""

import numpy as np

from schemas.control import Goodbye, Mute
from udfs.control_book import ControlBook, covered
from udfs.device_columns import DeviceColumns, Flag, has_flag, is_open
from udfs.partition_clocks import Bools, Int64s, Rows


def are_mutes_over(
    book: ControlBook, devices: DeviceColumns, index: Int64s, at_ms: Int64s, told_ms: Int64s
) -> Bools:
    """Return which devices are muted no longer, shape (n,).

    Args:
        book: with the mutes.
        devices: of the shard.
        index: row numbers of the devices in question, shape (n,).
        at_ms: when some mute of each was to end; it may have been replaced.
        told_ms: instant at which that takes place.
    """
    rows = devices.rows[index]
    is_over, is_muted = np.zeros((2, len(index)), np.bool_)
    for planned in book.of_kind(Mute):
        is_here = covered(planned.event.scope, devices, index, rows)
        is_over |= is_here & (at_ms == planned.end_ms)
        # Told late, it may be muted again; then that mute's end tells it.
        for instant_ms in (at_ms, told_ms):
            is_muted |= is_here & planned.is_active(instant_ms)
    is_free: Bools = is_over & ~is_muted
    return is_free


def excuse_away(
    book: ControlBook, devices: DeviceColumns, index: Int64s, rows: Rows, at_ms: Int64s
) -> None:
    """Excuse the silence of devices that left on purpose until they are expected, in place.

    Args:
        book: with the goodbyes.
        devices: of the shard.
        index: row numbers of the devices, shape (n,).
        rows: DEVICE_ROW of each.
        at_ms: when some goodbye was said, or its devices are expected.
    """
    for planned in book.of_kind(Goodbye):
        is_here = covered(planned.event.scope, devices, index, rows)
        is_here &= has_flag(rows, Flag.SEEN) & ~is_open(rows)
        is_here &= rows["last_seen_ms"] <= planned.begin_ms
        away_ms = planned.end_ms - rows["last_seen_ms"]
        longest_ms = np.maximum(rows["excused_ms"], away_ms)
        has_left, is_back = at_ms == planned.begin_ms, at_ms == planned.end_ms
        rows["excused_ms"] = np.select(
            [is_here & is_back, is_here & has_left], [away_ms, longest_ms], rows["excused_ms"]
        )
