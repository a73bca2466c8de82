"""The account of every message and point (law L3): what was read is told again as something.

    decode step   messages and points read, from the raw block; ticks of the clock
    windows       accepted and duplicate ones, from what the windows were made of; points that are
                  rejected alone: NaN, out of range
    dead letters  rejected messages, by reason

The sides are counted apart, so their difference can be other than zero: it is what was lost, or
counted twice, in between. The points of a rejected message are on neither side, because nobody
could read them.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.records import encode_record
from schemas.topics import Topic
from udfs.point_cells import PointCells

PLACE = ("topic", "partition")


class Unit(StrEnum):
    """What is counted."""

    MESSAGE = "message"
    POINT = "point"


class Outcome(StrEnum):
    """What became of it; `READ` is the other side of the account."""

    READ = "read"
    TICK = "tick"
    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the account; entries of one kind add up.

    Args:
        topic: full name.
        partition: of the topic.
        unit: message or point.
        outcome: what became of them.
        reason: why they were rejected, else empty.
        count: above 0.
    """

    topic: str
    partition: int
    unit: Unit
    outcome: Outcome
    reason: str
    count: int


POINT_OUTCOMES = {
    "is_counted": (Outcome.ACCEPTED, ""),
    "is_duplicate": (Outcome.DUPLICATE, ""),
    "is_nan": (Outcome.REJECTED, "nan"),
    "is_out_of_range": (Outcome.REJECTED, "out_of_range"),
}
"""Flags of `PointCells`, and what such a point is in the account."""


def read_counts(messages: pl.DataFrame) -> pl.DataFrame:
    """Count what was read: messages, ticks among them, and points, of each partition.

    Args:
        messages: one row for each raw message: topic, partition, is_tick, point_count.
    """
    return messages.group_by(PLACE, maintain_order=True).agg(
        pl.len().alias("read_count"), pl.col("is_tick", "point_count").sum()
    )


def read_entries(counts: pl.DataFrame) -> list[Entry]:
    """Return what `read_counts` counted as entries."""
    return [
        entry
        for topic, partition, read, tick_count, point_count in counts.iter_rows()
        for entry in (
            Entry(topic, partition, Unit.MESSAGE, Outcome.READ, "", read),
            Entry(topic, partition, Unit.MESSAGE, Outcome.TICK, "", tick_count),
            Entry(topic, partition, Unit.POINT, Outcome.READ, "", point_count),
        )
        if entry.count > 0
    ]


def point_entries(batches: pl.DataFrame, cells: PointCells) -> list[Entry]:
    """Count what became of messages and their points.

    Args:
        batches: topic, partition, is_duplicate; one row a message.
        cells: their points, as the windows sum them.
    """
    points = {
        name: _per_batch(cells.row[getattr(cells, name)], batches.height) for name in POINT_OUTCOMES
    }
    sums = (
        batches.select(*PLACE, messages=1, duplicate_messages="is_duplicate")
        .with_columns(**points)
        .group_by(PLACE, maintain_order=True)
        .agg(pl.all().sum())
    )
    return [entry for row in sums.iter_rows(named=True) for entry in _place_entries(row)]


def _per_batch(rows: NDArray[np.uint32], count: int) -> pl.Series:
    return pl.Series(np.bincount(rows, minlength=count))


def _place_entries(sums: dict[str, int | str]) -> list[Entry]:
    topic, partition = str(sums["topic"]), int(sums["partition"])
    messages, duplicate_count = int(sums["messages"]), int(sums["duplicate_messages"])
    accepted_count = messages - duplicate_count
    found = [
        Entry(topic, partition, Unit.MESSAGE, Outcome.ACCEPTED, "", accepted_count),
        Entry(topic, partition, Unit.MESSAGE, Outcome.DUPLICATE, "", duplicate_count),
    ]
    for name, (outcome, reason) in POINT_OUTCOMES.items():
        found.append(Entry(topic, partition, Unit.POINT, outcome, reason, int(sums[name])))
    return [entry for entry in found if entry.count > 0]


def rejected_entries(letters: pl.DataFrame) -> list[Entry]:
    """Count what goes to the dead letters: one row each with topic, partition, reason."""
    counts = Counter(letters.select(*PLACE, "reason").iter_rows())
    return [
        Entry(topic, partition, Unit.MESSAGE, Outcome.REJECTED, reason, count)
        for (topic, partition, reason), count in counts.items()
    ]


def account_message(entries: Sequence[Entry], schema_id: int) -> bytes:
    """Return entries as one AccountDeltas message.

    Args:
        entries: a few for each partition.
        schema_id: under which AccountDeltas is registered.
    """
    rows = [asdict(entry) for entry in entries]
    return encode_record(Topic.ACCOUNTS, {"rows": rows}, schema_id)
