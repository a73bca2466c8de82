"""The rows that every job sends to its sink, and rejected messages among them."""

from collections.abc import Iterator
from typing import Any

from pyflink.common import Row
from pyflink.datastream import FlatMapFunction

from schemas.dead_letter import Letter
from udfs.dead_letters import dead_letters
from udfs.frame_bytes import unpack_frames
from udfs.shards import SectionKind


def result_row(topic: str, key: bytes | None, value: bytes | None) -> Row:
    """Return a message without headers; its timestamp will be the time of sending."""
    return Row(topic, key, value, {}, None)


def letter_row(topic: str, letter: Letter) -> Row:
    """Return a dead letter; of headers with one name the sink keeps the first."""
    headers = dict(reversed(letter.headers))
    return Row(topic, letter.key, letter.value, headers, letter.timestamp_ms)


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
            yield letter_row(self.topic, letter)
