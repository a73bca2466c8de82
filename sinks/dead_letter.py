"""The searchable columns of dead letters: what their headers say, without the payload."""

import hashlib
from collections.abc import Sequence
from datetime import datetime

import polars as pl

from sinks.dead_letter_summary import UNKNOWN_POSITION, Summary, is_receipt, summary_of
from sinks.messages import Message

KEY_MAX_CHARS = 1024
"""Of a key in the table; the whole key is in the letter."""
NO_SCHEMA_ID = -1


def dead_letter_frame(letters: Sequence[Message]) -> pl.DataFrame:
    """Return the searchable columns of dead letters, one row each, in order; receipts have none."""
    rows = [_row(letter, summary_of(letter)) for letter in letters if not is_receipt(letter)]
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
    "attempt": pl.UInt32,
    "schema_id": pl.Int64,
    "tenant_claimed": pl.String,
    "first_failed_at": pl.Int64,
    "replay_of": pl.String,
}


def _row(letter: Message, summary: Summary) -> dict[str, object]:
    origin = summary.origin
    return {
        "origin_topic": origin.topic,
        "origin_partition": _int32(origin.partition),
        # Without an origin the letter's own position keeps two of them apart in the table's key.
        "origin_offset": origin.offset if origin.topic else letter.offset,
        "stage": summary.stage,
        "component": summary.component,
        "reason": summary.reason,
        "detail": summary.detail,
        "message_key": (letter.key or b"").decode(errors="replace")[:KEY_MAX_CHARS],
        "value_bytes": summary.value_bytes,
        "value_sha256": summary.value_sha256 or hashlib.sha256(letter.value or b"").hexdigest(),
        "dead_partition": letter.partition,
        "dead_offset": letter.offset,
        "timestamp": letter.timestamp_ms,
        "attempt": summary.attempt,
        "schema_id": NO_SCHEMA_ID if summary.schema_id is None else summary.schema_id,
        "tenant_claimed": summary.tenant,
        "first_failed_at": _time_ms(summary.first_failed_at, otherwise=letter.timestamp_ms),
        "replay_of": summary.replay_of,
    }


def _int32(partition: int) -> int:
    """Return a partition, or "unknown" for a number that no partition has."""
    return partition if partition < 2**31 else UNKNOWN_POSITION


def _time_ms(text: str, otherwise: int) -> int:
    """Return an RFC 3339 instant as UTC ms; what is none is replaced.

    >>> _time_ms("2026-01-01T00:00:00.007Z", 0), _time_ms("soon", 5), _time_ms("2026-01-01", 5)
    (1767225600007, 5, 5)
    """
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return otherwise
    return otherwise if instant.tzinfo is None else round(instant.timestamp() * 1000)
