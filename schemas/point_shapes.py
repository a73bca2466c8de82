"""Points of messages that differ in nothing but values and times: read without a look at the rest.

A firmware writes the same names and tags in the same order, batch after batch:

    message   | 3 | cpu v t | ram v t | cpu v t | 0 |
    mask      | = | ===      | ===      | ===      | = |     = must be as in the model
    shape       values at 5, 21..; times at 13, 29..: of each, 8 bytes, and as many as in the model

The model is read strictly, byte by byte. What has its bytes wherever the mask looks, and ends its
times where it does, is a datum like it, so the same strict reader would find the same names and
tags in it. Everything else is left to others.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from schemas.avro_columns import column_type
from schemas.avro_strict import NotADatum, Read, strict_reader
from schemas.lockstep_cursors import Body, Flags, Integers, Words, folded_numbers
from schemas.telemetry import NAME_MAX_BYTES, TAG_MAX_BYTES, TAGS_MAX_COUNT

SHAPE_MAX_POINTS = 1_000
SHAPE_MAX_BYTES = 64 * 1024
SIZES_MAX_COUNT, SHAPES_OF_SIZE = 100, 4
"""So many are remembered."""
LIKE_MIN_COUNT = 16
"""Fewer messages of one size are read as quickly one field at a time."""
NEW_MAX_COUNT = 8
"""Models that are read for a block: each costs as much as reading 2,000 points."""
WORD_BYTES, VALUE_BYTES = 8, 8
HIGH_BIT = 0x80


@dataclass(frozen=True)
class PointShape:
    """What messages of one shape have in common; places count from the number of points on.

    Points are in the order of their kinds, so that those of one name and tags are neighbours.

    Args:
        size_bytes: of the points, up to the end of the message.
        expected: the model's bytes under the mask, shape (n_words,).
        mask: which bits must be as expected, shape (n_words,).
        value_at: place of each value, shape (n_points,).
        time_at: place of each time, shape (n_points,).
        time_mask: the bits of a time's own bytes in the word at its place, shape (n_points,).
        kinds: one row for each kind: `name`, `tags`.
        kind_counts: points of each kind, shape (n_kinds,).
    """

    size_bytes: int
    expected: Words
    mask: Words
    value_at: Integers
    time_at: Integers
    time_mask: Words
    kinds: pl.DataFrame
    kind_counts: Integers

    def fits(self, body: Body, at: Integers) -> Flags:
        """Return which messages are of this shape.

        Args:
            body: of the messages.
            at: where the points of each begin, all of `size_bytes`, shape (m,).
        """
        word_count = len(self.mask)
        found = body.at_each_place(f"V{word_count * WORD_BYTES}")[at].view("<u8")
        words = found.reshape(len(at), word_count)
        words &= self.mask
        is_same: Flags = (words == self.expected).all(axis=1)
        return is_same

    def values(self, body: Body, at: Integers) -> Any:
        """Return the values of messages of this shape, shape (m, n_points), float64."""
        return body.at_each_place("<f8")[at[:, np.newaxis] + self.value_at]

    def times_ms(self, body: Body, at: Integers) -> Integers:
        """Return the times of messages of this shape, UTC ms, shape (m, n_points)."""
        return folded_numbers(body.words[at[:, np.newaxis] + self.time_at] & self.time_mask)


@dataclass
class _Places:
    """Of the points of a model, in their order."""

    value_at: list[int] = field(default_factory=list)
    time_at: list[int] = field(default_factory=list)
    time_end: list[int] = field(default_factory=list)
    kinds: list[tuple[str, tuple[tuple[str, str], ...]]] = field(default_factory=list)


class ShapeReader:
    """Makes shapes of models.

    Args:
        tags_type: the plain type of a point's tags.
    """

    def __init__(self, tags_type: Any) -> None:
        self._tags_column = column_type(tags_type)
        self._long, self._string = strict_reader("long"), strict_reader("string")
        self._tags: Read = strict_reader(tags_type)

    def shape_of(self, points: bytes) -> PointShape | None:
        """Return the shape of a message's points; None when it is unusual in any way."""
        try:
            places = self._places(points)
        except (NotADatum, IndexError, struct.error, UnicodeDecodeError):
            return None
        return None if places is None else self._shape(points, places)

    def _places(self, points: bytes) -> _Places | None:
        count, at = self._long(points, 0)
        if not 0 < count <= SHAPE_MAX_POINTS:
            return None
        places = _Places()
        for _ in range(count):
            name, at = self._string(points, at)
            places.value_at.append(at)
            places.time_at.append(at + VALUE_BYTES)
            _, at = self._long(points, at + VALUE_BYTES)
            places.time_end.append(at)
            tags, at = self._tags(points, at)
            kind = name, tuple((tag["key"], tag["value"]) for tag in tags)
            if at - places.value_at[-1] > SHAPE_MAX_BYTES or not _is_within_limits(*kind):
                return None
            places.kinds.append(kind)
        more_count, end = self._long(points, at)
        return places if more_count == 0 and end == len(points) else None

    def _shape(self, points: bytes, places: _Places) -> PointShape | None:
        time_bytes = np.array(places.time_end) - np.array(places.time_at)
        if time_bytes.max() > WORD_BYTES:
            return None
        numbers = {kind: number for number, kind in enumerate(dict.fromkeys(places.kinds))}
        kind_of = np.array([numbers[kind] for kind in places.kinds])
        order = np.argsort(kind_of, kind="stable")
        mask = _mask(len(points), places)
        model = np.frombuffer(points + bytes(-len(points) % WORD_BYTES), "<u8")
        own_bits = np.uint64(2**64 - 1) >> (8 * (WORD_BYTES - time_bytes)).astype(np.uint64)
        tags = [[{"key": key, "value": text} for key, text in tags] for _, tags in numbers]
        return PointShape(
            len(points),
            model & mask,
            mask,
            np.array(places.value_at)[order],
            np.array(places.time_at)[order],
            own_bits[order],
            pl.DataFrame(
                {
                    "name": pl.Series([name for name, _ in numbers], dtype=pl.String),
                    "tags": pl.Series(tags, dtype=self._tags_column),
                }
            ),
            np.bincount(kind_of),
        )


