"""Several data frames as one byte string: how blocks travel between operators and state is kept.

Layout, little-endian: u16 count, then for each frame u16 name size, name, u32 body size, Arrow IPC
stream. An operator that has no use for a frame passes its body on unread.
"""

import io
import struct
import threading
from collections.abc import Mapping
from typing import Any, TypeAlias

import polars as pl

Bodies: TypeAlias = Mapping[str, bytes | memoryview]
"""Frames by name, each as an Arrow IPC stream."""


def pack_frames(frames: Mapping[str, pl.DataFrame]) -> bytes:
    """Write named frames as bytes.

    >>> unpack_frames(pack_frames({"seen": pl.DataFrame({"n": [3]})}))["seen"]["n"].to_list()
    [3]
    """
    return join_bodies({name: frame_body(frame) for name, frame in frames.items()})


def unpack_frames(packed: bytes) -> dict[str, pl.DataFrame]:
    """Read what `pack_frames` wrote."""
    return {name: read_body(body) for name, body in split_bodies(packed).items()}


def frame_body(frame: pl.DataFrame) -> bytes:
    """Write one frame."""
    body = io.BytesIO()
    frame.write_ipc_stream(body)
    return body.getvalue()


def read_body(body: bytes | memoryview) -> pl.DataFrame:
    """Read one frame."""
    return pl.read_ipc_stream(io.BytesIO(body))


def join_bodies(bodies: Bodies) -> bytes:
    """Write frames that are bytes already."""
    parts: list[bytes | memoryview] = [struct.pack("<H", len(bodies))]
    for name, body in bodies.items():
        encoded = name.encode()
        parts += [struct.pack("<H", len(encoded)), encoded, struct.pack("<I", len(body)), body]
    return b"".join(parts)


def split_bodies(packed: bytes) -> dict[str, memoryview]:
    """Find the frames in what `pack_frames` wrote, without reading or copying them."""
    (frame_count,) = struct.unpack_from("<H", packed)
    at, bodies = 2, {}
    for _ in range(frame_count):
        (name_size,) = struct.unpack_from("<H", packed, at)
        name = packed[at + 2 : at + 2 + name_size].decode()
        at += 2 + name_size
        (body_size,) = struct.unpack_from("<I", packed, at)
        bodies[name] = memoryview(packed)[at + 4 : at + 4 + body_size]
        at += 4 + body_size
    return bodies


def blank_frame(schema: Mapping[str, Any]) -> pl.DataFrame:
    """Return a new frame without rows; the first of a thread is made, and then copied.

    Of each thread alone: two threads that use one frame can stop each other for good, see
    DECISIONS.md.

    >>> dict(blank_frame({"n": pl.Int64}).schema), len(blank_frame({"n": pl.Int64}))
    ({'n': Int64}, 0)
    """
    blanks: dict[Any, pl.DataFrame] = _of_thread.__dict__.setdefault("blanks", {})
    shape = tuple(schema.items())
    if shape not in blanks:
        blanks[shape] = pl.DataFrame(schema=dict(schema))
    return blanks[shape].clone()


_of_thread = threading.local()
