"""Refuses window deltas whose histogram has other numbers of bins and of counts.

Avro cannot say that two arrays are equally long. The engine says it when it merges two rows of a
key: such a row may land in one table, be refused by a roll-up, and stop later merges of its part.
"""

import polars as pl

from schemas.codec import DecodedBlock, RejectedMessage
from schemas.errors import Reason

DETAIL = "a histogram has other numbers of bins and of counts"


def with_even_histograms(block: DecodedBlock) -> DecodedBlock:
    """Return a block of windows without the messages that have an uneven histogram.

    Args:
        block: decoded messages of windows.
    """
    histogram = pl.col("histogram").struct
    lengths = [histogram.field(name).list.len() for name in ("bins", "counts")]
    is_uneven = block.items.select(is_uneven=lengths[0] != lengths[1])["is_uneven"]
    rows = block.items.filter(is_uneven)["row"].unique()
    return block.without([RejectedMessage(row, Reason.ROW_REFUSED, DETAIL) for row in rows])
