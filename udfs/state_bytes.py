"""State as versioned bytes: one documented header, then Arrow IPC frames; never pickle.

Layout, little-endian:

    magic   4 bytes   b"FPS1"
    version u16       version of the state's own layout, given by its owner
    meta    u32 size, then JSON (scalars that are not columns)
    frames  as in `udfs/frame_bytes.py`
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import polars as pl

from udfs.frame_bytes import pack_frames, unpack_frames

MAGIC = b"FPS1"
STATE_MAX_BYTES = 256 * 1024 * 1024


class StateLayoutError(ValueError):
    """Stored state is not ours, or of a version this release cannot restore."""


@dataclass(frozen=True)
class PackedState:
    """What was packed: the layout version, the scalars and the columns."""

    version: int
    meta: dict[str, Any]
    frames: dict[str, pl.DataFrame]


def pack_state(version: int, frames: Mapping[str, pl.DataFrame], meta: Mapping[str, Any]) -> bytes:
    """Write scalars and frames as bytes that any later release can tell apart.

    >>> state = pack_state(1, {"seen": pl.DataFrame({"n": [3]})}, {"clock_ms": 7})
    >>> unpack_state(state).frames["seen"]["n"].to_list(), unpack_state(state).meta
    ([3], {'clock_ms': 7})
    """
    meta_bytes = orjson.dumps(dict(meta), option=orjson.OPT_NON_STR_KEYS)
    header = MAGIC + struct.pack("<HI", version, len(meta_bytes)) + meta_bytes
    packed = header + pack_frames(frames)
    assert len(packed) <= STATE_MAX_BYTES, "one shard's state must stay small: raise shard_count"
    return packed


def packed_values(values: Mapping[str, Any]) -> Any:
    """Return scalars that `pack_state` takes as part of its meta without packing them again."""
    return orjson.Fragment(orjson.dumps(dict(values), option=orjson.OPT_NON_STR_KEYS))


def unpack_state(packed: bytes) -> PackedState:
    """Read what `pack_state` wrote.

    Raises:
        StateLayoutError: the bytes do not start with the magic.
    """
    if packed[:4] != MAGIC:
        raise StateLayoutError("stored state does not start with FPS1")
    version, meta_size = struct.unpack_from("<HI", packed, 4)
    meta = orjson.loads(packed[10 : 10 + meta_size])
    return PackedState(version, meta, unpack_frames(packed[10 + meta_size :]))
