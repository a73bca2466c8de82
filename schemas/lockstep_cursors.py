"""Cursors in many datums at once, and the numbers they read: numpy, no loop over datums.

A number is read out of the eight bytes from its place on: the first byte without its high bit ends
it, and groups of seven bits are folded together, all cursors in the same dozen operations.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas.avro_shapes import FIXED_MAX_BYTES

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Words = npt.NDArray[np.uint64]

UNCHECKED_MAX_BYTES = 32
"""So far may a cursor go beyond its datum before that is noticed."""
PADDING = bytes(FIXED_MAX_BYTES + 2 * UNCHECKED_MAX_BYTES)
"""Behind the datums."""
LARGEST_BYTE_OF_ONE = 0x7F
CONTINUED = np.uint64(0x8080808080808080)
"""The bits that say that a number has one more byte."""
ONE = np.uint64(1)
FOLDS = tuple(
    (np.uint64(low), np.uint64(high), np.uint64(shift))
    for low, high, shift in (
        (0x007F007F007F007F, 0x7F007F007F007F00, 1),
        (0x00003FFF00003FFF, 0x3FFF00003FFF0000, 2),
        (0x000000000FFFFFFF, 0x0FFFFFFF00000000, 4),
    )
)
"""Eight groups of 7 bits become four of 14, two of 28, one of 56."""


@dataclass
class Body:
    """The bytes of all datums, and which datums are given up, shape (n,)."""

    content: bytes
    is_stopped: Flags
    is_guessing: bool
    octets: npt.NDArray[np.uint8] = field(init=False)
    words: npt.NDArray[np.uint64] = field(init=False)
    """The eight bytes from each place on."""

    def __post_init__(self) -> None:
        """Lay the views."""
        self.octets = np.frombuffer(self.content, np.uint8)
        self.words = self.at_each_place("<u8")

    @property
    def resting_place(self) -> int:
        """Return where zeros begin."""
        return len(self.content) - len(PADDING)

    def at_each_place(self, kind: str) -> npt.NDArray[Any]:
        """Return what each place holds, read as some type of fixed size."""
        size = np.dtype(kind).itemsize
        count = max(0, len(self.content) - size + 1)
        return np.ndarray((count,), kind, self.content, strides=(1,))


@dataclass
class Cursors:
    """Where the reading stands in some datums.

    Args:
        body: of all of them.
        at: the next byte, shape (m,); replaced by every step, never written to.
        end: of each datum, shape (m,).
        row: of each datum, shape (m,).
    """

    body: Body
    at: Integers
    end: Integers
    row: Integers

    def some(self, index: npt.NDArray[Any] | slice) -> "Cursors":
        """Return cursors of their own for some datums."""
        return Cursors(self.body, self.at[index], self.end[index], self.row[index])

    def stop(self, is_wrong: Flags) -> None:
        """Give some datums up; their cursors find zeros from now on."""
        if is_wrong.any():
            self.body.is_stopped[self.row[is_wrong]] = True
            self.at = np.where(is_wrong, self.body.resting_place, self.at)

    @property
    def are_stopped(self) -> Flags:
        """Tell which datums are given up."""
        return self.body.is_stopped[self.row]

    def stop_beyond_end(self) -> None:
        """Give up those that have left their datums."""
        self.stop(self.at > self.end)

    def octet(self) -> Integers:
        """Read one byte."""
        found = self.body.octets[self.at].astype(np.int64)
        self.at = self.at + 1
        return found

    def skip_number(self) -> None:
        """Skip a number of up to 8 bytes."""
        if self.body.octets[self.at].max(initial=0) <= LARGEST_BYTE_OF_ONE:
            self.at = self.at + 1
        else:
            self._skip_number(self.body.words[self.at])

    def _skip_number(self, words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        """Skip numbers; return the bits below the end of each."""
        ends = ~words & CONTINUED
        self.stop(ends == 0)
        below_end = (ends & (~ends + ONE)) - ONE
        self.at = self.at + ((np.bitwise_count(below_end) + np.uint8(1)) >> 3)
        return below_end

    def number(self) -> Integers:
        """Read a number of up to 8 bytes."""
        first = self.body.octets[self.at]
        if first.max(initial=0) <= LARGEST_BYTE_OF_ONE:
            self.at = self.at + 1
            small = first.astype(np.int64)
            return (small >> 1) ^ -(small & 1)
        words = self.body.words[self.at]
        return folded_numbers(words & self._skip_number(words))

    def span(self) -> tuple[Integers, Integers]:
        """Read a length and skip as many bytes; return where they begin, and the length."""
        length = self.number()
        is_wrong = (length < 0) | (length > self.end - self.at)
        self.stop(is_wrong)
        if is_wrong.any():
            length = np.where(is_wrong, 0, length)
        start = self.at
        self.at = start + length
        return start, length


def folded_numbers(words: Words) -> Integers:
    """Return the numbers whose groups of seven bits lie in the bytes of words, zigzag, any shape.

    Args:
        words: without what comes behind the number; high bits do not matter.

    >>> folded_numbers(np.array([0x02, 0x0180 | 0x2B], np.uint64)).tolist()
    [1, -86]
    """
    folded = words
    for low, high, shift in FOLDS:
        folded = (folded & low) | ((folded & high) >> shift)
    zigzag: Integers = folded.view(np.int64)  # 56 bits at most
    return (zigzag >> 1) ^ -(zigzag & 1)


class Reading(Protocol):
    """How a type is read, and how it is skipped.

    `stride_bytes` is how far a cursor may go beyond its datum before that is noticed.
    """

    stride_bytes: int

    def skip(self, cursors: Cursors) -> None:
        """Move the cursors over a value."""

    def read(self, cursors: Cursors) -> pl.Series:
        """Move the cursors over a value and return the values as a column."""
