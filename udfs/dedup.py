"""Duplicate batches: each (device, boot, sequence) counts once, whatever is sent again.

A device numbers the batches of one boot. Per boot we keep the highest sequence seen and one bit for
each of the 1,024 sequences up to it:

    sequence    highest-1023 ............ highest-1  highest
    bit            1023      ............     1         0        1 = seen

A sequence below the bitmap cannot be judged and is accepted: a device that was dark for days and
sends its newest batch first must not lose the old ones, while a copy that arrives over 1,024
batches late has not been seen in the field. Boots that were not heard for a day are forgotten.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from udfs.state_bytes import StateLayoutError, pack_state, unpack_state

STATE_VERSION = 1
BITMAP_WORDS = 16
BITMAP_BITS = 64 * BITMAP_WORDS
FORGET_AFTER_MS = 24 * 60 * 60 * 1000
NO_SEQUENCE = -1

Keys: TypeAlias = npt.NDArray[np.uint64]
Longs: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class DedupShard:
    """What one shard remembers, one row per (device, boot), sorted by key.

    Args:
        keys: hash of tenant, device and boot, shape (n,), ascending and unique.
        highest: highest sequence seen, shape (n,).
        bitmap: bit i of the row's 1,024 = sequence highest - i was seen, shape (n, 16).
        last_heard_ms: append time of the last batch, UTC ms, shape (n,).
    """

    keys: Keys
    highest: Longs
    bitmap: npt.NDArray[np.uint64]
    last_heard_ms: Longs

    def to_bytes(self) -> bytes:
        """Return the state as versioned bytes."""
        frame = pl.DataFrame(
            {
                "key": self.keys,
                "highest": self.highest,
                "last_heard_ms": self.last_heard_ms,
                "bitmap": pl.Series(self.bitmap, dtype=pl.Array(pl.UInt64, BITMAP_WORDS)),
            }
        )
        return pack_state(STATE_VERSION, {"boots": frame}, {})


def empty_dedup() -> DedupShard:
    """Return the state of a shard that has seen nothing."""
    return DedupShard(
        np.empty(0, np.uint64),
        np.empty(0, np.int64),
        np.empty((0, BITMAP_WORDS), np.uint64),
        np.empty(0, np.int64),
    )


def dedup_from_bytes(stored: bytes) -> DedupShard:
    """Restore what `DedupShard.to_bytes` wrote.

    Raises:
        StateLayoutError: written by a release whose layout this one does not know.
    """
    state = unpack_state(stored)
    if state.version != STATE_VERSION:
        raise StateLayoutError(f"dedup state has version {state.version}, known is {STATE_VERSION}")
    boots = state.frames["boots"]
    return DedupShard(
        boots["key"].to_numpy().copy(),
        boots["highest"].to_numpy().copy(),
        boots["bitmap"].to_numpy().reshape(-1, BITMAP_WORDS).copy(),
        boots["last_heard_ms"].to_numpy().copy(),
    )


def mark_duplicates(
    state: DedupShard, keys: Keys, sequences: Longs, append_time_ms: Longs
) -> tuple[DedupShard, Flags]:
    """Tell which batches of a block were counted before, in this block or an earlier one.

    Args:
        state: of the shard; not changed.
        keys: hash of tenant, device and boot of each batch in log order, shape (n,).
        sequences: shape (n,), `NO_SEQUENCE` where the device does not count.
        append_time_ms: UTC ms, shape (n,).

    Returns:
        The new state, and True for each duplicate, shape (n,).
    """
    assert keys.shape == sequences.shape == append_time_ms.shape
    is_numbered = sequences >= 0
    if not is_numbered.any():
        return state, np.zeros(keys.shape, np.bool_)
    grown = _with_keys(state, np.unique(keys[is_numbered]))
    rows = np.searchsorted(grown.keys, keys[is_numbered])
    block_highest = grown.highest.copy()
    np.maximum.at(block_highest, rows, sequences[is_numbered])
    shifted = _shift(grown.bitmap, block_highest - grown.highest)
    age = block_highest[rows] - sequences[is_numbered]
    is_repeated, bitmap = _test_and_set(shifted, rows, age)
    last_heard_ms = grown.last_heard_ms.copy()
    np.maximum.at(last_heard_ms, rows, append_time_ms[is_numbered])
    is_duplicate = np.zeros(keys.shape, np.bool_)
    is_duplicate[is_numbered] = is_repeated
    heard = DedupShard(grown.keys, block_highest, bitmap, last_heard_ms)
    return _without_forgotten(heard, int(append_time_ms.max())), is_duplicate


def _with_keys(state: DedupShard, wanted: Keys) -> DedupShard:
    new = np.setdiff1d(wanted, state.keys, assume_unique=True)
    if new.size == 0:
        return state
    keys = np.concatenate([state.keys, new])
    order = np.argsort(keys)
    return DedupShard(
        keys[order],
        np.concatenate([state.highest, np.full(new.size, -1, np.int64)])[order],
        np.concatenate([state.bitmap, np.zeros((new.size, BITMAP_WORDS), np.uint64)])[order],
        np.concatenate([state.last_heard_ms, np.zeros(new.size, np.int64)])[order],
    )


def _shift(bitmap: npt.NDArray[np.uint64], by: Longs) -> npt.NDArray[np.uint64]:
    """Move each row's bits up by its own distance; bits past 1,023 are forgotten."""
    moved = np.flatnonzero(by > 0)
    words, bits = np.divmod(np.minimum(by[moved], BITMAP_BITS)[:, None], 64)
    source = np.arange(BITMAP_WORDS)[None, :] - words
    # Two zero words in front stand for what lies below the bitmap.
    padded = np.pad(bitmap[moved], ((0, 0), (2, 0)))
    here = np.take_along_axis(padded, np.maximum(source + 2, 0), axis=1)
    below = np.take_along_axis(padded, np.maximum(source + 1, 0), axis=1)
    up = bits.astype(np.uint64)
    carried = np.where(up > 0, below >> (np.uint64(64) - np.maximum(up, 1)), np.uint64(0))
    shifted = bitmap.copy()
    shifted[moved] = (here << up) | carried
    return shifted


def _test_and_set(
    bitmap: npt.NDArray[np.uint64], rows: npt.NDArray[np.intp], age: Longs
) -> tuple[Flags, npt.NDArray[np.uint64]]:
    """Test each (row, age) bit, then set it; a second copy within the block repeats too."""
    judged = np.flatnonzero(age < BITMAP_BITS)
    row, word = rows[judged], age[judged] // 64
    bit = np.uint64(1) << (age[judged] % 64).astype(np.uint64)
    was_set = bitmap[row, word] & bit != 0
    is_first = np.zeros(judged.shape, np.bool_)
    is_first[np.unique(row * BITMAP_BITS + age[judged], return_index=True)[1]] = True
    marked = bitmap.copy()
    np.bitwise_or.at(marked, (row, word), bit)
    is_repeated = np.zeros(age.shape, np.bool_)
    is_repeated[judged] = was_set | ~is_first
    return is_repeated, marked


def _without_forgotten(state: DedupShard, now_ms: int) -> DedupShard:
    is_kept = state.last_heard_ms >= now_ms - FORGET_AFTER_MS
    if is_kept.all():
        return state
    return DedupShard(
        state.keys[is_kept],
        state.highest[is_kept],
        state.bitmap[is_kept],
        state.last_heard_ms[is_kept],
    )
