"""An Avro container in memory: its header, its numbers, and the guarded call that reads it."""

import io
import json
from typing import Any

import polars as pl

SYNC_BYTES = 16


def container_header(schema: Any, sync: bytes) -> bytes:
    """Return what stands before the first block of a container that is not compressed.

    Args:
        schema: of each record.
        sync: 16 bytes that also end each block.
    """
    assert len(sync) == SYNC_BYTES, f"{len(sync)} bytes are no sync marker"
    metadata = _avro_string(b"avro.schema") + _avro_string(json.dumps(schema).encode())
    codec = _avro_string(b"avro.codec") + _avro_string(b"null")
    return b"Obj\x01" + avro_long(2) + metadata + codec + avro_long(0) + sync


def read_container(container: bytes) -> pl.DataFrame:
    """Read a container of `Framed` records; an empty frame when its bytes cannot be read."""
    nothing = pl.DataFrame(schema={"datum": pl.Null, "mark": pl.Float64})
    try:
        return pl.read_avro(io.BytesIO(container))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        # The reader's panics derive from BaseException; anything else of that kind is not ours.
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            return nothing
        raise


def avro_long(number: int) -> bytes:
    r"""Return a non-negative number as Avro writes it: zigzag, then 7 bits a byte.

    >>> avro_long(64)
    b'\x80\x01'
    """
    zigzag, out = number << 1, bytearray()
    while zigzag > 0x7F:  # noqa: PLR2004 - seven bits
        out.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    return bytes([*out, zigzag])


def _avro_string(text: bytes) -> bytes:
    return avro_long(len(text)) + text
