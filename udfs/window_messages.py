"""Window deltas as WindowDeltas messages for the `windows` topic."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from schemas.records import encode_record
from schemas.topics import Topic
from udfs.windows import SQUARE_LARGE_SHIFT

ROWS_MAX_COUNT = 5_000
"""Rows in one message; a row is about 200 bytes, so a message stays near the 1 MiB limit."""


@dataclass(frozen=True)
class Message:
    """One Kafka message."""

    key: bytes
    value: bytes


def window_messages(deltas: pl.DataFrame, shard: int, schema_id: int) -> Iterator[Message]:
    """Pack a shard's deltas, per tenant, into messages of bounded size.

    Args:
        deltas: as `udfs.windows.window_deltas` returns them.
        shard: of which the deltas are; part of the key.
        schema_id: under which WindowDeltas is registered.
    """
    for tenant in deltas.partition_by("tenant_id"):
        key = f"{tenant['tenant_id'][0]}/{shard}".encode()
        for part in tenant.iter_slices(ROWS_MAX_COUNT):
            rows = [_record(row) for row in part.iter_rows(named=True)]
            yield Message(key, encode_record(Topic.WINDOWS, {"rows": rows}, schema_id))


def _record(row: dict[str, Any]) -> dict[str, Any]:
    square = row.pop("square_small") + (row.pop("square_large") << SQUARE_LARGE_SHIFT)
    row["sum_sq_fixed"] = square.to_bytes(32, "little", signed=True)
    row["sum_fixed"] = row["sum_fixed"].to_bytes(16, "little", signed=True)
    row["histogram"] = {"bins": row.pop("bins"), "counts": row.pop("bin_counts")}
    return row
