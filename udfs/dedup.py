"""Duplicate batches: each (device, boot, sequence) counts once, whatever is sent again.

A device numbers the batches of one boot. Of each boot the last 1,024 sequences are remembered for a
day after it was last heard. The verdict about a message depends on its own log alone:

    too old     its sequence is over 1,023 below the highest before it: it cannot be judged, and is
                accepted. A device that was dark for days and sends its newest batch first must not
                lose the old ones; a copy that comes over 1,024 batches late has not been seen.
    forgotten   its boot was not heard for over a day before it: the boot begins anew.
    duplicate   the sequence was seen before; the first time it counts.

However a log is cut into blocks, the verdicts are the same.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from udfs.dedup_state import BITMAP_BITS, BITMAP_WORDS, Bitmaps, Boots, DedupShard, Keys, Longs

FORGET_AFTER_MS = 24 * 60 * 60 * 1000
NO_SEQUENCE = -1

Flags: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SentBatches:
    """The batches of a block, in the order of their partition's log.

    Args:
        keys: hash of tenant, device and boot, shape (n,).
        sequences: shape (n,), `NO_SEQUENCE` where the device does not count.
        append_time_ms: UTC ms, shape (n,).
        partitions: a number of the topic's partition, unique over all topics, shape (n,).
    """

    keys: Keys
    sequences: Longs
    append_time_ms: Longs
    partitions: npt.NDArray[np.int32]

    def numbered(self) -> "SentBatches":
        """Return those that have a sequence."""
        has = self.sequences >= 0
        return SentBatches(
            self.keys[has], self.sequences[has], self.append_time_ms[has], self.partitions[has]
        )


def mark_duplicates(state: DedupShard, batches: SentBatches) -> tuple[DedupShard, Flags]:
    """Tell which batches of a block were counted before, in this block or an earlier one.

    Args:
        state: of the shard; not changed.
        batches: of the block, shape (n,).

    Returns:
        The new state, and True for each duplicate, shape (n,).
    """
    is_duplicate = np.zeros(batches.keys.shape, np.bool_)
    numbered = batches.numbered()
    if len(numbered.keys) == 0:
        return state, is_duplicate
    known = state.boots(np.unique(numbered.keys))
    log = _Log.of(known, numbered)
    is_repeated, grown = log.verdicts(known), state.with_boots(log.boots_after(known))
    is_duplicate[np.flatnonzero(batches.sequences >= 0)[log.order]] = is_repeated
    return _without_forgotten(grown, batches), is_duplicate


@dataclass(frozen=True)
class _Log:
    """A block's batches sorted by boot, each boot's in the order of the log.

    A boot that was silent for over a day begins a new life.

    Args:
        order: where in the block each batch was, shape (n,).
        boot: index into the known boots, ascending, shape (n,).
        life: index of the life, ascending, over all boots, shape (n,).
        is_known_life: whether what is known of the boot still holds, shape (n,).
        sequences: shape (n,).
        ranks: of the sequences within the block, so that sums with them cannot overflow.
        heard_ms: append time of the newest batch of the boot so far, shape (n,).
        partitions: shape (n,).
    """

    order: npt.NDArray[np.intp]
    boot: npt.NDArray[np.intp]
    life: Longs
    is_known_life: Flags
    sequences: Longs
    ranks: Longs
    heard_ms: Longs
    partitions: npt.NDArray[np.int32]

    @classmethod
    def of(cls, known: Boots, batches: SentBatches) -> "_Log":
        boots = np.searchsorted(known.keys, batches.keys)
        order = np.argsort(boots, kind="stable")
        boot, sequences = boots[order], batches.sequences[order]
        is_first = np.diff(boot, prepend=-1) > 0
        heard_ms = _running_max(batches.append_time_ms[order], boot)
        before_ms = np.where(is_first, known.last_heard_ms[boot], np.roll(heard_ms, 1))
        has_before = ~is_first | (known.highest[boot] >= 0)
        is_forgotten = has_before & (heard_ms - before_ms > FORGET_AFTER_MS)
        forgotten_count = np.cumsum(is_forgotten)
        of_boot = forgotten_count - (forgotten_count - is_forgotten)[is_first][boot]
        return cls(
            order=order,
            boot=boot,
            life=np.cumsum(is_first | is_forgotten) - 1,
            is_known_life=of_boot == 0,
            sequences=sequences,
            ranks=np.unique(sequences, return_inverse=True)[1],
            heard_ms=heard_ms,
            partitions=batches.partitions[order],
        )

    def verdicts(self, known: Boots) -> Flags:
        """Tell which batches are duplicates."""
        age = np.where(self.is_known_life, known.highest[self.boot], NO_SEQUENCE) - self.sequences
        is_inside = (age >= 0) & (age < BITMAP_BITS)
        word, bit = np.divmod(np.where(is_inside, age, 0), 64)
        bits = known.bitmaps[self.boot, word] >> bit.astype(np.uint64) & 1
        # What was too old to be judged left no mark, and a later copy of it is too old as well.
        is_first = np.zeros(len(age), np.bool_)
        is_first[np.unique(self._by_life(self.ranks), return_index=True)[1]] = True
        was_seen: Flags = is_inside & (bits == 1)
        return self.is_judged(known) & (was_seen | ~is_first)

    def is_judged(self, known: Boots) -> Flags:
        """Tell which batches are within the bitmap of what was heard before them."""
        judged: Flags = self.sequences > self._highest_before(known) - BITMAP_BITS
        return judged

    def _highest_before(self, known: Boots) -> Longs:
        is_first = np.diff(self.life, prepend=-1) > 0
        before = np.where(is_first, NO_SEQUENCE, np.roll(self._highest(), 1))
        known_highest = np.where(self.is_known_life, known.highest[self.boot], NO_SEQUENCE)
        highest: Longs = np.maximum(before, known_highest)
        return highest

    def _highest(self) -> Longs:
        """Return the highest sequence of each life up to each batch."""
        ranks = np.maximum.accumulate(self._by_life(self.ranks)) - self._by_life(0)
        highest: Longs = np.unique(self.sequences)[ranks]
        return highest

    def _by_life(self, ranks: Longs | int) -> Longs:
        return self.life * len(self.life) + ranks

    def boots_after(self, known: Boots) -> Boots:
        """Return the boots as the block leaves them."""
        ends = np.flatnonzero(np.diff(self.boot, append=len(known.keys)) > 0)
        is_known = self.is_known_life[ends]
        before = np.where(is_known, known.highest, NO_SEQUENCE)
        highest = np.maximum(before, self._highest()[ends])
        # Not highest - before, which may be 2^63.
        distance = np.where(before < highest - BITMAP_BITS, BITMAP_BITS, highest - before)
        bitmaps = _shift(np.where(is_known[:, None], known.bitmaps, np.uint64(0)), distance)
        age = highest[self.boot] - self.sequences
        is_in_last_life = self.life == self.life[ends][self.boot]
        told = is_in_last_life & self.is_judged(known) & (age < BITMAP_BITS)
        word, bit = np.divmod(age[told], 64)
        marks = np.uint64(1) << bit.astype(np.uint64)
        np.bitwise_or.at(bitmaps, (self.boot[told], word), marks)
        return Boots(
            known.keys,
            highest,
            self.heard_ms[ends],
            self.partitions[ends].astype(np.int64),
            bitmaps,
        )


def _running_max(times_ms: Longs, segment: npt.NDArray[np.intp]) -> Longs:
    """Return the largest value of each segment so far; segments ascend."""
    # Each segment is lifted above the one before it, so that the maximum begins anew there.
    lift = segment * (times_ms.max() - times_ms.min() + 1)
    largest: Longs = np.maximum.accumulate(times_ms + lift) - lift
    return largest


def _shift(bitmap: Bitmaps, by: Longs) -> Bitmaps:
    """Move each row's bits up by its own distance, at most 1,024; higher bits are forgotten."""
    words, bits = np.divmod(by[:, None], 64)
    source = np.arange(BITMAP_WORDS)[None, :] - words
    # Two zero words in front stand for what lies below the bitmap.
    padded = np.pad(bitmap, ((0, 0), (2, 0)))
    here = np.take_along_axis(padded, np.maximum(source + 2, 0), axis=1)
    below = np.take_along_axis(padded, np.maximum(source + 1, 0), axis=1)
    up = bits.astype(np.uint64)
    carried = np.where(up > 0, below >> (np.uint64(64) - np.maximum(up, 1)), np.uint64(0))
    shifted: Bitmaps = (here << up) | carried
    return shifted


def _without_forgotten(state: DedupShard, batches: SentBatches) -> DedupShard:
    """Drop the boots that a later message of their partition would find forgotten."""
    heard, which = np.unique(batches.partitions, return_inverse=True)
    clocks = np.full(len(heard), -(2**62))
    np.maximum.at(clocks, which, batches.append_time_ms)
    at = np.minimum(np.searchsorted(heard, state.partitions), len(heard) - 1)
    is_heard = heard[at] == state.partitions
    return state.without(is_heard & (clocks[at] - state.last_heard_ms > FORGET_AFTER_MS))
