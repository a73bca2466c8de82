"""The load ledger: which batch of each topic partition is under way, and which is done.

    in-flight entry (topic, partition, first, last) -> insert -> done entry
           │ crash: send the very same range again       │ crash: resume after the last offset
           └─────────────────────────────────────────────┘

The same range gives the same rows and the same token, so the engine ignores what has landed.
Pure: entries in, plans out; `ledger_writer` reads and writes them.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from schemas.errors import SettingsError

MARK_MAX_BATCHES = 2**32
"""Of a topic: one a second for 136 years."""


@dataclass(frozen=True, order=True)
class OffsetRange:
    """Consecutive offsets of one partition, both ends included."""

    partition: int
    first_offset: int
    last_offset: int


@dataclass(frozen=True)
class LedgerEntry:
    """One batch of one topic, as the ledger holds it.

    Args:
        topic: full name.
        batch_number: within the topic, from 1, rising.
        ranges: what the batch read from each partition, ascending.
        row_count: rows that it adds to its table.
    """

    topic: str
    batch_number: int
    ranges: tuple[OffsetRange, ...]
    row_count: int

    @property
    def token(self) -> str:
        """Return the deduplication token: the same for the same ranges of the same batch.

        >>> LedgerEntry("windows", 7, (OffsetRange(0, 5, 9),), 100).token
        'windows/7/185c93b402d00bc3'
        """
        parts = (f"{r.partition}:{r.first_offset}-{r.last_offset}" for r in self.ranges)
        digest = hashlib.sha256(";".join(parts).encode()).hexdigest()
        return f"{self.topic}/{self.batch_number}/{digest[:16]}"

    @property
    def mark(self) -> int:
        """Return a number that no batch of another topic has: 32 bits of topic, then its number.

        >>> divmod(LedgerEntry("telemetry.acme", 7, (), 0).mark, 2**32)
        (866662708, 7)
        """
        assert self.batch_number < MARK_MAX_BATCHES
        digest = hashlib.sha256(self.topic.encode()).digest()
        return int.from_bytes(digest[:4], "big") * MARK_MAX_BATCHES + self.batch_number


@dataclass(frozen=True)
class LedgerRow:
    """The latest row of one topic partition."""

    topic: str
    partition: int
    batch_number: int
    first_offset: int
    last_offset: int
    is_done: bool
    row_count: int


@dataclass(frozen=True)
class TopicPlan:
    """Where a loader continues with one topic.

    Args:
        next_batch_number: the first number that was never used.
        next_offsets: by partition, the first offset that no batch has; absent: from the start.
        in_flight: the batch that was under way when the last loader ended, if any.
    """

    next_batch_number: int = 1
    next_offsets: dict[int, int] = field(default_factory=dict)
    in_flight: LedgerEntry | None = None


def plan_topic(topic: str, rows: Iterable[LedgerRow]) -> TopicPlan:
    """Derive from the latest row of each partition where to continue.

    Args:
        topic: full name; rows of other topics are skipped.
        rows: at most one a partition.
    """
    own = sorted((row for row in rows if row.topic == topic), key=lambda row: row.partition)
    if not own:
        return TopicPlan()
    latest_batch = max(row.batch_number for row in own)
    open_rows = [row for row in own if not row.is_done]
    assert all(row.batch_number == latest_batch for row in open_rows), "batches overlapped"
    return TopicPlan(
        next_batch_number=latest_batch + 1,
        next_offsets={row.partition: row.last_offset + 1 for row in own},
        in_flight=_entry(topic, open_rows) if open_rows else None,
    )


def _entry(topic: str, rows: list[LedgerRow]) -> LedgerEntry:
    ranges = tuple(OffsetRange(row.partition, row.first_offset, row.last_offset) for row in rows)
    return LedgerEntry(topic, rows[0].batch_number, ranges, rows[0].row_count)


def batch_ranges(starts: dict[int, int], next_offsets: dict[int, int]) -> tuple[OffsetRange, ...]:
    """Return what a batch has read, without the partitions that gave nothing.

    Args:
        starts: next offset of each partition when the batch began.
        next_offsets: next offset of each partition that gave something, when it was cut.
    """
    ranges = (OffsetRange(p, starts[p], end - 1) for p, end in next_offsets.items())
    return tuple(sorted(found for found in ranges if found.last_offset >= found.first_offset))


def check_positions(topic: str, next_offsets: dict[int, int], ends: dict[int, int]) -> None:
    """Refuse to resume behind the end of a partition: the topic is not the one that was loaded.

    Args:
        topic: full name.
        next_offsets: where the ledger resumes, by partition.
        ends: the offset after the last message, by partition; absent: the partition is gone.

    Raises:
        SettingsError: the topic was created anew, or the stored tables belong to another broker.
    """
    for partition, offset in sorted(next_offsets.items()):
        end = ends.get(partition, 0)
        if offset > end:
            raise SettingsError(
                f"load_ledger of topic {topic}, partition {partition}",
                value=f"resume at offset {offset}",
                allowed=f"at most {end}, the end of the partition",
                cure="the topic was created anew: move the stored tables away, or set "
                "kafka.bootstrap_servers and kafka.topic_prefix to what they were loaded from",
            )


def lost_count(next_offset: int, low_offset: int) -> int:
    """Return how many offsets retention has removed before they were loaded.

    >>> lost_count(5, 9), lost_count(9, 5)
    (4, 0)
    """
    return max(0, low_offset - next_offset)
