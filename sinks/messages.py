"""A Kafka message as the sinks see it."""

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
