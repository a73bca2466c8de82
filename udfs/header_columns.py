"""Headers of messages as a column: names and values in order, a name may occur twice."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from schemas.dead_letter import Headers

HEADERS_TYPE = pl.List(pl.Struct({"name": pl.String, "value": pl.Binary}))

Structs = list[dict[str, str | bytes]]
"""A value of the column."""


def header_structs(headers: Headers) -> Structs:
    """Return a message's headers as a value of the column.

    >>> headers_of(header_structs((("trace", b"1"),)))
    (('trace', b'1'),)
    """
    return [{"name": name, "value": value} for name, value in headers]


def headers_of(structs: Sequence[Mapping[str, Any]]) -> Headers:
    """Return the headers that a value of the column holds."""
    return tuple((header["name"], header["value"]) for header in structs)
