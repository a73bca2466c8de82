"""What a stream costs: windows a CPU second behind frozen baselines, and bytes.

400 streams learn through the engine's own step; a table of more streams holds copies of those rows.
"""

import time
from collections.abc import Iterator

import numpy as np

from benchmarks.drift_goals import STATE_MAX_BYTES, UPDATES_PER_CPU_S, Line
from benchmarks.drift_judges import D1, learned
from benchmarks.drift_series import NORMAL, windows_of
from udfs.drift.observations import Observations
from udfs.drift.shift_policy import ShiftPolicy
from udfs.drift.shift_state import shift_bytes
from udfs.drift.shift_table import SHIFT_ROW
from udfs.drift.stream_detectors import StreamDetectors, StreamPolicy

LEARNED_STREAMS = 400
BASELINE = 1_000
STREAM_COUNTS = (400, 12_500)
WINDOWS_A_CALL = (1, 16)
UPDATES = 400_000


def costs(seed: int) -> Iterator[Line]:
    """Speed of D1 alone and of all detectors of a stream, then bytes."""
    rng = np.random.default_rng(seed)
    draw = NORMAL(rng, LEARNED_STREAMS)
    few = learned(draw, LEARNED_STREAMS, ShiftPolicy(provisional_count=BASELINE))
    for count in STREAM_COUNTS:
        for windows in WINDOWS_A_CALL:
            d1 = many(few, count)
            speed = per_cpu_s(d1.streams, blocks(rng, count, windows))
            name = f"D1, {count:,} streams, windows a call {windows}: updates a CPU s"
            yield Line(name, speed, low=UPDATES_PER_CPU_S)
            detectors = StreamDetectors(StreamPolicy())
            detectors.grow(count)
            detectors.shifts = many(few, count).streams
            speed = per_cpu_s(detectors, blocks(rng, count, windows))
            name = f"D1, D3, D5, {count:,} streams, windows a call {windows}: updates a CPU s"
            yield Line(name, speed)
    size = len(shift_bytes(many(few, STREAM_COUNTS[-1]).streams)) / STREAM_COUNTS[-1]
    yield Line("D1, bytes a stream of the state", size, high=STATE_MAX_BYTES)
    yield Line("D1, bytes a stream in memory", SHIFT_ROW.itemsize, high=STATE_MAX_BYTES)


def many(few: D1, stream_count: int) -> D1:
    """Return streams that have the baselines of few, again and again."""
    copy = few.again(few.streams.policy.gamma_page)
    rows = np.arange(stream_count) % len(few.streams.table)
    copy.streams.table = few.streams.table[rows]
    return copy


def blocks(rng: np.random.Generator, stream_count: int, window_count: int) -> list[Observations]:
    """Return calls that follow each other, in all about `UPDATES` windows; at least three."""
    call_count = max(UPDATES // (stream_count * window_count), 3)
    return [
        windows_of(
            rng.standard_normal((stream_count, window_count)),
            BASELINE + call * window_count,
            np.arange(stream_count),
        )
        for call in range(call_count)
    ]


def per_cpu_s(detector: object, calls: list[Observations]) -> float:
    """Return the updates of a CPU second of this process."""
    observe = detector.observe  # type: ignore[attr-defined]  # two classes without a common base
    begin_s = time.process_time()
    for seen in calls:
        observe(seen)
    return sum(len(seen) for seen in calls) / (time.process_time() - begin_s)
