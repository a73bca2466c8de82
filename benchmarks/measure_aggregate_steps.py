"""Measures what a point costs the aggregate job without Flink, step by step.

    POLARS_MAX_THREADS=1 python -m benchmarks.measure_aggregate_steps --devices 20000 --batches 4

Batches of 50 points in blocks of 10,000 messages, CPU time of this process. Sums are measured
twice: of all shards of a block together, as the job means to, and of each shard alone, as they
come when the sections of a block reach the sums one by one.
"""

import argparse
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures import write_figures
from benchmarks.fleet import SimulatedClock, build_fleet
from benchmarks.fleet_faults import NO_FAULTS, FaultScript
from benchmarks.fleet_messages import FleetEncoder, Message
from benchmarks.fleet_schedule import transmissions
from benchmarks.fleet_values import POINTS_PER_BATCH
from benchmarks.machine import machine_facts
from benchmarks.prepared_log import BATCH_INTERVAL_MS, LogPlan
from schemas.records import schema_of
from schemas.topics import Topic
from udfs.block_results import AggregateTopics, block_results
from udfs.duplicates import SeenState
from udfs.point_cells import point_cells
from udfs.results import Result, pack_results
from udfs.shard_blocks import joined_blocks, mark_part, marked_block
from udfs.shards import Section, SectionKind, pack_sections, split_sections
from udfs.telemetry_blocks import (
    RawBlock,
    account_section,
    batch_sections,
    dead_letter_section,
    decode_telemetry,
)
from udfs.window_messages import window_messages
from udfs.windows import WindowPolicy, window_deltas

SCHEMA_ID = 7
PARTITIONS = 4
START_MS = 1_767_225_600_000  # 2026-01-01
POLICY = WindowPolicy()
TOPICS = AggregateTopics("bench", "windows", 1, "accounts", 2, "dead-letters", PARTITIONS)


class Steps:
    """The steps of the job in one process, each with its CPU time.

    Args:
        shard_count: how many shards the devices are spread over.
    """

    def __init__(self, shard_count: int) -> None:
        self.shard_count = shard_count
        self.cpu_s: Counter[str] = Counter()
        self.states: dict[int, SeenState] = {}
        self.window_rows = 0

    def read(self, raw: RawBlock) -> None:
        """Read one block as the operators do."""
        with self._timed("decode"):
            decoded = decode_telemetry(raw, "", lambda _: schema_of(Topic.TELEMETRY))
        with self._timed("split by shard"):
            container = pack_sections(
                [
                    *batch_sections(raw, decoded, self.shard_count),
                    *dead_letter_section(raw, decoded),
                    account_section(raw, decoded),
                ]
            )
            sections = list(split_sections(container))
        with self._timed("duplicates"):
            judged = [self._marked(section) for section in sections]
        with self._timed("state to bytes"):
            for state in self.states.values():
                state.sequences.to_bytes()
        with self._timed("sums of all shards together"):
            pack_all(block_results(judged, POLICY, TOPICS))
        with self._timed("sums of each shard alone"):
            for section in judged:
                pack_all(block_results([section], POLICY, TOPICS))
        self._within_sums(judged)

    def _within_sums(self, judged: Sequence[Section]) -> None:
        """Time the parts of the sums of all shards together."""
        with self._timed("of these: unpack"):
            parts = [s for s in judged if s.kind is SectionKind.BATCHES]
            blocks = [marked_block(s.shard, s.payload) for s in parts]
            batches, points, metrics = joined_blocks(blocks)
        with self._timed("of these: cells"):
            cells = point_cells(batches, points, metrics, POLICY.ahead_max_ms)
        with self._timed("of these: windows and histograms"):
            deltas = window_deltas(batches, cells, POLICY)
        self.window_rows += deltas.height
        with self._timed("of these: encode"):
            list(window_messages(deltas, TOPICS.windows_schema_id))

    def _marked(self, section: Section) -> Section:
        if section.kind is not SectionKind.BATCHES:
            return section
        state = self.states.get(section.shard, SeenState.empty())
        step, payload = mark_part(state, section.payload)
        self.states[section.shard] = step.state
        return replace(section, payload=payload)

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        began_s = time.process_time()
        yield
        self.cpu_s[step] += time.process_time() - began_s


def pack_all(results: Sequence[Sequence[Result]]) -> list[bytes]:
    """Return the messages as the sums hand them on."""
    return [pack_results(own) for own in results if own]


def blocks_of(messages: Iterator[Message], block_messages: int) -> Iterator[RawBlock]:
    """Cut messages into blocks as they come from a log of four partitions."""
    offset = 0
    while block := list(islice(messages, block_messages)):
        count = len(block)
        places = np.arange(offset, offset + count)
        yield RawBlock(
            ["telemetry"] * count,
            [message.key for message in block],
            [message.value for message in block],
            START_MS + places,
            (places % PARTITIONS).astype(np.int32),
            places // PARTITIONS,
        )
        offset += count


def messages_of(plan: LogPlan) -> Iterator[Message]:
    """Yield the messages of a log."""
    script = FaultScript(build_fleet(plan.fleet()), NO_FAULTS)
    started_at_ms = START_MS - plan.batches * BATCH_INTERVAL_MS
    encoder = FleetEncoder(script, SimulatedClock(started_at_ms), SCHEMA_ID)
    for batch in range(plan.batches):
        span_ms = batch * BATCH_INTERVAL_MS, (batch + 1) * BATCH_INTERVAL_MS
        yield from encoder.messages(encoder.content(transmissions(script, *span_ms)))


def measure(plan: LogPlan, shard_count: int, block_messages: int) -> dict[str, Any]:
    """Return CPU microseconds a point, by step; the first block is warm-up."""
    steps, points = Steps(shard_count), 0
    for index, raw in enumerate(blocks_of(messages_of(plan), block_messages)):
        steps.read(raw)
        if index == 0:
            steps.cpu_s.clear()
            steps.window_rows = 0
        else:
            points += len(raw.values) * POINTS_PER_BATCH
    return {
        "machine": machine_facts(),
        "seed": plan.seed,
        "points": points,
        "us_a_point": {step: round(1e6 * spent / points, 3) for step, spent in steps.cpu_s.items()},
        "window_rows_a_point": round(steps.window_rows / points, 3),
    }


def main() -> None:
    """Measure, print, and write the figures where `--out` says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--devices", type=int, default=20_000)
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shards", type=int, default=16)
    parser.add_argument("--block", type=int, default=10_000)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    plan = LogPlan(given.devices, given.batches, given.seed)
    print(write_figures(measure(plan, given.shards, given.block), given.out))


if __name__ == "__main__":
    main()
