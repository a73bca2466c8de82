"""A batch of rows of one topic: it grows message by message and knows when it is due."""

from dataclasses import dataclass, field

from schemas.tables import TABLE_OF_TOPIC
from schemas.topics import Topic
from sinks.messages import Arrived, Message
from sinks.table_rows import Rows, concat_rows

BLOCK_MAX_BYTES = 4 * 1024 * 1024
"""Of messages that are decoded together: a small block costs almost as much as a large one."""
TELEMETRY_BLOCK_MAX_BYTES = 16 * 1024 * 1024
"""Of telemetry, whose heartbeats are gone before a block is decoded."""


@dataclass(frozen=True)
class BatchPolicy:
    """When a batch is large or old enough to be inserted.

    Args:
        max_rows: of the rows that are decoded.
        max_bytes: of the messages.
        max_age_ms: how long a message may wait, and how often what has been read to its end is
            inserted.
    """

    max_rows: int
    max_bytes: int
    max_age_ms: int


@dataclass
class PendingBatch:
    """Rows of one topic that wait for their insert, and messages that are not decoded yet.

    The limits are checked between polls, so a batch may exceed them by one poll and one block.
    """

    topic: Topic
    positions: dict[int, int]
    """Next offset to read of each partition, when the batch began."""
    opened_ms: int = 0
    """When the batch before this one was inserted."""
    blocks: list[Rows] = field(default_factory=list)
    raw: list[Message] = field(default_factory=list)
    raw_bytes: int = 0
    next_offsets: dict[int, int] = field(default_factory=dict)
    size_bytes: int = 0
    since_ms: int = 0

    @property
    def row_count(self) -> int:
        """Return the rows that are decoded."""
        return sum(block.table.num_rows for block in self.blocks)

    @property
    def is_empty(self) -> bool:
        """Return whether nothing was read since the batch began."""
        return not self.next_offsets

    @property
    def has_block(self) -> bool:
        """Return whether the raw messages are enough for a block."""
        is_telemetry = self.topic is Topic.TELEMETRY
        return self.raw_bytes >= (TELEMETRY_BLOCK_MAX_BYTES if is_telemetry else BLOCK_MAX_BYTES)

    def add(self, arrived: Arrived, now_ms: int) -> None:
        """Append messages, which continue each partition in offset order."""
        if self.is_empty:
            self.since_ms = now_ms
        for partition, offset in arrived.first_offsets.items():
            known = self.next_offsets.get(partition, self.positions[partition])
            assert offset >= known, "a partition was read backwards"
        self.next_offsets |= arrived.next_offsets
        size_bytes = sum(message.size_bytes for message in arrived.messages)
        self.raw += arrived.messages
        self.raw_bytes += size_bytes
        self.size_bytes += size_bytes

    def add_decoded(self, rows: Rows) -> None:
        """Put the rows of all raw messages in their place."""
        self.blocks.append(rows)
        self.raw, self.raw_bytes = [], 0

    def is_due(self, policy: BatchPolicy, now_ms: int, *, is_all_read: bool) -> bool:
        """Return whether the batch has reached a limit.

        Args:
            policy: the limits.
            now_ms: a clock that only rises.
            is_all_read: nothing more has been written yet. Results come with a checkpoint, all at
                once: then there is nothing to wait for, unless inserts would become too frequent.
        """
        since_ms = self.opened_ms if is_all_read else self.since_ms
        return not self.is_empty and (
            self.row_count >= policy.max_rows
            or self.size_bytes >= policy.max_bytes
            or now_ms - since_ms >= policy.max_age_ms
        )

    def rows(self) -> Rows:
        """Return all rows as one table, in the order in which they were read."""
        assert not self.raw, "decode the raw messages first"
        return concat_rows(TABLE_OF_TOPIC[self.topic], self.blocks)
