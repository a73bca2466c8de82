"""The rows that every job sends to its sink, and rejected messages among them."""

from collections.abc import Iterator
from typing import Any

from pyflink.common import Row
from pyflink.datastream import FlatMapFunction

from schemas.records import encode_record
from schemas.topics import Topic
from udfs.alerts import AlertRecord
from udfs.dead_letters import dead_letters
from udfs.frame_bytes import unpack_frames
from udfs.results import Result, letter_result, split_results
from udfs.shards import SectionKind


def result_row(result: Result) -> Row:
    """Return a message as a row; of headers with one name the sink keeps the first."""
    headers = dict(reversed(result.headers))
    return Row(result.topic, result.key, result.value, headers, result.timestamp_ms)


def alert_row(topic: str, schema_id: int, event: AlertRecord, now_ms: int) -> Row:
    """Return an event as a row of the alerts topic, stamped with the wall clock.

    Args:
        topic: name on the broker.
        schema_id: under which AlertEvent is registered.
        event: without emitted_at.
        now_ms: UTC ms.
    """
    key = f"{event['tenant_id']}/{event['subject']}".encode()
    record = encode_record(Topic.ALERTS, event | {"emitted_at": now_ms}, schema_id)
    return result_row(Result(topic, key, record))


def result_rows(packed: Any) -> Iterator[Row]:
    """Yield the rows of a value of `udfs.sum_function.SumBlocks`."""
    for result in split_results(bytes(packed[0])):
        yield result_row(result)


class SendLetters(FlatMapFunction):
    """Turns the dead-letter sections of blocks into rows; other sections are none of its business.

    Args:
        topic: name of the dead-letter topic on the broker.
        component: the job that refuses the messages.
    """

    def __init__(self, topic: str, component: str) -> None:
        self.topic = topic
        self.component = component

    def flat_map(self, value: Any) -> Iterator[Row]:
        """Send one section."""
        if SectionKind(value[1]) is not SectionKind.DEAD_LETTERS:
            return
        letters = unpack_frames(bytes(value[2]))["letters"]
        for letter in dead_letters(letters, self.component):
            yield result_row(letter_result(self.topic, letter))
