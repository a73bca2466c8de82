"""Rejected messages for the dead-letter topic: original bytes, and headers with the cause."""

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from schemas.dead_letter_headers import Origin, Refusal, cause_headers
from schemas.errors import Reason

COMPONENT = "fleetpulse-aggregate"
STAGE = "VALUE_CONVERTER"


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
        origin = Origin(letter["topic"], letter["partition"], letter["offset"])
        refusal = Refusal(COMPONENT, STAGE, Reason(letter["reason"]), letter["detail"])
        headers = cause_headers(origin, refusal)
        headers["dlq.append_time_ms"] = str(letter["append_time_ms"])
        encoded = {name: text.encode() for name, text in headers.items()}
        yield DeadLetter(letter["key"], letter["value"], encoded)
