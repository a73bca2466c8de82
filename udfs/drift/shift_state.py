"""D1's streams as versioned bytes (`shifts_v1`).

table      records without what follows from the rest of them
learning   of each stream in its warm-up: the sample, or codes; times where seasons are learned
seasons    of the streams that have one
"""

from typing import Any

import numpy as np
import polars as pl

from udfs.drift.baselines import scores_of
from udfs.drift.row_tables import table_frame, table_of
from udfs.drift.seasons import Season
from udfs.drift.shift_policy import ShiftPolicy
from udfs.drift.shift_table import SHIFT_ROW, Phase
from udfs.drift.shifts import ShiftStreams
from udfs.drift.warm_ups import NO_SLOT, WarmUps
from udfs.state_bytes import StateLayoutError, pack_state, unpack_state

VERSION = 1
DERIVED = ("slot", "scores", "spreads")
STORED_ROW = np.dtype(
    [(name, *kind) for name, *kind in SHIFT_ROW.descr if name not in DERIVED]
)  # fmt: skip
LEARNING_SCHEMA: dict[str, Any] = {
    "stream": pl.Int64,
    "sample": pl.Binary,
    "codes": pl.Binary,
    "times_ms": pl.Binary,
}


def shift_bytes(streams: ShiftStreams) -> bytes:
    """Write the streams."""
    stored = np.zeros(len(streams.table), STORED_ROW)
    for name in STORED_ROW.names or ():
        stored[name] = streams.table[name]
    learning = np.flatnonzero(streams.table["slot"] != NO_SLOT).tolist()
    rows = [(stream, *_slot_bytes(streams, stream)) for stream in learning]
    frames = {
        "table": table_frame(stored),
        "learning": pl.DataFrame(rows, LEARNING_SCHEMA, orient="row"),
    }
    seasons = [[stream, season.to_values()] for stream, season in sorted(streams.seasons.items())]
    return pack_state(VERSION, frames, {"seasons": seasons})


def _slot_bytes(streams: ShiftStreams, stream: int) -> tuple[bytes, bytes, bytes]:
    """Return what the slot of a stream holds: sample, codes and times."""
    row, warm_ups = streams.table[stream], streams.warm_ups
    slot = int(row["slot"])
    is_sample = row["phase"] == Phase.SAMPLING
    count = int(row["observation_count"] if is_sample else warm_ups.used[slot])
    sample = warm_ups.sample[slot, : count if is_sample else 0]
    codes = warm_ups.codes[slot, : 0 if is_sample else count]
    return sample.tobytes(), codes.tobytes(), warm_ups.times_ms[slot, :count].tobytes()


def shifts_from_bytes(packed: bytes, policy: ShiftPolicy) -> ShiftStreams:
    """Read what `shift_bytes` wrote.

    Raises:
        StateLayoutError: the bytes are of another version, or of other records.
    """
    state = unpack_state(packed)
    if state.version != VERSION:
        raise StateLayoutError(f"version {state.version} of shifts, not {VERSION}")
    stored = table_of(state.frames["table"], STORED_ROW)
    streams = ShiftStreams(policy)
    streams.table = np.zeros(len(stored), SHIFT_ROW)
    for name in STORED_ROW.names or ():
        streams.table[name] = stored[name]
    streams.table["slot"] = NO_SLOT
    has_baseline = streams.table["phase"] >= Phase.PROVISIONAL
    scores, spreads = scores_of(streams.table["counts"][has_baseline].astype(np.int64))
    streams.table["scores"][has_baseline] = scores
    streams.table["spreads"][has_baseline] = spreads
    _fill_slots(streams, state.frames["learning"])
    streams.seasons = {row: Season.from_values(bases) for row, bases in state.meta["seasons"]}
    return streams


def _fill_slots(streams: ShiftStreams, learning: pl.DataFrame) -> None:
    warm_ups = streams.warm_ups
    slots = warm_ups.take_slots(len(learning))
    for slot, (stream, sample, codes, times) in zip(slots, learning.iter_rows(), strict=True):
        streams.table["slot"][stream] = slot
        _fill(warm_ups, int(slot), sample, codes, times)


def _fill(warm_ups: WarmUps, slot: int, sample: bytes, codes: bytes, times: bytes) -> None:
    values, coded = np.frombuffer(sample, np.float64), np.frombuffer(codes, np.uint8)
    starts_ms = np.frombuffer(times, np.int64)
    warm_ups.sample[slot, : len(values)] = values
    warm_ups.codes[slot, : len(coded)] = coded
    warm_ups.times_ms[slot, : len(starts_ms)] = starts_ms
    warm_ups.used[slot] = len(coded)
