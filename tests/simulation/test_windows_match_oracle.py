"""Law L1: however a log is cut into blocks and shards, its windows are those of the oracle."""

import itertools
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.fleet import FleetPlan, SimulatedClock, build_fleet
from benchmarks.fleet_faults import FaultPlan, FaultScript
from benchmarks.fleet_messages import FleetEncoder
from benchmarks.fleet_schedule import transmissions
from schemas.records import decode_record, schema_of
from schemas.topics import Topic
from tests.oracle.windows_oracle import LogEntry, WindowKey, WindowRow, windows_of
from tests.pure_chain import Shards
from tests.strategies import telemetry_logs
from tests.unit.test_aggregate import raw_block
from udfs.block_sums import sum_blocks
from udfs.cell_sums import SQUARE_LARGE_SHIFT
from udfs.shard_blocks import marked_block
from udfs.telemetry_blocks import batch_sections, decode_telemetry
from udfs.windows import WindowPolicy

SCHEMA_ID = 5
STARTED_AT_MS = 1_790_000_100_000


class Engine:
    """The pure aggregation of all shards, as the job chains it."""

    def __init__(self, shard_count: int) -> None:
        self.shard_count = shard_count
        self.shards = Shards()
        self.rows: dict[WindowKey, WindowRow] = {}

    def feed(self, log: list[LogEntry]) -> None:
        raw = raw_block(log)
        decoded = decode_telemetry(raw, "", lambda _: schema_of(Topic.TELEMETRY))
        assert decoded.rejected == []
        judged = self.shards.judged(batch_sections(raw, decoded, self.shard_count))
        if judged:
            blocks = [marked_block(section.shard, section.payload) for section in judged]
            self._add(sum_blocks(blocks, WindowPolicy()).deltas)

    def _add(self, deltas: pl.DataFrame) -> None:
        for delta in deltas.iter_rows(named=True):
            key = WindowKey(**{name: delta[name] for name in WindowKey._fields})
            add(self.rows.setdefault(key, WindowRow()), delta)


def add(row: WindowRow, delta: dict[str, Any]) -> None:
    row.count += delta["count"]
    row.sum_fixed += delta["sum_fixed"]
    row.sum_sq_fixed += delta["square_small"] + (delta["square_large"] << SQUARE_LARGE_SHIFT)
    row.min, row.max = min(row.min, delta["min"]), max(row.max, delta["max"])
    row.histogram.update(dict(zip(delta["bins"], delta["bin_counts"], strict=True)))
    for name in ("nan_count", "out_of_range_count", "skewed_count", "duplicate_count"):
        setattr(row, name, getattr(row, name) + delta[name])


@given(
    log=telemetry_logs(),
    shard_count=st.sampled_from([1, 4, 64]),
    cuts=st.sets(st.integers(1, 11), max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_any_blocks_and_shards_give_the_windows_of_the_oracle(log, shard_count, cuts):
    engine = Engine(shard_count)
    edges = [0, *sorted(cut for cut in cuts if cut < len(log)), len(log)]
    for start, stop in itertools.pairwise(edges):
        engine.feed(log[start:stop])
    assert engine.rows == windows_of(log)


def test_an_hour_of_a_faulty_fleet_gives_the_windows_of_the_oracle():
    faults = FaultPlan(
        silence_ratio=0.2, silence_start_ms=(600_000, 1_200_000),
        silence_length_ms=(360_000, 900_000), ahead_ratio=0.1, epoch_ratio=0.1,
        delay_ratio=0.1, resend_ratio=0.1, nan_ratio=0.2,
    )  # fmt: skip
    script = FaultScript(build_fleet(FleetPlan(device_count=40)), faults)
    encoder = FleetEncoder(script, SimulatedClock(STARTED_AT_MS), SCHEMA_ID)
    sent = transmissions(script, 0, 3_600_000)
    messages = encoder.messages(encoder.content(sent))
    arrivals = zip(messages, sent.sent_ms.tolist(), sent.device_index.tolist(), strict=True)
    log = [
        LogEntry(STARTED_AT_MS + ms, device % 4, offset, decode_record(Topic.TELEMETRY, m.value))
        for offset, (m, ms, device) in enumerate(arrivals)
    ]
    engine = Engine(shard_count=8)
    for start in range(0, len(log), 700):
        engine.feed(log[start : start + 700])
    expected = windows_of(log)
    assert engine.rows == expected
    tenant = [row for key, row in expected.items() if key.scope == "tenant"]
    for name in ("count", "nan_count", "skewed_count", "duplicate_count"):
        assert sum(getattr(row, name) for row in tenant) > 0
