"""What a shard remembers of sequences, in few bytes: most devices have gaps in nothing.

Of each (device, boot) the highest sequence is kept, and which of the 1,024 sequences up to it were
seen. Nearly always that is all of them, so the row says how far down it goes and which ages are
missing; a row with many missing ones keeps its bits.

    sequence    highest-5 .. highest          age = highest - sequence
    seen        1 1 0 1 1 1                   span 6, gaps [3]
"""

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from udfs.state_bytes import StateLayoutError, pack_state, unpack_state

STATE_VERSION = 2
BITMAP_WORDS = 16
BITMAP_BITS = 64 * BITMAP_WORDS
GAPS_MAX_COUNT = 48
"""With more gaps the bits themselves are shorter."""
DENSE = 0xFFFF
"""Instead of a gap count: the row's bits are in `bitmaps`."""

Keys: TypeAlias = npt.NDArray[np.uint64]
Longs: TypeAlias = npt.NDArray[np.int64]
Shorts: TypeAlias = npt.NDArray[np.uint16]
Bitmaps: TypeAlias = npt.NDArray[np.uint64]
"""Shape (n, 16): bit i of a row's 1,024 = sequence highest - i was seen."""


@dataclass(frozen=True)
class Boots:
    """The sequences of some (device, boot) pairs, as they are while a block is judged.

    Args:
        keys: hash of tenant, device and boot, shape (n,), ascending and unique.
        highest: highest sequence seen, shape (n,); -1 for none.
        last_heard_ms: append time of the last batch, UTC ms, shape (n,).
        partitions: in which it lay, by the number of `SentBatches`, shape (n,).
        bitmaps: which sequences were seen, shape (n, 16).
    """

    keys: Keys
    highest: Longs
    last_heard_ms: Longs
    partitions: Longs
    bitmaps: Bitmaps


@dataclass(frozen=True)
class DedupShard:
    """What one shard remembers, one row per (device, boot), sorted by key.

    Args:
        keys, highest, last_heard_ms, partitions: as in `Boots`.
        spans: how many sequences down from the highest are told by `gaps`, shape (n,).
        gap_counts: how many of them were not seen, or `DENSE`, shape (n,).
        gaps: their ages, ascending in each row, row after row.
        bitmaps: of the dense rows, in order.
    """

    keys: Keys
    highest: Longs
    last_heard_ms: Longs
    partitions: npt.NDArray[np.int32]
    spans: Shorts
    gap_counts: Shorts
    gaps: Shorts
    bitmaps: Bitmaps

    def to_bytes(self) -> bytes:
        """Return the state as versioned bytes."""
        boots = pl.DataFrame({name: getattr(self, name) for name in _COLUMNS})
        bitmaps = pl.DataFrame({"words": self.bitmaps.ravel()})
        frames = {"boots": boots, "gaps": pl.DataFrame({"age": self.gaps}), "bitmaps": bitmaps}
        return pack_state(STATE_VERSION, frames, {})

    def boots(self, keys: Keys) -> Boots:
        """Return the rows of some keys, ascending; a key that is not known has seen nothing."""
        rows = np.searchsorted(self.keys, keys)
        is_known = rows < len(self.keys)
        is_known[is_known] = self.keys[rows[is_known]] == keys[is_known]
        known = rows[is_known]
        boots = Boots(
            keys,
            np.full(len(keys), -1, np.int64),
            np.zeros(len(keys), np.int64),
            np.zeros(len(keys), np.int64),
            np.zeros((len(keys), BITMAP_WORDS), np.uint64),
        )
        boots.highest[is_known] = self.highest[known]
        boots.last_heard_ms[is_known] = self.last_heard_ms[known]
        boots.partitions[is_known] = self.partitions[known]
        boots.bitmaps[is_known] = self._bitmaps_of(known)
        return boots

    def _bitmaps_of(self, rows: npt.NDArray[np.intp]) -> Bitmaps:
        bitmaps = _full_to(self.spans[rows].astype(np.int64))
        counts = _gap_sizes(self.gap_counts)
        starts = np.cumsum(counts) - counts
        word, bit = np.divmod(self.gaps[_ranges(starts[rows], counts[rows])].astype(np.uint64), 64)
        gap_rows = np.repeat(np.arange(len(rows)), counts[rows])
        np.bitwise_and.at(bitmaps, (gap_rows, word.astype(np.intp)), ~(np.uint64(1) << bit))
        is_dense = self.gap_counts == DENSE
        dense_index = np.cumsum(is_dense) - 1
        bitmaps[is_dense[rows]] = self.bitmaps[dense_index[rows[is_dense[rows]]]]
        return bitmaps

    def without(self, is_dropped: npt.NDArray[np.bool_]) -> "DedupShard":
        """Return the state without some rows."""
        if not is_dropped.any():
            return self
        kept = ~is_dropped
        columns = {name: getattr(self, name)[kept] for name in _COLUMNS}
        is_gap_kept = np.repeat(kept, _gap_sizes(self.gap_counts))
        is_bitmap_kept = kept[self.gap_counts == DENSE]
        return DedupShard(
            **columns, gaps=self.gaps[is_gap_kept], bitmaps=self.bitmaps[is_bitmap_kept]
        )

    def with_boots(self, boots: Boots) -> "DedupShard":
        """Return the state in which these rows stand instead of what was known of their keys."""
        rows = np.searchsorted(boots.keys, self.keys)
        is_replaced = rows < len(boots.keys)
        is_replaced[is_replaced] = boots.keys[rows[is_replaced]] == self.keys[is_replaced]
        return _merged(self.without(is_replaced), _compressed(boots))


