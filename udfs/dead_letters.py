"""Rejected messages become letters: the original as it was, and headers with the cause."""

from collections.abc import Iterator

import polars as pl

from schemas.dead_letter import Letter, Origin, Original, Refusal, dead_letter
from schemas.errors import Reason
from udfs.header_columns import headers_of

STAGE = "VALUE_CONVERTER"


def dead_letters(letters: pl.DataFrame, component: str) -> Iterator[Letter]:
    """Yield each rejected message as a letter.

    Args:
        letters: as `udfs.telemetry_blocks.dead_letter_section` packs them.
        component: the job that refuses them.
    """
    for row in letters.iter_rows(named=True):
        origin = Origin(row["topic"], row["partition"], row["offset"])
        refusal = Refusal(component, STAGE, Reason(row["reason"]), row["detail"])
        headers = headers_of(row["headers"])
        original = Original(row["key"], row["value"], headers, row["append_time_ms"])
        yield dead_letter(origin, refusal, original)
