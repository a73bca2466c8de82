"""State as versioned bytes: one documented header, then Arrow IPC frames; never pickle.

Layout, little-endian:

    magic   4 bytes   b"FPS1"
    version u16       version of the state's own layout, given by its owner
    meta    u32 size, then JSON (scalars that are not columns)
    frames  u16 count, then for each: u16 name size, name, u32 body size, Arrow IPC stream
"""

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import polars as pl

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
    parts = [MAGIC, struct.pack("<HI", version, len(meta_bytes)), meta_bytes]
    parts.append(struct.pack("<H", len(frames)))
    for name, frame in frames.items():
        body = io.BytesIO()
        frame.write_ipc_stream(body)
        encoded = name.encode()
        parts += [struct.pack("<H", len(encoded)), encoded, struct.pack("<I", body.tell())]
        parts.append(body.getvalue())
    packed = b"".join(parts)
    assert len(packed) <= STATE_MAX_BYTES, "one shard's state must stay small: raise shard_count"
    return packed


def unpack_state(packed: bytes) -> PackedState:
    """Read what `pack_state` wrote.

    Raises:
        StateLayoutError: the bytes do not start with the magic.
    """
    if packed[:4] != MAGIC:
        raise StateLayoutError("stored state does not start with FPS1")
    version, meta_size = struct.unpack_from("<HI", packed, 4)
    at = 10 + meta_size
    meta = orjson.loads(packed[10:at])
    (frame_count,) = struct.unpack_from("<H", packed, at)
    at += 2
    frames: dict[str, pl.DataFrame] = {}
    for _ in range(frame_count):
        name, body, at = _read_frame(packed, at)
        frames[name] = pl.read_ipc_stream(io.BytesIO(body))
    return PackedState(version, meta, frames)


def _read_frame(packed: bytes, at: int) -> tuple[str, bytes, int]:
    (name_size,) = struct.unpack_from("<H", packed, at)
    name = packed[at + 2 : at + 2 + name_size].decode()
    at += 2 + name_size
    (body_size,) = struct.unpack_from("<I", packed, at)
    return name, packed[at + 4 : at + 4 + body_size], at + 4 + body_size
