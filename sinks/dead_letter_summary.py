"""What the headers of a dead letter say, read tolerantly; and the receipts of replays."""

import re
from dataclasses import dataclass

from schemas.dead_letter import (
    ATTEMPT,
    CONNECT,
    FIRST_FAILED_AT,
    KEY_TRUNCATED,
    PAYLOAD_SHA256,
    REASON,
    RECEIPT_OF,
    RECEIPT_TIME,
    REPLAY_OF,
    SCHEMA_ID,
    TENANT_CLAIMED,
    TRUNCATED,
    Origin,
)
from schemas.topics import Topic, topic_name
from sinks.messages import Message

UNKNOWN_POSITION = -1
POSITION_MAX_DIGITS = 18
ATTEMPT_MAX_DIGITS = 6
RECEIPT = re.compile(r"([0-9]{1,10})/([0-9]{1,18})")
TIME = re.compile(r"-?[0-9]{1,18}")


@dataclass(frozen=True)
class Summary:
    """One dead letter without its payload.

    Args:
        partition: of the dead-letter topic.
        offset: in that partition.
        timestamp_ms: append time of the original, UTC.
        origin: topic empty, partition and offset -1 where the headers do not say.
        value_bytes: size of the original value, also when it is cut here.
        value_sha256: of the whole original value, hexadecimal; empty when the headers do not say.
        schema_id: None when the value had no wire header.
        tenant: that the key claims; empty when none.
        attempt: how often it was sent again before.
        first_failed_at: RFC 3339; empty when the headers do not say.
        replay_of: TOPIC/PARTITION/OFFSET of the earlier letter; empty when it was no replay.
        is_truncated: whether value or key is only a beginning.
    """

    partition: int
    offset: int
    timestamp_ms: int
    origin: Origin
    stage: str
    component: str
    reason: str
    detail: str
    key: bytes | None
    value_bytes: int
    value_sha256: str
    schema_id: int | None
    tenant: str
    attempt: int
    first_failed_at: str
    replay_of: str
    is_truncated: bool

    @property
    def has_origin(self) -> bool:
        """Return whether the headers say where the original lay."""
        origin = self.origin
        return bool(origin.topic) and min(origin.partition, origin.offset) >= 0


@dataclass(frozen=True)
class Receipt:
    """The note that a letter was sent again; it lies in the letter's own partition.

    Args:
        partition: of the letter, and of the receipt.
        letter_offset: of the letter in that partition.
        origin: of the letter, so that a second letter of the same message is known, too.
        timestamp_ms: of letter and original, UTC.
    """

    partition: int
    letter_offset: int
    origin: Origin
    timestamp_ms: int


@dataclass(frozen=True)
class LetterFilter:
    """Which letters are meant; None or empty means any.

    Args:
        prefix: of all topic names.
        topic: origin, with or without the prefix.
        since_ms: inclusive, UTC.
        until_ms: exclusive, UTC.
    """

    prefix: str = ""
    reason: str | None = None
    topic: str | None = None
    tenant: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None

    def matches(self, letter: Summary) -> bool:
        """Say whether a letter is one of those."""
        return (
            self.reason in (None, letter.reason)
            and (self.topic is None or letter.origin.topic in (self.topic, self._full_name))
            and (self.tenant is None or self._is_of_tenant(letter))
            and (self.since_ms is None or letter.timestamp_ms >= self.since_ms)
            and (self.until_ms is None or letter.timestamp_ms < self.until_ms)
        )

    @property
    def _full_name(self) -> str:
        return f"{self.prefix}{self.topic}"

    def _is_of_tenant(self, letter: Summary) -> bool:
        own_topic = f"{topic_name(Topic.TELEMETRY, self.prefix)}.{self.tenant}"
        return letter.tenant == self.tenant or letter.origin.topic == own_topic


def summary_of(letter: Message) -> Summary:
    """Read the headers of a letter; a foreign one may lack any of them, or hold anything."""
    headers = {name: value.decode(errors="replace") for name, value in letter.headers}
    message = headers.get(f"{CONNECT}exception.message", "")
    size = number_of(headers.get(TRUNCATED))
    return Summary(
        partition=letter.partition,
        offset=letter.offset,
        timestamp_ms=letter.timestamp_ms,
        origin=_origin(headers),
        stage=headers.get(f"{CONNECT}stage", ""),
        component=headers.get(f"{CONNECT}connector.name", ""),
        reason=headers.get(REASON) or message.partition(":")[0],
        detail=message.partition(": ")[2],
        key=letter.key,
        value_bytes=len(letter.value or b"") if size is None else size,
        value_sha256=headers.get(PAYLOAD_SHA256, ""),
        schema_id=number_of(headers.get(SCHEMA_ID)),
        tenant=headers.get(TENANT_CLAIMED, ""),
        attempt=number_of(headers.get(ATTEMPT), ATTEMPT_MAX_DIGITS) or 0,
        first_failed_at=headers.get(FIRST_FAILED_AT, ""),
        replay_of=headers.get(REPLAY_OF, ""),
        is_truncated=TRUNCATED in headers or KEY_TRUNCATED in headers,
    )


def is_receipt(message: Message) -> bool:
    """Say whether a message of the dead-letter topic is no letter but a receipt."""
    return any(name == RECEIPT_OF for name, _ in message.headers)


def receipt_of(message: Message) -> Receipt | None:
    """Return what a receipt says; None for a letter, and for a receipt that cannot be read."""
    headers = {name: value.decode(errors="replace") for name, value in message.headers}
    found = RECEIPT.fullmatch(headers.get(RECEIPT_OF, ""))
    time_ms = TIME.fullmatch(headers.get(RECEIPT_TIME, ""))
    if found is None or time_ms is None:
        return None
    return Receipt(int(found[1]), int(found[2]), _origin(headers), int(time_ms[0]))


def _origin(headers: dict[str, str]) -> Origin:
    partition = number_of(headers.get(f"{CONNECT}partition"))
    offset = number_of(headers.get(f"{CONNECT}offset"))
    return Origin(
        topic=headers.get(f"{CONNECT}topic", ""),
        partition=UNKNOWN_POSITION if partition is None else partition,
        offset=UNKNOWN_POSITION if offset is None else offset,
    )


def number_of(text: str | None, max_digits: int = POSITION_MAX_DIGITS) -> int | None:
    """Return a number from a header; None when there is none.

    >>> number_of("17"), number_of(None), number_of("x"), number_of("9" * 19)
    (17, None, None, None)
    """
    if text is None or not text.isascii() or not text.isdigit() or len(text) > max_digits:
        return None
    return int(text)
