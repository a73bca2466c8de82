"""Rejected messages for the dead-letter topic: original bytes, and headers with the cause."""

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

CONNECTOR_NAME = "fleetpulse-aggregate"
STAGE = "VALUE_CONVERTER"
ERROR_CLASS = "schemas.errors.Rejected"


@dataclass(frozen=True)
class DeadLetter:
    """One message for the dead-letter topic."""

    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]


def dead_letters(letters: pl.DataFrame) -> Iterator[DeadLetter]:
    """Yield each rejected message with the ten header names that Kafka Connect's tools know.

    Args:
        letters: as `udfs.telemetry_blocks.dead_letter_section` packs them.
    """
    for letter in letters.iter_rows(named=True):
        headers = {
            "__connect.errors.topic": letter["topic"],
            "__connect.errors.partition": str(letter["partition"]),
            "__connect.errors.offset": str(letter["offset"]),
            "__connect.errors.connector.name": CONNECTOR_NAME,
            "__connect.errors.task.id": "0",
            "__connect.errors.stage": STAGE,
            "__connect.errors.class.name": ERROR_CLASS,
            "__connect.errors.exception.class.name": ERROR_CLASS,
            "__connect.errors.exception.message": f"{letter['reason']}: {letter['detail']}",
            "__connect.errors.exception.stacktrace": "",
            "dlq.reason": letter["reason"],
            "dlq.append_time_ms": str(letter["append_time_ms"]),
        }
        encoded = {name: text.encode() for name, text in headers.items()}
        yield DeadLetter(letter["key"], letter["value"], encoded)
