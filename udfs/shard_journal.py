"""How a large shard is kept: a whole from time to time, and every block since.

    whole ── block ── block ── block ──> as it stands        whole ── block ──> ...
             (as many bytes as the whole, or BLOCKS_MAX_COUNT: then a new whole is written)

Windows of half an hour are megabytes a shard: too much to write with each block, of which there are
several a second. A block is little, and applying it again gives the same state, as the step is a
function of its arguments. So what is written is at most twice what is read.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import polars as pl

from udfs.frame_bytes import unpack_frames

BLOCKS_MAX_COUNT = 64
"""A restored shard applies so many at most: half a second."""
SPREAD_COUNT = 32
"""All shards get each block: without a spread all would write their wholes at once."""
_NOW = struct.Struct("<q")

S = TypeVar("S")
R = TypeVar("R")


@dataclass(frozen=True)
class ShardSteps(Generic[S, R]):
    """What a job does with a shard.

    Args:
        blank: makes a new one, by its number.
        read: reads what `write` wrote.
        write: all of it.
        apply: one block, of frames by name, at an instant of the wall clock; it changes the shard.
    """

    blank: Callable[[int], S]
    read: Callable[[bytes], S]
    write: Callable[[S], bytes]
    apply: Callable[[S, Mapping[str, pl.DataFrame], int], R]


def entry_of(payload: bytes, now_ms: int) -> bytes:
    """Return a block as it is kept: the wall clock at which it came, and its frames."""
    return _NOW.pack(now_ms) + payload


@dataclass
class JournaledShard(Generic[S, R]):
    """A shard at work, and how much was written since its last whole.

    Args:
        number: of the shard.
        steps: of its job.
        shard: as it stands.
        whole_size_bytes: of the last whole.
        block_count: since then.
        size_bytes: of those blocks.
    """

    number: int
    steps: ShardSteps[S, R]
    shard: S
    whole_size_bytes: int = 0
    block_count: int = 0
    size_bytes: int = 0

    @classmethod
    def restored(
        cls, number: int, whole: bytes | None, entries: Sequence[bytes], steps: ShardSteps[S, R]
    ) -> "JournaledShard[S, R]":
        """Return a shard from what was kept; the events of its blocks were sent before."""
        shard = steps.blank(number) if whole is None else steps.read(whole)
        kept = cls(number, steps, shard, 0 if whole is None else len(whole))
        for entry in entries:
            kept.apply(entry)
        return kept

    def apply(self, entry: bytes) -> R:
        """Apply one block and return what leaves."""
        (now_ms,) = _NOW.unpack_from(entry)
        self.block_count += 1
        self.size_bytes += len(entry)
        return self.steps.apply(self.shard, unpack_frames(entry[_NOW.size :]), now_ms)

    @property
    def is_whole_due(self) -> bool:
        """Return whether the next writing is a whole."""
        limit = BLOCKS_MAX_COUNT - self.number % SPREAD_COUNT
        return self.block_count >= limit or self.size_bytes > self.whole_size_bytes

    def whole(self) -> bytes:
        """Return the shard as bytes, from which the next blocks count."""
        packed = self.steps.write(self.shard)
        self.whole_size_bytes, self.block_count, self.size_bytes = len(packed), 0, 0
        return packed
