"""Lists dead letters, newest last, without their payloads."""

import contextlib
import heapq
import json
from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from jobs.dead_letters_source import DeadLetterLog
from jobs.settings import KafkaSettings
from schemas.dead_letter import rfc3339
from schemas.printable import printable
from sinks.dead_letter_replay import SentBefore
from sinks.dead_letter_summary import LetterFilter, Summary, is_receipt, receipt_of, summary_of

KEY_MAX_CHARS = 60
NAME_MAX_CHARS = 120


@dataclass(frozen=True)
class Listed:
    """The newest letters that are meant.

    Args:
        letters: newest last, each with whether it was sent again.
        matching_count: all that are meant, also those that are not listed.
    """

    letters: list[tuple[Summary, bool]]
    matching_count: int


def list_letters(kafka: KafkaSettings, wanted: LetterFilter, limit: int) -> Listed:
    """Return the newest letters that are meant; in memory are never more than these.

    Raises:
        SettingsError: there is no dead-letter topic.
        Unavailable: Kafka does not answer.
    """
    newest: list[tuple[int, int, int, Summary]] = []
    matching_count = 0
    with contextlib.closing(DeadLetterLog(kafka)) as log:
        sent_before = SentBefore(log.topic)
        for message in log.messages():
            receipt = receipt_of(message)
            if receipt is not None:
                sent_before.add(receipt)
            if is_receipt(message):
                continue
            letter = summary_of(message)
            if wanted.matches(letter):
                matching_count += 1
                place = (letter.timestamp_ms, letter.partition, letter.offset, letter)
                (heapq.heappush if len(newest) < limit else heapq.heappushpop)(newest, place)
    letters = [(letter, sent_before.has(letter)) for *_, letter in sorted(newest)]
    return Listed(letters, matching_count)


_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "position": pl.String,
    "time": pl.Datetime("ms", "UTC"),
    "origin": pl.String,
    "reason": pl.String,
    "detail": pl.String,
    "key": pl.String,
    "bytes": pl.Int64,
    "attempt": pl.Int64,
    "replayed": pl.Boolean,
}


def letter_frame(listed: Listed) -> pl.DataFrame:
    """Return the letters as columns for people, with nothing in them that a terminal obeys."""
    rows = [
        {
            "position": f"{letter.partition}/{letter.offset}",
            "time": letter.timestamp_ms,
            "origin": printable(origin_text(letter), NAME_MAX_CHARS),
            "reason": printable(letter.reason, KEY_MAX_CHARS),
            "detail": printable(letter.detail, NAME_MAX_CHARS),
            "key": printable(key_text(letter), KEY_MAX_CHARS),
            "bytes": letter.value_bytes,
            "attempt": letter.attempt,
            "replayed": was_sent,
        }
        for letter, was_sent in listed.letters
    ]
    return pl.DataFrame(rows, schema=_COLUMNS)


def json_lines(listed: Listed) -> Iterator[str]:
    """Yield one JSON object for each letter, in ASCII."""
    for letter, was_sent in listed.letters:
        yield json.dumps(
            {
                "position": f"{letter.partition}/{letter.offset}",
                "time": rfc3339(letter.timestamp_ms),
                "origin_topic": letter.origin.topic,
                "origin_partition": letter.origin.partition,
                "origin_offset": letter.origin.offset,
                "component": letter.component,
                "reason": letter.reason,
                "detail": letter.detail,
                "key": key_text(letter),
                "bytes": letter.value_bytes,
                "sha256": letter.value_sha256,
                "schema_id": letter.schema_id,
                "tenant": letter.tenant,
                "attempt": letter.attempt,
                "first_failed_at": letter.first_failed_at,
                "is_truncated": letter.is_truncated,
                "replayed": was_sent,
            }
        )


def origin_text(letter: Summary) -> str:
    """Return where a letter came from, in one word."""
    if not letter.has_origin:
        return "unknown"
    return f"{letter.origin.topic}/{letter.origin.partition}/{letter.origin.offset}"


def key_text(letter: Summary) -> str:
    """Return a key as text; what is no UTF-8 shows as escapes."""
    return (letter.key or b"").decode(errors="backslashreplace")