def _is_within_limits(name: str, tags: tuple[tuple[str, str], ...]) -> bool:
    """Say whether a name and tags keep the limits of the wire (`schemas/telemetry.py`)."""
    texts = [text for tag in tags for text in tag]
    return (
        1 <= len(name.encode()) <= NAME_MAX_BYTES
        and len(tags) <= TAGS_MAX_COUNT
        and all(len(text.encode()) <= TAG_MAX_BYTES for text in texts)
    )


def _mask(size_bytes: int, places: _Places) -> Words:
    """Return the bits that all messages of a shape have in common."""
    octets = np.zeros(size_bytes + -size_bytes % WORD_BYTES, np.uint8)
    octets[:size_bytes] = 0xFF
    for value_at, time_at, time_end in zip(
        places.value_at, places.time_at, places.time_end, strict=True
    ):
        octets[value_at : value_at + VALUE_BYTES] = 0
        octets[time_at:time_end] = HIGH_BIT  # it says whether the number goes on
    return octets.view("<u8")


class ShapeBook:
    """The shapes that were seen, by the bytes of their points; a bounded number.

    Args:
        reader: makes a shape of a model.
    """

    def __init__(self, reader: ShapeReader) -> None:
        self._reader = reader
        self._shapes: dict[int, list[PointShape]] = {}

    def matches(self, body: Body, at: Integers, end: Integers) -> list[tuple[PointShape, Integers]]:
        """Return which messages are of which shape, as indices; each is in one list at most.

        Args:
            body: of the messages.
            at: where the points of each begin, shape (m,).
            end: of each message, shape (m,).
        """
        found: list[tuple[PointShape, Integers]] = []

        def take(shape: PointShape, index: Integers) -> Integers:
            """Note which of some messages are of a shape; return the others."""
            is_like = shape.fits(body, at[index])
            found.append((shape, index[is_like]))
            return index[~is_like]

        new_left = NEW_MAX_COUNT
        for size_bytes, index in _by_size(end - at):
            left = index
            for shape in self._shapes.get(size_bytes, ()):
                left = take(shape, left)
            while new_left and len(left) >= LIKE_MIN_COUNT:
                new_left -= 1
                model = left[0]
                learned = self._reader.shape_of(body.content[at[model] : end[model]])
                if learned is None:
                    left = left[1:]  # the model is left to others
                else:
                    self._remember(learned)
                    left = take(learned, left)
        return found

    def _remember(self, shape: PointShape) -> None:
        """Keep a shape instead of the oldest of its size; start anew when there are too many."""
        if len(self._shapes) == SIZES_MAX_COUNT and shape.size_bytes not in self._shapes:
            self._shapes.clear()
        known = self._shapes.get(shape.size_bytes, [])
        self._shapes[shape.size_bytes] = [*known, shape][-SHAPES_OF_SIZE:]


def _by_size(sizes: Integers) -> Iterator[tuple[int, Integers]]:
    """Yield (bytes, indices) of those that enough others are as large as."""
    order = np.argsort(sizes, kind="stable")
    for index in np.split(order, np.flatnonzero(np.diff(sizes[order])) + 1):
        if len(index) >= LIKE_MIN_COUNT and 0 < sizes[index[0]] <= SHAPE_MAX_BYTES:
            yield int(sizes[index[0]]), index