_COLUMNS = ("keys", "highest", "last_heard_ms", "partitions", "spans", "gap_counts")


def empty_dedup() -> DedupShard:
    """Return the state of a shard that has seen nothing."""
    none, bitmaps = np.empty(0, np.int64), np.empty((0, BITMAP_WORDS), np.uint64)
    return _compressed(Boots(none.astype(np.uint64), none, none, none, bitmaps))


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
        **{name: boots[name].to_numpy() for name in _COLUMNS},
        gaps=state.frames["gaps"]["age"].to_numpy(),
        bitmaps=state.frames["bitmaps"]["words"].to_numpy().reshape(-1, BITMAP_WORDS),
    )


def _compressed(boots: Boots) -> DedupShard:
    spans = _spans(boots.bitmaps)
    gap_counts = spans - np.bitwise_count(boots.bitmaps).sum(axis=1, dtype=np.int64)
    is_dense = gap_counts > GAPS_MAX_COUNT
    is_sparse = (gap_counts > 0) & ~is_dense
    bits = _unpacked(boots.bitmaps[is_sparse])
    _, gaps = np.nonzero(~bits & (np.arange(BITMAP_BITS) < spans[is_sparse][:, None]))
    return DedupShard(
        boots.keys,
        boots.highest,
        boots.last_heard_ms,
        boots.partitions.astype(np.int32),
        spans.astype(np.uint16),
        np.where(is_dense, DENSE, gap_counts).astype(np.uint16),
        gaps.astype(np.uint16),
        boots.bitmaps[is_dense],
    )


def _merged(left: DedupShard, right: DedupShard) -> DedupShard:
    """Join two states without common keys."""
    counts = np.concatenate([left.gap_counts, right.gap_counts])
    keys = np.concatenate([left.keys, right.keys])
    order = np.argsort(keys, kind="stable")
    sizes = _gap_sizes(counts)
    starts = np.cumsum(sizes) - sizes
    gaps = np.concatenate([left.gaps, right.gaps])[_ranges(starts[order], sizes[order])]
    is_dense = counts == DENSE
    dense_index = np.cumsum(is_dense) - 1
    bitmaps = np.concatenate([left.bitmaps, right.bitmaps])[dense_index[order[is_dense[order]]]]
    columns = {
        name: np.concatenate([getattr(left, name), getattr(right, name)])[order]
        for name in _COLUMNS
    }
    return replace(left, **columns, gaps=gaps, bitmaps=bitmaps)


def _gap_sizes(gap_counts: Shorts) -> Longs:
    return np.where(gap_counts == DENSE, 0, gap_counts).astype(np.int64)


def _ranges(starts: Longs, sizes: Longs) -> Longs:
    """Return start, start + 1, ... of each range, one after another.

    >>> _ranges(np.array([7, 0]), np.array([2, 3])).tolist()
    [7, 8, 0, 1, 2]
    """
    firsts = np.cumsum(sizes) - sizes
    ranges: Longs = np.arange(sizes.sum()) + np.repeat(starts - firsts, sizes)
    return ranges


def _full_to(spans: Longs) -> Bitmaps:
    """Return bitmaps in which everything up to a span was seen.

    >>> _full_to(np.array([3, 65]))[:, :2].tolist()
    [[7, 0], [18446744073709551615, 1]]
    """
    left = np.clip(spans[:, None] - 64 * np.arange(BITMAP_WORDS), 0, 64).astype(np.uint64)
    # A shift by 64 is not defined: 1..64 ones are all ones, moved down by 63..0.
    ones = ~np.uint64(0) >> (np.uint64(64) - np.maximum(left, 1))
    return np.where(left > 0, ones, np.uint64(0))


def _spans(bitmaps: Bitmaps) -> Longs:
    """Return for each row the age of the oldest sequence that was seen, plus one; 0 for none."""
    top = BITMAP_WORDS - 1 - np.argmax(bitmaps[:, ::-1] != 0, axis=1)
    smeared = bitmaps[np.arange(len(bitmaps)), top]
    for shift in (1, 2, 4, 8, 16, 32):
        smeared = smeared | smeared >> np.uint64(shift)
    width = np.bitwise_count(smeared).astype(np.int64)
    spans: Longs = np.where(width > 0, 64 * top + width, 0)
    return spans


def _unpacked(bitmaps: Bitmaps) -> npt.NDArray[np.bool_]:
    """Return bits by age, shape (n, 1024)."""
    octets = np.ascontiguousarray(bitmaps, "<u8").view(np.uint8)
    return np.unpackbits(octets, axis=1, bitorder="little").astype(np.bool_)
