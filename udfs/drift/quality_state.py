"""What rates and rules about values remember, as versioned bytes (`quality_v1`)."""

from udfs.drift.profiles import QUALITY_ROW
from udfs.drift.rates import RATES_ROW
from udfs.drift.row_tables import Rows, table_frame, table_of
from udfs.state_bytes import StateLayoutError, pack_state, unpack_state

VERSION = 1


def quality_bytes(rates: Rows, quality: Rows) -> bytes:
    """Write the two tables of some streams.

    Args:
        rates: `RATES_ROW`, one a stream.
        quality: `QUALITY_ROW`, one a stream, in the same order.
    """
    assert len(rates) == len(quality)
    frames = {"rates": table_frame(rates), "quality": table_frame(quality)}
    return pack_state(VERSION, frames, {})


def quality_tables(packed: bytes) -> tuple[Rows, Rows]:
    """Return the two tables that `quality_bytes` wrote.

    Raises:
        StateLayoutError: the bytes are of another version, or of other rows.
    """
    state = unpack_state(packed)
    if state.version != VERSION:
        raise StateLayoutError(f"version {state.version} of rates and rules, not {VERSION}")
    frames = state.frames
    return table_of(frames["rates"], RATES_ROW), table_of(frames["quality"], QUALITY_ROW)
