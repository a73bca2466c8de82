"""Kafka messages as the sinks see them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from schemas.dead_letter import Headers


class Message(NamedTuple):
    """One message as it lies in the log. There are many: a tuple is made in a third of the time.

    Args:
        partition: of the batch's topic.
        offset: in that partition.
        timestamp_ms: the broker's or the producer's, UTC.
        key: None is a null key, which is not an empty one.
        value: None is a tombstone.
        headers: in order; a name may occur twice.
    """

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()

    @property
    def size_bytes(self) -> int:
        """Return the bytes of key and value."""
        return len(self.key or b"") + len(self.value or b"")


@dataclass
class Arrived:
    """What one poll has brought of one topic.

    Args:
        messages: each partition's in offset order; those of which nothing is wanted are left out.
        first_offsets: by partition, of all that was read.
        next_offsets: by partition, the offset after all that was read.
        count: messages that were read.
    """

    messages: list[Message] = field(default_factory=list)
    first_offsets: dict[int, int] = field(default_factory=dict)
    next_offsets: dict[int, int] = field(default_factory=dict)
    count: int = 0

    def add(self, messages: Sequence[Message], read: range, partition: int, count: int) -> None:
        """Append the messages that are wanted of a run of one partition.

        Args:
            messages: of the run.
            read: from the first offset of the run up to the one after its last.
            partition: of the run.
            count: messages of the run, wanted or not.
        """
        self.messages += messages
        self.first_offsets.setdefault(partition, read.start)
        self.next_offsets[partition] = read.stop
        self.count += count
