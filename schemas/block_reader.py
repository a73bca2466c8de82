"""Reads blocks of one writer schema: what is plainly right in lockstep, the rest with care.

datums ──lockstep──> columns ─────────────────────────────────┬──> columns, in their order
             └─ stopped ──careful reader──> columns, or refused ┘
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from schemas.avro_columns import columns_of
from schemas.avro_lockstep import Lockstep
from schemas.avro_shapes import is_block_readable, plain_schema
from schemas.careful_reader import INDEX, CarefulReader
from schemas.errors import Reason, Rejected
from schemas.lockstep_cursors import Integers
from schemas.records import Schema

CHUNK_MAX_BYTES = 2 * 1024 * 1024
"""Read in lockstep at once: what fits a cache, and enough that steps cost nothing."""


@dataclass(frozen=True)
class BlockRead:
    """What became of a block.

    Args:
        records: the writer's fields as columns, and `INDEX` (u32), ascending: which datum it was.
        refused: index and detail of each datum that is not among them, ascending.
    """

    records: pl.DataFrame
    refused: list[tuple[int, str]]


class BlockReader:
    """Decodes blocks of one writer schema.

    Raises:
        Rejected: the schema is refused, so every message written with it is.
    """

    def __init__(self, writer_schema: Schema) -> None:
        self.plain = plain_schema(writer_schema)
        if not columns_of(self.plain):
            raise Rejected(Reason.SCHEMA_REFUSED, "it has no field that a column can hold")
        self._lockstep = Lockstep(self.plain) if is_block_readable(self.plain) else None
        self._careful = CarefulReader(self.plain)

    def read(self, datums: Sequence[bytes]) -> BlockRead:
        """Decode datums, given without their wire headers."""
        frames, left = [], np.arange(len(datums))
        for is_guessing in (True, False):
            read, left = self._read_in_lockstep(datums, left, is_guessing=is_guessing)
            frames += read
        refused: list[tuple[int, str]] = []
        if len(left) or not frames:
            careful, refused = self._careful.read(_taken(datums, left))
            refused = [(int(left[index]), detail) for index, detail in refused]
            frames.append(_renumbered(careful, left))
        records = frames[0] if len(frames) == 1 else pl.concat(frames)
        if not records[INDEX].is_sorted():
            records = records.sort(INDEX)
        return BlockRead(records.select(INDEX, pl.col("datum").struct.unnest()), refused)

    def _read_in_lockstep(
        self, datums: Sequence[bytes], index: Integers, *, is_guessing: bool
    ) -> tuple[list[pl.DataFrame], Integers]:
        """Return (datum, INDEX) frames of some datums, and those that are left."""
        if self._lockstep is None:
            return [], index
        frames, left = [], [index[:0]]
        for chunk in _chunks(datums, index):
            records, is_read = self._lockstep.read(_taken(datums, chunk), is_guessing=is_guessing)
            frame = pl.DataFrame({"datum": records, INDEX: chunk.astype(np.uint32)})
            if not is_read.all():
                frame = frame.filter(pl.Series(is_read))
                left.append(chunk[~is_read])
            frames.append(frame)
        return frames, np.concatenate(left)


def _taken(datums: Sequence[bytes], index: Integers) -> Sequence[bytes]:
    """Return some datums; a slice where they are neighbours."""
    if len(index) and index[-1] - index[0] + 1 == len(index):
        return datums[index[0] : index[-1] + 1]
    return [datums[i] for i in index.tolist()]


def _chunks(datums: Sequence[bytes], index: Integers) -> list[Integers]:
    """Cut some datums so that a chunk has a bounded number of bytes."""
    if not len(index):
        return []
    sizes = np.fromiter(map(len, _taken(datums, index)), np.int64, len(index))
    chunk_of = (np.cumsum(sizes) - sizes) // CHUNK_MAX_BYTES
    return np.split(index, np.flatnonzero(np.diff(chunk_of)) + 1)


def _renumbered(frame: pl.DataFrame, index: Integers) -> pl.DataFrame:
    """Number the datums of a part as the whole block does."""
    numbers = pl.Series(INDEX, index, dtype=pl.UInt32)
    return frame.select("datum", numbers.gather(frame[INDEX]))
