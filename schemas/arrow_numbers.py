"""Numbers of numpy as an Arrow array, nothing copied.

`pa.array` and `pa.scalar` import pandas for a look at their arguments: a second and 60 MB that a
process without pandas does not need.
"""

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

Numbers = npt.NDArray[np.int32 | np.int64 | np.uint32 | np.uint64 | np.float64]

ARROW_TYPES = {
    "int32": pa.int32(),
    "int64": pa.int64(),
    "uint32": pa.uint32(),
    "uint64": pa.uint64(),
    "float64": pa.float64(),
}


def arrow_numbers(values: Numbers) -> pa.Array:
    """Return numbers as an Arrow array without nulls.

    >>> arrow_numbers(np.array([3, 4], np.int32)).to_pylist()
    [3, 4]
    """
    contiguous = np.ascontiguousarray(values)
    buffers = [None, pa.py_buffer(contiguous)]
    return pa.Array.from_buffers(ARROW_TYPES[contiguous.dtype.name], len(contiguous), buffers)


def list_column(items: pa.Array, counts: npt.NDArray[np.int64]) -> pl.Series:
    """Return items that lie in order as a column of lists, of so many each.

    >>> list_column(arrow_numbers(np.array([3, 4, 5], np.int64)), np.array([2, 0, 1])).to_list()
    [[3, 4], [], [5]]
    """
    offsets = arrow_numbers(np.concatenate([[0], np.cumsum(counts)]))
    return pl.Series(pl.from_arrow(pa.LargeListArray.from_arrays(offsets, items)))
