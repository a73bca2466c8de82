"""Several data frames as one byte string: how blocks travel between operators and state is kept.

Layout, little-endian: u16 count, then for each frame u16 name size, name, u32 body size, Arrow IPC
stream.
"""

import io
import struct
from collections.abc import Mapping

import polars as pl


def pack_frames(frames: Mapping[str, pl.DataFrame]) -> bytes:
    """Write named frames as bytes.

    >>> unpack_frames(pack_frames({"seen": pl.DataFrame({"n": [3]})}))["seen"]["n"].to_list()
    [3]
    """
    parts = [struct.pack("<H", len(frames))]
    for name, frame in frames.items():
        body = io.BytesIO()
        frame.write_ipc_stream(body)
        encoded = name.encode()
        parts += [struct.pack("<H", len(encoded)), encoded, struct.pack("<I", body.tell())]
        parts.append(body.getvalue())
    return b"".join(parts)


def unpack_frames(packed: bytes) -> dict[str, pl.DataFrame]:
    """Read what `pack_frames` wrote."""
    (frame_count,) = struct.unpack_from("<H", packed)
    at, frames = 2, {}
    for _ in range(frame_count):
        (name_size,) = struct.unpack_from("<H", packed, at)
        name = packed[at + 2 : at + 2 + name_size].decode()
        at += 2 + name_size
        (body_size,) = struct.unpack_from("<I", packed, at)
        body = memoryview(packed)[at + 4 : at + 4 + body_size]
        frames[name] = pl.read_ipc_stream(io.BytesIO(body))
        at += 4 + body_size
    return frames
