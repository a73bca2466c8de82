"""Reads datums that cannot be read in lockstep: as an Avro container, and one by one.

A block of datums is laid out as an Avro container in memory, and after each datum come eight bytes
of our own:

    | header: Framed{datum: <writer schema>, mark: double} | datum 0 | mark 0 | datum 1 | mark 1 |

The marks count up from a random start. A datum with bytes left over, or one that reads past its
end, shifts the next mark, so the first bad message is found exactly and no misread value is
believed; the random start keeps a hostile message from carrying its neighbour's mark. When the
reader raises, the block is halved until the bad message is nearly alone.

    bytes ──together──> columns ──canonical? fits?──> believed
                   └─ raised, wrong mark ─┴─ no ────> strict reader ──> believed or rejected
"""

import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from schemas.avro_canonical import Flags, is_canonical
from schemas.avro_columns import column_type
from schemas.avro_container import SYNC_BYTES, avro_long, container_header, read_container
from schemas.avro_shapes import is_block_readable
from schemas.avro_strict import NotADatum, read_datum, strict_reader
from schemas.avro_widened import fits, narrowed, needs_narrowing, widened

CHUNK_MAX_MESSAGES = 512
"""Small enough that one bad message costs little, large enough that calls cost nothing."""
CHUNK_MAX_BYTES = 4 * 1024 * 1024
ALONE_MAX_MESSAGES = 2
"""So few are read one by one sooner than in halves."""

CUTS_MAX_COUNT = 64

INDEX = "#index"
"""Our column beside the writer's: no Avro field can have this name."""


class CarefulReader:
    """Decodes blocks of one plain schema, of which a column can hold a field."""

    def __init__(self, plain: Any) -> None:
        self.plain = plain
        self.datum_type = column_type(self.plain)
        self.read_strictly = strict_reader(self.plain)
        self.is_block_readable = is_block_readable(self.plain)
        self.wide = widened(self.plain)
        fields = [{"name": "datum", "type": self.wide}, {"name": "mark", "type": "double"}]
        framed = {"type": "record", "name": "Framed", "fields": fields}
        self.sync = secrets.token_bytes(SYNC_BYTES)
        self.header = container_header(framed, self.sync)

    def read(self, datums: Sequence[bytes]) -> tuple[pl.DataFrame, list[tuple[int, str]]]:
        """Decode datums, given without their wire headers.

        Returns:
            a frame of `datum` (struct) and `INDEX` (u32), ascending; and index and detail of each
            datum that is refused, ascending.
        """
        frames = [pl.DataFrame(schema={"datum": self.datum_type, INDEX: pl.UInt32})]
        if self.is_block_readable:
            for chunk in _chunks(datums):
                frames += self._read_chunk(datums, chunk)
        together, keep = self._judged(frames, datums)
        is_left = np.ones(len(datums), np.bool_)
        is_left[together[INDEX].to_numpy()[keep]] = False
        alone, refused = self._read_alone(datums, np.flatnonzero(is_left).tolist())
        return _merged(together, keep, alone), refused

    def _read_chunk(self, datums: Sequence[bytes], chunk: slice) -> list[pl.DataFrame]:
        """Return (datum, INDEX) frames, ascending, of what can be read in company."""
        frames, pending = [], [chunk]
        while pending:
            part = pending.pop()
            if part.stop - part.start <= min(ALONE_MAX_MESSAGES, chunk.stop - chunk.start - 1):
                continue
            frame, good_count = self._read_together(datums[part])
            bad = part.start + good_count
            if good_count:
                index = pl.Series(INDEX, range(part.start, bad), dtype=pl.UInt32)
                frames.append(frame.head(good_count).with_columns(index))
            if frame.is_empty() and part.stop - part.start > 1:
                pending += _halves(part.start, part.stop)
            elif not frame.is_empty():
                pending += _halves(bad + 1, part.stop)
        return frames

    def _read_together(self, datums: Sequence[bytes]) -> tuple[pl.DataFrame, int]:
        """Return the decoded frame and how many of its first rows are in their place.

        An empty frame means that the reader raised.
        """
        marks = np.arange(len(datums), dtype="<f8") + secrets.randbits(51)
        mark_bytes = marks.tobytes()
        body = b"".join(
            piece
            for index, datum in enumerate(datums)
            for piece in (datum, mark_bytes[8 * index : 8 * index + 8])
        )
        size = avro_long(len(datums)) + avro_long(len(body))
        frame = read_container(self.header + size + body + self.sync)
        is_wrong = frame["mark"].to_numpy() != marks[: frame.height]
        good_count = int(is_wrong.argmax()) if is_wrong.any() else frame.height
        return frame.select("datum"), good_count

    def _judged(
        self, frames: list[pl.DataFrame], datums: Sequence[bytes]
    ) -> tuple[pl.DataFrame, Flags]:
        """Return all rows as the writer's own types, and which are exactly what their bytes say."""
        if len(frames) == 1:
            return frames[0], np.zeros(0, np.bool_)
        together, datum = pl.concat(frames[1:]), pl.col("datum")
        own = [datums[index] for index in together[INDEX].to_list()]
        keep = is_canonical(self.wide, together["datum"], own)
        if needs_narrowing(self.plain):
            keep &= together.select(fits(datum, self.plain)).to_series().to_numpy()
            together = together.with_columns(narrowed(datum, self.plain).alias("datum"))
        return together, keep

    def _read_alone(
        self, datums: Sequence[bytes], indices: Sequence[int]
    ) -> tuple[pl.DataFrame, list[tuple[int, str]]]:
        """Read datums strictly, one by one; return their frame, and what was refused."""
        records, kept, refused = [], [], []
        for index in indices:
            try:
                records.append(read_datum(self.read_strictly, datums[index]))
            except NotADatum as error:
                refused.append((index, f"not a datum of its schema: {error}"))
            else:
                kept.append(index)
        column = self._column(records, [datums[index] for index in kept])
        return pl.DataFrame([column, pl.Series(INDEX, kept, dtype=pl.UInt32)]), refused

    def _column(self, records: list[Any], datums: list[bytes]) -> pl.Series:
        """Return records that were read strictly as a column.

        A datum that is known to be good may be read again, together: that is ten times as quick as
        to make columns of Python objects.
        """
        if self.is_block_readable and datums:
            parts = [self._read_together(datums[chunk]) for chunk in _chunks(datums)]
            if sum(good_count for _, good_count in parts) == len(datums):
                column = pl.concat([frame for frame, _ in parts])["datum"]
                return (
                    column.to_frame()
                    .select(narrowed(pl.col("datum"), self.plain).alias("datum"))
                    .to_series()
                )
        return pl.Series("datum", records, dtype=self.datum_type)


