"""Which dead letters may be sent again, and what is sent: the message and its receipt.

    letter ──may it?──> the original, to its own topic and partition   ┐ one transaction:
                        a receipt, into the letter's own partition     ┘ both, or neither

The receipt makes a replay idempotent: whoever reads the dead letters sees which were sent again.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from schemas.dead_letter import (
    ATTEMPT,
    CONNECT,
    FIRST_FAILED_AT,
    RECEIPT_OF,
    RECEIPT_TIME,
    REPLAY_OF,
    Headers,
    Origin,
    is_reserved,
    rfc3339,
)
from schemas.topics import TOPIC_SPECS, Topic, telemetry_pattern, topic_name
from sinks.dead_letter_summary import Receipt, Summary, summary_of
from sinks.messages import Message
from sinks.position_set import PositionSet


class Hindrance(StrEnum):
    """Why a letter is not sent again."""

    SENT_BEFORE = "were sent again before"
    PARKED = "are parked: sent again as often as --max-attempts allows"
    TRUNCATED = "are cut: only the beginning of the message was kept"
    NO_ORIGIN = "do not say where they came from"
    FOREIGN_TOPIC = "came from a topic that is not of this engine"
    NO_TOPIC = "came from a topic or partition that no longer exists"
    COMPACTED = (
        "came from a compacted topic, where an old record would replace a newer one: "
        "--topic NAME sends them all the same"
    )
    REFUSED = "are refused by the broker, too large with the headers of a replay or without a key"


@dataclass(frozen=True)
class ReplayPolicy:
    """What may be sent again.

    Args:
        prefix: of all topic names.
        partition_counts: of every topic that exists, by full name.
        max_attempts: a letter that was sent again so often is parked.
        named_topic: what `--topic` says; needed for compacted topics.
    """

    prefix: str
    partition_counts: Mapping[str, int]
    max_attempts: int = 3
    named_topic: str | None = None


@dataclass(frozen=True)
class Replay:
    """One letter that is sent again.

    Args:
        letter: as it lies in the dead-letter topic.
        summary: what its headers say.
        dead_letter_topic: full name.
    """

    letter: Message
    summary: Summary
    dead_letter_topic: str

    @property
    def size_bytes(self) -> int:
        """Return about what it takes in memory and on the wire."""
        return self.letter.size_bytes + sum(len(n) + len(v) for n, v in self.letter.headers)

    @property
    def receipt(self) -> Receipt:
        """Return what its receipt will say."""
        letter, summary = self.letter, self.summary
        return Receipt(letter.partition, letter.offset, summary.origin, letter.timestamp_ms)

    def headers(self) -> Headers:
        """Return the headers of the message: the original's and the three of a replay."""
        kept = tuple(pair for pair in self.letter.headers if not is_reserved(pair[0]))
        first_failed_at = self.summary.first_failed_at or rfc3339(self.summary.timestamp_ms)
        letter = f"{self.dead_letter_topic}/{self.letter.partition}/{self.letter.offset}"
        ours = {
            ATTEMPT: str(self.summary.attempt + 1),
            FIRST_FAILED_AT: first_failed_at,
            REPLAY_OF: letter,
        }
        return kept + tuple((name, text.encode()) for name, text in ours.items())

    def receipt_headers(self) -> Headers:
        """Return the headers of the receipt, which say all of it: its value is empty."""
        receipt, origin = self.receipt, self.summary.origin
        texts = {
            RECEIPT_OF: f"{receipt.partition}/{receipt.letter_offset}",
            RECEIPT_TIME: str(receipt.timestamp_ms),
            ATTEMPT: str(self.summary.attempt + 1),
            f"{CONNECT}topic": origin.topic,
            f"{CONNECT}partition": str(origin.partition),
            f"{CONNECT}offset": str(origin.offset),
        }
        return tuple((name, text.encode()) for name, text in texts.items())


def hindrance(letter: Summary, policy: ReplayPolicy) -> Hindrance | None:
    """Return why a letter must not be sent again, or None; what was sent before is not asked."""
    origin = letter.origin
    partition_count = policy.partition_counts.get(origin.topic, 0)
    is_stale = policy.named_topic is None and _is_compacted(origin.topic, policy.prefix)
    checks = (
        (not letter.has_origin, Hindrance.NO_ORIGIN),
        (not is_own_topic(origin.topic, policy.prefix), Hindrance.FOREIGN_TOPIC),
        (origin.partition >= partition_count, Hindrance.NO_TOPIC),
        (letter.is_truncated, Hindrance.TRUNCATED),
        (letter.attempt >= policy.max_attempts, Hindrance.PARKED),
        (is_stale, Hindrance.COMPACTED),
    )
    return next((found for is_hindered, found in checks if is_hindered), None)


def is_own_topic(name: str, prefix: str) -> bool:
    """Say whether a topic is one that this engine reads; the dead letters themselves are not.

    >>> is_own_topic("x.telemetry.acme", "x."), is_own_topic("telemetry", "x.")
    (True, False)
    >>> is_own_topic("x.dead-letters", "x."), is_own_topic("x.__consumer_offsets", "x.")
    (False, False)
    """
    names = {topic_name(topic, prefix) for topic in Topic if topic is not Topic.DEAD_LETTERS}
    return name in names or re.fullmatch(telemetry_pattern(prefix), name) is not None


def _is_compacted(name: str, prefix: str) -> bool:
    return name in {topic_name(spec.topic, prefix) for spec in TOPIC_SPECS if spec.is_compacted}


class SentBefore:
    """Which letters, and which originals, were sent again already.

    A crash of whoever wrote the letters may have left two letters of one original; the second must
    not bring it back a second time. An original is known by its place and its time: a topic that
    was created anew has other messages at the same offsets.

    Args:
        dead_letter_topic: full name.
    """

    def __init__(self, dead_letter_topic: str) -> None:
        self._topic = dead_letter_topic
        self._letters = PositionSet()
        self._originals = PositionSet()

    def add(self, sent: Receipt) -> None:
        """Remember what a receipt says."""
        self._letters.add(self._topic, sent.partition, sent.letter_offset)
        number = _number_of(sent.origin, sent.timestamp_ms)
        self._originals.add(sent.origin.topic, sent.origin.partition, number)

    def has(self, letter: Summary) -> bool:
        """Say whether a letter, or another letter of the same original, was sent again."""
        origin = letter.origin
        number = _number_of(origin, letter.timestamp_ms)
        return self._letters.has(self._topic, letter.partition, letter.offset) or (
            letter.has_origin and self._originals.has(origin.topic, origin.partition, number)
        )


def _number_of(origin: Origin, timestamp_ms: int) -> int:
    """Return 63 bits that stand for an offset and a time: chance does not make two alike."""
    text = f"{origin.offset}/{timestamp_ms}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) >> 1


def replay_of(letter: Message, dead_letter_topic: str) -> Replay:
    """Return what sending a letter again would send."""
    return Replay(letter, summary_of(letter), dead_letter_topic)
