"""A batch of rows of one topic: it grows block by block and knows when it is due."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from schemas.tables import TABLE_OF_TOPIC
from schemas.topics import Topic
from sinks.messages import Message
from sinks.table_rows import Rows, concat_rows


@dataclass(frozen=True)
class BatchPolicy:
    """When a batch is large or old enough to be inserted."""

    max_rows: int
    max_bytes: int
    max_age_ms: int


@dataclass
class PendingBatch:
    """Decoded rows of one topic that wait for their insert.

    The limits are checked between blocks, so a batch may exceed them by one block.
    """

    topic: Topic
    positions: dict[int, int]
    """Next offset to read of each partition, when the batch began."""
    blocks: list[Rows] = field(default_factory=list)
    next_offsets: dict[int, int] = field(default_factory=dict)
    size_bytes: int = 0
    since_ms: int = 0

    @property
    def row_count(self) -> int:
        """Return the rows that the insert will have."""
        return sum(block.table.num_rows for block in self.blocks)

    @property
    def is_empty(self) -> bool:
        """Return whether nothing was read since the batch began."""
        return not self.next_offsets

    def add(self, rows: Rows, messages: Sequence[Message], now_ms: int) -> None:
        """Append the rows of a block; its messages continue each partition in offset order."""
        if self.is_empty:
            self.since_ms = now_ms
        for message in messages:
            known = self.next_offsets.get(message.partition, self.positions[message.partition])
            assert message.offset >= known, "a partition was read backwards"
            self.next_offsets[message.partition] = message.offset + 1
        self.blocks.append(rows)
        self.size_bytes += sum(message.size_bytes for message in messages)

    def is_due(self, policy: BatchPolicy, now_ms: int) -> bool:
        """Return whether the batch has reached a limit."""
        return not self.is_empty and (
            self.row_count >= policy.max_rows
            or self.size_bytes >= policy.max_bytes
            or now_ms - self.since_ms >= policy.max_age_ms
        )

    def rows(self) -> Rows:
        """Return all rows as one table, in the order in which they were read."""
        return concat_rows(TABLE_OF_TOPIC[self.topic], self.blocks)
