"""Byte strings that lie anywhere in a body become a column, without a loop over them."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import polars as pl
import pyarrow as pa

from schemas.lockstep_cursors import Body, Flags, Integers


@dataclass(frozen=True)
class Strings:
    """Byte strings in the order of their lengths.

    Args:
        content: all of them.
        offsets: where each begins in it, and its end, shape (n + 1,).
        order: which string of the column each is, shape (n,); None: they are in order.
    """

    content: bytes
    offsets: Integers
    order: Integers | None

    def texts(self) -> tuple[pl.Series, Flags]:
        """Return a column of texts, and which of them are no UTF-8: those are zeros."""
        is_no_text = np.zeros(len(self.offsets) - 1, np.bool_)
        if self.content.isascii():
            return self.column(pa.large_string()), is_no_text
        blanked = bytearray(self.content)
        at = np.flatnonzero(np.frombuffer(self.content, np.int8) < 0)
        for row in np.unique(np.searchsorted(self.offsets, at, side="right") - 1).tolist():
            span = slice(*self.offsets[row : row + 2].tolist())
            if not _is_utf8(self.content[span]):
                blanked[span] = bytes(span.stop - span.start)
                is_no_text[row if self.order is None else self.order[row]] = True
        return replace(self, content=bytes(blanked)).column(pa.large_string()), is_no_text

    def column(self, kind: pa.DataType) -> pl.Series:
        """Return the column as some type of byte strings."""
        buffers = [None, pa.py_buffer(self.offsets), pa.py_buffer(self.content)]
        found = pl.Series(
            pl.from_arrow(pa.Array.from_buffers(kind, len(self.offsets) - 1, buffers))
        )
        if self.order is None:
            return found
        place = np.empty(len(self.order), np.int64)
        place[self.order] = np.arange(len(self.order))
        return found.gather(place)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def strings_at(body: Body, start: Integers, length: Integers) -> Strings:
    """Copy byte strings out of a body, those of one length together."""
    order = np.argsort(length.astype(np.uint16), kind="stable")  # over 65,535: right, if slower
    sorted_length, sorted_start = length[order], start[order]
    cuts = [0, *(np.flatnonzero(np.diff(sorted_length)) + 1).tolist(), len(length)]
    pieces = [
        body.at_each_place(f"V{sorted_length[cut]}")[sorted_start[cut:end]].tobytes()
        for cut, end in pairwise(cuts)
        if cut < end and sorted_length[cut] > 0
    ]
    offsets = np.zeros(len(length) + 1, np.int64)
    np.cumsum(sorted_length, out=offsets[1:])
    is_of_one_length = bool((length == length[:1]).all())
    return Strings(b"".join(pieces), offsets, None if is_of_one_length else order)