def _chunks(datums: Sequence[bytes]) -> list[slice]:
    """Cut a block so that a chunk has a bounded number of messages and of bytes."""
    chunks, start, size = [], 0, 0
    for index, datum in enumerate(datums):
        if index - start == CHUNK_MAX_MESSAGES or (size and size + len(datum) > CHUNK_MAX_BYTES):
            chunks.append(slice(start, index))
            start, size = index, 0
        size += len(datum)
    if start < len(datums):
        chunks.append(slice(start, len(datums)))
    return chunks


def _halves(start: int, stop: int) -> list[slice]:
    """Return the halves of a part, the first one last: it is taken from the end."""
    middle = (start + stop) // 2
    return [slice(a, b) for a, b in ((middle, stop), (start, middle)) if a < b]


def _merged(together: pl.DataFrame, keep: Flags, alone: pl.DataFrame) -> pl.DataFrame:
    """Return the kept rows and those that were read alone, ascending.

    A few rows are exchanged by cutting the frame around them, which copies nothing.
    """
    dropped = np.flatnonzero(~keep)
    if len(dropped) + alone.height > CUTS_MAX_COUNT:
        return pl.concat([together.filter(pl.Series(keep)), alone]).sort(INDEX)
    places = np.searchsorted(together[INDEX].to_numpy(), alone[INDEX].to_numpy())
    parts, at = [], 0
    for place, row in sorted(
        [(p, row) for row, p in enumerate(places)] + [(p, alone.height) for p in dropped]
    ):
        parts.append(together[at:place])
        parts.append(alone[row : row + 1])
        at = place + 1 if row == alone.height else place
    return pl.concat([*parts, together[at:]])
