"""Measures the rules job without Flink: windows of a fleet in, as the aggregate job sends them.

    python -m benchmarks.measure_rules --devices 10000 --metrics 5

Each device reports each metric once a minute; a block is what a checkpoint of 5 s commits. Counted
is the CPU time of this process: decoding, splitting, and the step of every shard with its journal.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from schemas.control import control_fields, parse_control
from schemas.control_records import CONTROL_SCHEMA
from schemas.records import encode_record, schema_of
from schemas.topics import Topic
from udfs.cell_sums import MEASURE_NAMES, SUM_SCALE
from udfs.clock_marks import Mark
from udfs.frame_bytes import pack_frames
from udfs.histogram import bin_index
from udfs.rules_shard import RulesPolicy, rules_steps
from udfs.shard_journal import JournaledShard, ShardSteps, entry_of
from udfs.shards import device_hashes, shard_of
from udfs.telemetry_blocks import RawBlock
from udfs.window_blocks import RULE_ROWS, RowShape, window_sections
from udfs.window_messages import window_messages

SCHEMA_ID = 7
START_MS = 1_767_225_600_000  # 2026-01-01
BLOCK_MS = 5_000
MINUTE_MS = 60_000
WINDOW_MS = 5 * MINUTE_MS
BREACH_RATIO = 0.001


@dataclass
class Engine:
    """All shards of a job in one process.

    Args:
        shard_count: of the subjects.
        steps: of the job.
        shape: of its rows.
        shards: as they stand.
        row_count: taken so far; as blocks, CPU time and bytes written.
    """

    shard_count: int
    steps: ShardSteps[Any, Any]
    shape: RowShape = RULE_ROWS
    shards: dict[int, JournaledShard[Any, Any]] = field(default_factory=dict)
    row_count: int = 0
    block_count: int = 0
    cpu_s: float = 0.0
    longest_s: float = 0.0
    written_bytes: int = 0

    def take(self, number: int, payload: bytes) -> Any:
        """Apply a section to a shard, keep it as the operator does, and return what leaves."""
        shard = self.shards.get(number)
        if shard is None:
            shard = JournaledShard.restored(number, None, [], self.steps)
            self.shards[number] = shard
        entry = entry_of(payload, 0)
        left = shard.apply(entry)
        self.written_bytes += len(shard.whole()) if shard.is_whole_due else len(entry)
        return left

    def take_block(self, row_count: int, raw: RawBlock) -> list[Any]:
        """Decode a block of `windows`, apply it to all shards, and return what leaves of each."""
        begin_s = time.process_time()
        schema = schema_of(Topic.WINDOWS)
        sections = window_sections(raw, lambda _: schema, self.shard_count, self.shape)
        left = [self.take(section.shard, section.payload) for section in sections]
        spent_s = time.process_time() - begin_s
        self.row_count += row_count
        self.block_count += 1
        self.cpu_s += spent_s
        self.longest_s = max(self.longest_s, spent_s)
        return left

    def figures(self, series_count: int) -> dict[str, float]:
        """Return what it cost."""
        wholes = sum(len(self.steps.write(shard.shard)) for shard in self.shards.values())
        return {
            "rows": self.row_count,
            "rows_per_cpu_s": round(self.row_count / self.cpu_s),
            "cpu_ratio": round(self.cpu_s / (self.block_count * BLOCK_MS / 1000), 4),
            "longest_block_cpu_s": round(self.longest_s, 3),
            "state_bytes": wholes,
            "state_bytes_a_series": round(wholes / series_count),
            "written_bytes_a_block": round(self.written_bytes / self.block_count),
        }


def rules(count: int) -> bytes:
    """Return rules on every metric, of which about one device in a thousand is in breach."""
    aggregates = ("max", "mean", "p95", "min", "count")
    rows = []
    for number in range(count):
        rule = {
            "type": "rule", "rule_id": f"r{number}", "scope": {"tenant_id": "t"},
            "metric": f"m{number}", "aggregate": aggregates[number % len(aggregates)],
            "operator": ">", "threshold": 99.9,
        }  # fmt: skip
        text = json.dumps(control_fields(parse_control(rule)))
        rows.append((START_MS - 10 * MINUTE_MS, number, text))
    return pack_frames({"controls": pl.DataFrame(rows, schema=CONTROL_SCHEMA, orient="row")})


def blocks(
    device_count: int, metric_count: int, minutes: int, shard_count: int
) -> Iterator[tuple[int, RawBlock]]:
    """Yield the rows of each block of 5 s, and the block."""
    chance = np.random.default_rng(7)
    per_block = device_count * BLOCK_MS // MINUTE_MS
    for number in range(minutes * MINUTE_MS // BLOCK_MS):
        at_ms = START_MS + number * BLOCK_MS
        first = number * per_block % device_count
        devices = np.arange(first, first + per_block) % device_count
        deltas = _deltas(devices, metric_count, at_ms, shard_count, chance)
        mark = Mark({0: at_ms + BLOCK_MS}, 1).headers()
        values = [message.value for message in window_messages(deltas, SCHEMA_ID)]
        values.append(encode_record(Topic.WINDOWS, {"rows": []}, SCHEMA_ID))
        count = len(values)
        yield len(deltas), RawBlock(
            topics=["windows"] * count, keys=[b"k"] * count, values=values,
            append_time_ms=np.zeros(count, np.int64), partitions=np.zeros(count, np.int32),
            offsets=np.arange(number * 10_000, number * 10_000 + count),
            headers={count - 1: mark},
        )  # fmt: skip


def _deltas(
    devices: "np.ndarray[tuple[int], np.dtype[np.int64]]",
    metric_count: int,
    at_ms: int,
    shard_count: int,
    chance: np.random.Generator,
) -> pl.DataFrame:
    size = len(devices) * metric_count
    value = chance.uniform(0, 99, size)
    value[chance.random(size) < BREACH_RATIO] = 100.0
    bins = bin_index(value)
    zero = pl.lit(0, pl.Int64)
    frame = pl.DataFrame(
        {
            "device_id": [f"device-{d}" for d in np.repeat(devices, metric_count).tolist()],
            "metric": [f"m{m}" for m in np.tile(np.arange(metric_count), len(devices)).tolist()],
            "value": value,
            "bins": pl.Series([[b] for b in bins.tolist()], dtype=pl.List(pl.Int32)),
        }
    )
    rest = {name: zero for name in MEASURE_NAMES if name.endswith("_count")}
    return frame.with_columns(
        tenant_id=pl.lit("t"), scope=pl.lit("device"), deployment_group=pl.lit("g"),
        model_version=pl.lit("m"), window_start=pl.lit(at_ms // WINDOW_MS * WINDOW_MS, pl.Int64),
        window_ms=pl.lit(WINDOW_MS, pl.Int32), count=pl.lit(1, pl.Int64),
        sum_fixed=(pl.col("value") * SUM_SCALE).cast(pl.Int128),
        square_small=pl.lit(0, pl.Int128), square_large=pl.lit(0, pl.Int128),
        bin_counts=pl.Series([[1]] * size, dtype=pl.List(pl.Int64)),
        min="value", max="value",
        shard=_shards(devices, metric_count, shard_count),
        **rest,
    ).drop("value")  # fmt: skip


def _shards(
    devices: "np.ndarray[tuple[int], np.dtype[np.int64]]", metric_count: int, shard_count: int
) -> pl.Series:
    """Return the shard of each row's device, by which the aggregate job keys its messages."""
    hashes = device_hashes(["t"] * len(devices), [f"device-{d}" for d in devices.tolist()])
    return pl.Series(np.repeat(shard_of(hashes, shard_count), metric_count), dtype=pl.Int32)


def main() -> None:
    """Print the figures as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--metrics", type=int, default=5)
    parser.add_argument("--rules", type=int, default=5)
    parser.add_argument("--minutes", type=int, default=45)
    parser.add_argument("--shards", type=int, default=16)
    asked = parser.parse_args()
    engine, event_count = Engine(asked.shards, rules_steps(RulesPolicy())), 0
    for number in range(asked.shards):
        engine.take(number, rules(asked.rules))
    for rows, raw in blocks(asked.devices, asked.metrics, asked.minutes, asked.shards):
        event_count += sum(map(len, engine.take_block(rows, raw)))
    print(json.dumps(engine.figures(asked.devices * asked.metrics) | {"events": event_count}))


if __name__ == "__main__":
    main()
