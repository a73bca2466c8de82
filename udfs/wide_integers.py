"""Integers of 128 and 256 bits as bytes, a column at a time.

An integer is its limbs: 64 bits each, the lowest first, two's complement. In memory they are the
little-endian bytes that the `windows` topic and the tables use.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.avro_bytes import fixed_width

Limbs = NDArray[np.uint64]

LIMB_BITS = 64
LOW_LIMB = 2**LIMB_BITS - 1


def limbs_128(table: pl.DataFrame, names: Sequence[str]) -> dict[str, Limbs]:
    """Return the limbs of integers, shape (n, 2), by column.

    Args:
        table: has these columns.
        names: of columns of Int128 without nulls.
    """
    # One call for all columns: of small blocks each costs more than the arithmetic.
    low = pl.col(names) & pl.lit(LOW_LIMB, pl.Int128)
    high = pl.col(names) // pl.lit(2**LIMB_BITS, pl.Int128)
    limbs = table.select(
        low.cast(pl.UInt64), high.cast(pl.Int64).reinterpret(signed=False).name.suffix("_high")
    )
    return {
        name: np.stack([limbs[name].to_numpy(), limbs[f"{name}_high"].to_numpy()], axis=1)
        for name in names
    }


def add_shifted(number: Limbs, other: Limbs, shift: int) -> Limbs:
    """Return number + (other << shift) in 256 bits, shape (n, 4).

    Args:
        number: of 128 bits, shape (n, 2).
        other: same.
        shift: bits, in 1-63.
    """
    assert 0 < shift < LIMB_BITS, f"a shift of {shift} bits is not within one limb"
    left, right = _widened(number), _widened(other)
    if not other.any():
        return left
    up, down = np.uint64(shift), np.uint64(LIMB_BITS - shift)
    carry = np.zeros(len(number), np.uint64)
    total = np.empty_like(left)
    for i in range(left.shape[1]):
        shifted = right[:, i] << up
        if i > 0:
            shifted |= right[:, i - 1] >> down
        partial = left[:, i] + shifted
        total[:, i] = partial + carry
        # At most one of the two sums wraps: a wrapped one is at most 2^64 - 2.
        carry = ((partial < shifted) | (total[:, i] < partial)).astype(np.uint64)
    return total


def little_endian(number: Limbs) -> pl.Series:
    """Return integers as Binary, 8 bytes a limb."""
    return fixed_width(np.ascontiguousarray(number, "<u8").view(np.uint8)).to_series()


def _widened(number: Limbs) -> Limbs:
    """Return 128 bits as 256, the sign in the upper limbs."""
    sign = (number[:, 1].view(np.int64) >> (LIMB_BITS - 1)).view(np.uint64)
    return np.stack([number[:, 0], number[:, 1], sign, sign], axis=1)
