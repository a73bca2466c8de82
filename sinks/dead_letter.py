"""A dead letter of the loader: the original's headers and ours, and its searchable columns."""

import hashlib
from collections.abc import Sequence

import polars as pl

from schemas.dead_letter_headers import CONNECT, REASON, Origin, Refusal, cause_headers
from sinks.messages import Headers, Message

PAYLOAD_SHA256 = "dlq.payload.sha256"
UNKNOWN_POSITION = -1
POSITION_MAX_DIGITS = 18


def dead_letter_headers(
    origin: Origin, refusal: Refusal, original: Headers, value: bytes
) -> Headers:
    """Return the headers of a dead letter: the original's, then ours where a name is not taken."""
    own = cause_headers(origin, refusal)
    own[PAYLOAD_SHA256] = hashlib.sha256(value).hexdigest()
    taken = {name for name, _ in original}
    added = [(name, text.encode()) for name, text in own.items() if name not in taken]
    return (*original, *added)


def dead_letter_frame(letters: Sequence[Message]) -> pl.DataFrame:
    """Return the searchable columns of dead letters, one row each, in order."""
    rows = [_row(letter) for letter in letters]
    return pl.DataFrame(rows, schema=_SCHEMA)


_SCHEMA = {
    "origin_topic": pl.String,
    "origin_partition": pl.Int32,
    "origin_offset": pl.Int64,
    "stage": pl.String,
    "component": pl.String,
    "reason": pl.String,
    "detail": pl.String,
    "message_key": pl.String,
    "value_bytes": pl.UInt64,
    "value_sha256": pl.String,
    "dead_partition": pl.Int32,
    "dead_offset": pl.Int64,
    "timestamp": pl.Int64,
}


def _row(letter: Message) -> dict[str, object]:
    headers = {name: value.decode(errors="replace") for name, value in letter.headers}
    message = headers.get(f"{CONNECT}exception.message", "")
    origin_offset = _position(headers.get(f"{CONNECT}offset"))
    origin_topic = headers.get(f"{CONNECT}topic", "")
    value = letter.value or b""
    return {
        "origin_topic": origin_topic,
        # Without an origin the letter's own position keeps two of them apart in the table's key.
        "origin_partition": _position(headers.get(f"{CONNECT}partition")),
        "origin_offset": origin_offset if origin_topic else letter.offset,
        "stage": headers.get(f"{CONNECT}stage", ""),
        "component": headers.get(f"{CONNECT}connector.name", ""),
        "reason": headers.get(REASON) or message.partition(":")[0],
        "detail": message.partition(": ")[2],
        "message_key": letter.key.decode(errors="replace"),
        "value_bytes": len(value),
        "value_sha256": hashlib.sha256(value).hexdigest(),
        "dead_partition": letter.partition,
        "dead_offset": letter.offset,
        "timestamp": letter.timestamp_ms,
    }


def _position(text: str | None) -> int:
    """Return a partition or an offset from a header; foreign headers may hold anything.

    >>> _position("17"), _position(None), _position("x")
    (17, -1, -1)
    """
    if text is None or not text.isascii() or not text.isdigit() or len(text) > POSITION_MAX_DIGITS:
        return UNKNOWN_POSITION
    return int(text)
