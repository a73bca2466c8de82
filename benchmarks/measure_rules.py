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

import numpy as np
import polars as pl

from schemas.control import control_fields, parse_control
from schemas.control_records import CONTROL_SCHEMA
from schemas.records import encode_record, schema_of
from schemas.topics import Topic
from udfs.alerts import AlertRecord
from udfs.clock_marks import Mark
from udfs.frame_bytes import pack_frames
from udfs.histogram import bin_index
from udfs.rules_shard import RulesPolicy, RulesShard, rules_steps
from udfs.shard_journal import JournaledShard, entry_of
from udfs.shards import device_hashes, shard_of
from udfs.telemetry_blocks import RawBlock
from udfs.window_blocks import window_sections
from udfs.window_messages import window_messages
from udfs.windows import MEASURE_NAMES, SUM_SCALE

SCHEMA_ID = 7
START_MS = 1_767_225_600_000  # 2026-01-01
BLOCK_MS = 5_000
MINUTE_MS = 60_000
WINDOW_MS = 5 * MINUTE_MS
BREACH_RATIO = 0.001


@dataclass
class Engine:
    """All shards of the job in one process."""

    shard_count: int
    policy: RulesPolicy = field(default_factory=RulesPolicy)
    shards: dict[int, JournaledShard[RulesShard, list[AlertRecord]]] = field(default_factory=dict)
    written_bytes: int = 0
    event_count: int = 0

    def take(self, number: int, payload: bytes) -> None:
        """Apply a section to a shard and keep it as the operator does."""
        shard = self.shards.get(number)
        if shard is None:
            shard = JournaledShard.restored(number, None, [], rules_steps(self.policy))
            self.shards[number] = shard
        entry = entry_of(payload, 0)
        self.event_count += len(shard.apply(entry))
        self.written_bytes += len(shard.whole()) if shard.is_whole_due else len(entry)


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
    engine, row_count, cpu_s = Engine(asked.shards), 0, 0.0
    for number in range(asked.shards):
        engine.take(number, rules(asked.rules))
    longest_s = 0.0
    for rows, raw in blocks(asked.devices, asked.metrics, asked.minutes, asked.shards):
        begin_s = time.process_time()
        sections = window_sections(raw, lambda _: schema_of(Topic.WINDOWS), asked.shards)
        for section in sections:
            engine.take(section.shard, section.payload)
        spent_s = time.process_time() - begin_s
        row_count, cpu_s, longest_s = row_count + rows, cpu_s + spent_s, max(longest_s, spent_s)
    wholes = [len(shard.shard.to_bytes()) for shard in engine.shards.values()]
    print(
        json.dumps(
            {
                "rows": row_count,
                "rows_per_cpu_s": round(row_count / cpu_s),
                "cpu_ratio": round(cpu_s / (asked.minutes * 60), 4),
                "longest_block_cpu_s": round(longest_s, 3),
                "events": engine.event_count,
                "state_bytes": sum(wholes),
                "state_bytes_a_series": round(sum(wholes) / (asked.devices * asked.metrics)),
                "written_bytes_a_block": round(engine.written_bytes / (asked.minutes * 12)),
            }
        )
    )


if __name__ == "__main__":
    main()
