"""Exact duplicates are no contact (C4): the same boot and sequence, sent or read again.

Liveness remembers the last boot of each device, its highest sequence and the 32 sequences up to it.
What that cannot judge counts as contact: taking a duplicate for a sign of life is a late alert,
taking a sign of life for a duplicate would be a false one. So without boot_id or sequence nothing
is a duplicate: a device that numbers from 0 again after a restart must be heard.
"""

import numpy as np
import xxhash
from numpy.typing import NDArray

from udfs.device_columns import NO_SEQUENCE
from udfs.partition_clocks import Bools, Int64s, Rows

REMEMBERED = 32
NO_BOOT = 0


def boot_hashes(boot_ids: list[str | None]) -> NDArray[np.uint32]:
    """Return a hash of each boot id that is stable across releases; 0 where there is none."""
    digest = xxhash.xxh32_intdigest
    hashes = [NO_BOOT if boot is None else digest(boot.encode()) | 1 for boot in boot_ids]
    return np.array(hashes, dtype=np.uint32)


def take_duplicates(rows: Rows, boot: NDArray[np.uint32], sequence: Int64s) -> Bools:
    """Find exact duplicates and remember what is new.

    Args:
        rows: DEVICE_ROW, one contact a device; boot, sequence and recent are updated in place.
        boot: hash of each contact's boot, `NO_BOOT` when it has none.
        sequence: of each contact, `NO_SEQUENCE` when it has none.

    Returns:
        Which contacts are duplicates.
    """
    numbered = (sequence > NO_SEQUENCE) & (boot != NO_BOOT)
    same_boot = numbered & (rows["boot"] == boot) & (rows["sequence"] != NO_SEQUENCE)
    ahead = np.where(same_boot, sequence - rows["sequence"], 1)
    behind = np.clip(-ahead, 0, REMEMBERED - 1).astype(np.uint32)
    bit = np.uint32(1) << behind
    judged = same_boot & (ahead <= 0) & (ahead > -REMEMBERED)
    duplicates: Bools = judged & ((rows["recent"] & bit) != 0)
    rows["recent"] = np.where(judged, rows["recent"] | bit, rows["recent"])
    _advance_highest(rows, boot, sequence, same_boot=same_boot, is_newer=numbered & (ahead > 0))
    return duplicates


def _advance_highest(
    rows: Rows, boot: NDArray[np.uint32], sequence: Int64s, *, same_boot: Bools, is_newer: Bools
) -> None:
    step = np.where(same_boot, sequence - rows["sequence"], REMEMBERED)
    shift = np.clip(step, 0, REMEMBERED - 1).astype(np.uint32)
    kept = np.where(step < REMEMBERED, rows["recent"] << shift, np.uint32(0))
    rows["recent"] = np.where(is_newer, kept | np.uint32(1), rows["recent"])
    rows["sequence"] = np.where(is_newer, sequence, rows["sequence"])
    rows["boot"] = np.where(is_newer, boot, rows["boot"])
