"""What a job sends to its sink, and how it travels there: many messages as one byte string."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import polars as pl

from schemas.dead_letter import Headers, Letter
from udfs.frame_bytes import frame_body, read_body
from udfs.header_columns import HEADERS_TYPE, header_structs, headers_of


class Result(NamedTuple):
    """One message.

    Args:
        topic: name on the broker.
        key: may be None.
        value: None deletes.
        headers: names and values, in order.
        timestamp_ms: UTC; None for the time of sending.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp_ms: int | None = None


_SCHEMA: dict[str, Any] = {
    "topic": pl.String,
    "key": pl.Binary,
    "value": pl.Binary,
    "headers": HEADERS_TYPE,
    "timestamp_ms": pl.Int64,
}


def letter_result(topic: str, letter: Letter) -> Result:
    """Return a dead letter as a message."""
    return Result(topic, letter.key, letter.value, letter.headers, letter.timestamp_ms)


def pack_results(results: Sequence[Result]) -> bytes:
    """Write messages as bytes.

    >>> list(split_results(pack_results([Result("windows", b"t/3", b"x")])))
    [Result(topic='windows', key=b't/3', value=b'x', headers=(), timestamp_ms=None)]
    """
    rows = [{**result._asdict(), "headers": header_structs(result.headers)} for result in results]
    return frame_body(pl.DataFrame(rows, schema=_SCHEMA))


def split_results(packed: bytes) -> Iterator[Result]:
    """Read what `pack_results` wrote."""
    for topic, key, value, headers, timestamp_ms in read_body(packed).iter_rows():
        yield Result(topic, key, value, headers_of(headers), timestamp_ms)
