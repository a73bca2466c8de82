"""Shows one dead letter whole: its headers, a preview of its bytes, its record where there is one.

The bytes are hostile until shown otherwise: the record is decoded by the same guarded block decode
as telemetry, and nothing is printed that a terminal would obey.
"""

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jobs.dead_letters_list import origin_text
from jobs.dead_letters_source import DeadLetterLog
from jobs.settings import Settings
from schemas.codec import decode_messages
from schemas.dead_letter import rfc3339
from schemas.errors import FleetpulseError, SettingsError
from schemas.printable import printable
from schemas.records import SCHEMA_FILES
from schemas.registry import SchemaRegistry
from schemas.topics import Topic, topic_name
from sinks.dead_letter_replay import SentBefore
from sinks.dead_letter_summary import Summary, is_receipt, receipt_of, summary_of
from sinks.messages import Message

PREVIEW_BYTES = 256
ROW_BYTES = 16
NOT_SHOWN = re.compile(rb"[^ -~]")
HEADER_MAX_CHARS = 1000
RECORD_MAX_CHARS = 4000
ITEMS_MAX_COUNT = 20


def show_letter(settings: Settings, partition: int, offset: int, out: Path | None) -> Iterator[str]:
    """Yield the lines about one letter; write its bytes to a file when one is named.

    Raises:
        SettingsError: there is no letter at this position.
        Unavailable: Kafka does not answer.
    """
    with contextlib.closing(DeadLetterLog(settings.kafka)) as log:
        letter = log.message_at(partition, offset)
        if letter is None or is_receipt(letter):
            raise _nothing_there(letter, partition, offset)
        summary = summary_of(letter)
        yield from _account_lines(summary, was_sent=_was_sent(log, summary))
    yield from _header_lines(letter)
    yield from preview_lines(letter.value)
    yield from _record_lines(settings, letter, summary)
    if out is not None:
        out.write_bytes(letter.value or b"")
        cut = " (only the beginning was kept)" if summary.is_truncated else ""
        yield f"{len(letter.value or b'')} bytes are in {out}{cut}"


def _nothing_there(found: Message | None, partition: int, offset: int) -> SettingsError:
    receipt = None if found is None else receipt_of(found)
    what = "nothing, or the end of a transaction"
    if found is not None:
        what = "a receipt of a replay"
    if receipt is not None:
        what += f" of {receipt.partition}/{receipt.letter_offset}"
    return SettingsError(
        "POSITION",
        value=f"{partition}/{offset}",
        allowed=f"the position of a dead letter; here is {what}",
        cure="take a position from `fleetpulse dead-letters list`",
    )


def _was_sent(log: DeadLetterLog, letter: Summary) -> bool:
    """Say whether a receipt follows: it lies in the letter's own partition, behind it."""
    sent = SentBefore(log.topic)
    for message in log.messages(letter.partition, letter.offset + 1):
        receipt = receipt_of(message)
        if receipt is not None:
            sent.add(receipt)
            if sent.has(letter):
                return True
    return False


def _account_lines(letter: Summary, *, was_sent: bool) -> Iterator[str]:
    yield f"position  {letter.partition}/{letter.offset}"
    yield f"time      {rfc3339(letter.timestamp_ms)}"
    yield f"origin    {printable(origin_text(letter), HEADER_MAX_CHARS)}"
    yield f"reason    {printable(f'{letter.reason}: {letter.detail}', HEADER_MAX_CHARS)}"
    key = "null" if letter.key is None else byte_text(letter.key)
    yield f"key       {printable(key, HEADER_MAX_CHARS)}"
    yield f"attempt   {letter.attempt}" + (", sent again since" if was_sent else "")
    yield f"size      {letter.value_bytes:,} bytes" + (", cut" if letter.is_truncated else "")


def _header_lines(letter: Message) -> Iterator[str]:
    yield "headers"
    for name, value in letter.headers:
        shown = printable(byte_text(value), HEADER_MAX_CHARS)
        yield f"  {printable(name, HEADER_MAX_CHARS)}: {shown}"


def byte_text(value: bytes) -> str:
    r"""Return bytes as text; what is no UTF-8 shows as escapes.

    >>> print(byte_text(b"a\xff"))
    a\xff
    """
    return value.decode(errors="backslashreplace")


def preview_lines(value: bytes | None) -> Iterator[str]:
    r"""Yield the beginning of a value as hexadecimal and as text.

    >>> for line in preview_lines(b"\x00\x00\x00\x00\x07caf\xc3\xa9\x1b[2J"):
    ...     print(line)
    value
      0000  00 00 00 00 07 63 61 66 c3 a9 1b 5b 32 4a        .....caf...[2J
    """
    if value is None:
        yield "value     null (a tombstone)"
        return
    yield "value"
    shown = value[:PREVIEW_BYTES]
    for start in range(0, len(shown), ROW_BYTES):
        row = shown[start : start + ROW_BYTES]
        text = NOT_SHOWN.sub(b".", row).decode("ascii")
        yield f"  {start:04x}  {row.hex(' '):<{3 * ROW_BYTES}}  {text}"
    if len(value) > PREVIEW_BYTES:
        yield f"  and {len(value) - PREVIEW_BYTES:,} bytes more; --out FILE writes them all"


def _record_lines(settings: Settings, letter: Message, summary: Summary) -> Iterator[str]:
    topic = topic_of(summary.origin.topic, settings.kafka.topic_prefix)
    if topic is None or summary.schema_id is None or letter.value is None:
        return
    registry = SchemaRegistry(settings.registry.url, settings.registry.timeout_s)
    try:
        block = decode_messages(topic, [letter.value], registry.schema_by_id)
    except FleetpulseError as error:
        yield f"record    cannot be decoded now: {printable(str(error), HEADER_MAX_CHARS)}"
        return
    finally:
        registry.close()
    if block.rejected:
        found = block.rejected[0]
        yield f"record    does not decode: {found.reason}: {printable(found.detail)}"
        return
    yield "record    decodes with its registered schema"
    record = block.messages.drop("row", strict=False).to_dicts()[0]
    yield f"  {_json(record)}"
    for item in block.items.head(ITEMS_MAX_COUNT).drop("row", strict=False).to_dicts():
        yield f"  {_json(item)}"
    if block.items.height > ITEMS_MAX_COUNT:
        yield f"  and {block.items.height - ITEMS_MAX_COUNT:,} more"


def topic_of(name: str, prefix: str) -> Topic | None:
    """Return the topic whose schema a message of a full topic name follows; None for a foreign one.

    >>> topic_of("x.telemetry.acme", "x.").value, topic_of("telemetry", "x.")
    ('telemetry', None)
    """
    if name.startswith(f"{topic_name(Topic.TELEMETRY, prefix)}."):
        return Topic.TELEMETRY
    return next((topic for topic in SCHEMA_FILES if topic_name(topic, prefix) == name), None)


def _json(record: dict[str, Any]) -> str:
    text = json.dumps({k: v for k, v in record.items() if v is not None}, default=str)
    return printable(text, RECORD_MAX_CHARS)
