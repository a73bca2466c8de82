"""What makes a point of a batch without sequence the same as another: a hash, stable for good.

The series (device, name, tags) is hashed as text, once for each distinct one, and its hash mixed
with the timestamp. The value takes no part: a point that comes again with another value is the
same point.
"""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import xxhash

IDENTITY = "identity"

Hashes: TypeAlias = npt.NDArray[np.uint64]


def with_identity(points: pl.DataFrame, batches: pl.DataFrame) -> pl.DataFrame:
    """Add the column `identity` (u64, null where the batch has a sequence).

    Blocks in which every batch has a sequence, as all but old firmware sends, stay as they are.

    Args:
        points: row (of its batch), name, timestamp, tags.
        batches: row, sequence, device_hash.
    """
    unnumbered = batches.filter(pl.col("sequence").is_null()).select("row", "device_hash")
    if unnumbered.is_empty():
        return points
    indexed = points.with_row_index("index")
    told = indexed.join(unnumbered, on="row", how="inner", maintain_order="left")
    identity = told.select("index", pl.Series(IDENTITY, _point_hashes(told), dtype=pl.UInt64))
    return indexed.join(identity, on="index", how="left", maintain_order="left").drop("index")


def _point_hashes(points: pl.DataFrame) -> Hashes:
    """Hash points; columns device_hash, name, tags, timestamp."""
    tag = pl.element().struct
    key, text = tag.field("key"), tag.field("value")
    # With their lengths, so that no two sets of tags are the same text; sorted, as a map has no
    # order.
    tag_text = pl.format("{}:{}:{}{}", key.str.len_bytes(), text.str.len_bytes(), key, text)
    tags = pl.col("tags").list.eval(tag_text).list.sort().list.join("")
    series = points.select("device_hash", "name", tags.alias("tags"))
    distinct = series.unique()
    hashes = [_series_hash(*row) for row in distinct.iter_rows()]
    coded = distinct.with_columns(series_hash=pl.Series(hashes, dtype=pl.UInt64))
    joined = series.join(coded, on=["device_hash", "name", "tags"], maintain_order="left")
    times = points["timestamp"].to_numpy().view(np.uint64)
    return mixed(joined["series_hash"].to_numpy() ^ mixed(times))


def _series_hash(device_hash: int, name: str, tags: str) -> int:
    return xxhash.xxh3_64_intdigest(f"{len(name)}:{name}{tags}".encode(), seed=device_hash)


def mixed(numbers: npt.NDArray[Any]) -> Hashes:
    """Spread numbers over all 64 bits, one to one; the same in every release.

    References:
        Steele, Lea, Flood 2014, Fast splittable pseudorandom number generators (SplitMix64).

    >>> mixed(np.array([0, 1], np.uint64)).tolist()
    [0, 6238072747940578789]
    """
    state = numbers.astype(np.uint64)
    state = (state ^ state >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ state >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return np.asarray(state ^ state >> np.uint64(31), np.uint64)
