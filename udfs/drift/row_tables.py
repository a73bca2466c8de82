"""Rows of a table out and back in: one record a stream, as plain bytes while they are moved."""

from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from udfs.partition_clocks import Bools, Int64s
from udfs.state_bytes import StateLayoutError

Rows: TypeAlias = NDArray[Any]
"""A structured array, one record a stream."""


def gather(table: Rows, places: Int64s | Bools) -> Rows:
    """Return copies of some rows, as numpy's own indexing does.

    Field by field, as numpy copies records, it takes 730 ns a row of 117 bytes; as bytes 30.

    >>> table = np.array([(1, 2.0), (3, 4.0)], [("count", "<u4"), ("mean", "<f8")])
    >>> gather(table, np.array([1])).tolist()
    [(3, 4.0)]
    """
    return _as_bytes(table)[places].view(table.dtype)


def scatter(table: Rows, places: Int64s | Bools, rows: Rows) -> None:
    """Put rows back where `gather` took them from, or others of the same layout.

    >>> table = np.zeros(2, [("count", "<u4")])
    >>> scatter(table, np.array([1]), np.ones(1, table.dtype))
    >>> table["count"].tolist()
    [0, 1]
    """
    assert rows.dtype == table.dtype
    _as_bytes(table)[places] = _as_bytes(rows)


def table_frame(table: Rows) -> pl.DataFrame:
    """Return a table as a frame for `pack_state`: its layout in words, and its bytes.

    >>> table = np.array([(1, 2.0)], [("count", "<u4"), ("mean", "<f8")])
    >>> table_of(table_frame(table), table.dtype).tolist()
    [(1, 2.0)]
    """
    columns = {"layout": [layout_of(table.dtype)], "rows": [table.tobytes()]}
    return pl.DataFrame(columns, {"layout": pl.String, "rows": pl.Binary})


def table_of(frame: pl.DataFrame, dtype: np.dtype[Any]) -> Rows:
    """Return the table that `table_frame` wrote.

    Raises:
        StateLayoutError: it was of another layout.
    """
    (layout,) = frame["layout"]
    if layout != layout_of(dtype):
        raise StateLayoutError(f"rows of {layout}, not of {layout_of(dtype)}")
    return np.frombuffer(frame["rows"][0], dtype).copy()


def layout_of(dtype: np.dtype[Any]) -> str:
    """Name the fields of a record and their types.

    >>> layout_of(np.dtype([("count", "<u4"), ("mean", "<f8")]))
    "[('count', '<u4'), ('mean', '<f8')]"
    """
    return str(dtype.descr)


def _as_bytes(table: Rows) -> Rows:
    return table.view(np.dtype((np.void, table.dtype.itemsize)))
