"""Measures what a contact costs the offline job without Flink: a backlog, cut as Flink cuts it.

    POLARS_MAX_THREADS=1 python -m benchmarks.measure_contact_steps --devices 100000 --minutes 2

Counted is the CPU time of this process, stage by stage, of contacts of devices that are known: the
first minute, in which every device is new, is read before.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from benchmarks.fleet import Fleet, FleetPlan, SimulatedClock, build_fleet, device_record
from benchmarks.fleet_faults import NO_FAULTS, FaultScript
from benchmarks.fleet_messages import FleetEncoder
from benchmarks.fleet_schedule import transmissions
from schemas.records import schema_of
from schemas.topics import Topic
from udfs.fleet import FleetState, on_transitions
from udfs.frame_bytes import pack_frames, unpack_frames
from udfs.liveness import DEVICE_CHANGE_SCHEMA, LivenessBlock
from udfs.liveness_journal import LivenessJournal
from udfs.offline_policy import OfflinePolicy
from udfs.shard_journal import JournaledShard, entry_of
from udfs.shards import device_hashes, pack_sections, shard_of, split_sections
from udfs.telemetry_blocks import RawBlock, contact_sections, decode_telemetry

SCHEMA_ID = 7
PARTITIONS = 4
START_MS = 1_767_225_600_000  # 2026-01-01
MINUTE_MS = 60_000
POLICY = OfflinePolicy()


@dataclass
class Engine:
    """All shards of the job and its fleet stage in one process.

    Args:
        shard_count: how many shards the devices are spread over.
    """

    shard_count: int
    cpu_s: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Begin before any input."""
        self.journal, count = LivenessJournal(POLICY), self.shard_count
        steps = self.journal.steps
        self.shards = [JournaledShard.restored(n, None, [], steps) for n in range(count)]
        self.written_bytes = 0
        self.fleet = FleetState.empty(self.shard_count)

    def register(self, fleet: Fleet) -> None:
        """Tell the shards of every device, before the first record."""
        records = [
            device_record(fleet, index, report_interval_s=60)
            for index in range(len(fleet.device_ids))
        ]
        said = pl.DataFrame(
            [
                {name: record.get(name) for name in DEVICE_CHANGE_SCHEMA}
                | {"append_time_ms": START_MS - 1, "offset": offset, "is_tombstone": False}
                for offset, record in enumerate(records)
            ],
            schema=DEVICE_CHANGE_SCHEMA,
        )
        hashes = device_hashes(said["tenant_id"].to_list(), said["device_id"].to_list())
        shards = pl.Series(shard_of(hashes, self.shard_count))
        for number, kept in enumerate(self.shards):
            kept.shard.take(LivenessBlock(devices=said.filter(shards == number)), POLICY)
            kept.whole()

    def read(self, raw: RawBlock) -> None:
        """Read one block as the operators do."""
        with self._timed("decode"):
            decoded = decode_telemetry(raw, "", lambda _: schema_of(Topic.TELEMETRY))
        with self._timed("sections"):
            container = pack_sections(contact_sections(raw, decoded, self.shard_count, ""))
        # Stage by stage: to ask for the time costs half a millisecond where there are many threads.
        sections = list(split_sections(container))
        with self._timed("step"):
            entries = [entry_of(self.journal.judged(section.payload), 0) for section in sections]
            steps = [
                self.shards[section.shard].apply(entry)
                for section, entry in zip(sections, entries, strict=True)
            ]
        with self._timed("wholes"):
            for section, entry in zip(sections, entries, strict=True):
                kept = self.shards[section.shard]
                self.written_bytes += len(kept.whole() if kept.is_whole_due else entry)
        with self._timed("transitions"):
            packed = [pack_frames({"transitions": step.transitions}) for step in steps]
        with self._timed("fleet"):
            for section, step, found in zip(sections, steps, packed, strict=True):
                rows = unpack_frames(found)["transitions"]
                done = on_transitions(self.fleet, section.shard, rows, step.clock_ms, POLICY)
                self.fleet = done.state

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        began_s = time.process_time()
        yield
        self.cpu_s[stage] += time.process_time() - began_s


def minute_of(
    encoder: FleetEncoder, script: FaultScript, minute: int, first_offsets: list[int]
) -> RawBlock:
    """Return a minute of the fleet as it lies in the log, in the order of its append times."""
    sent = transmissions(script, minute * MINUTE_MS, (minute + 1) * MINUTE_MS)
    messages = list(encoder.messages(encoder.content(sent)))
    partitions = (sent.device_index % PARTITIONS).astype(np.int32)
    offsets = np.zeros(len(messages), np.int64)
    for partition, first in enumerate(first_offsets):
        own = np.flatnonzero(partitions == partition)
        offsets[own] = first + np.arange(len(own))
    step_ms = MINUTE_MS / len(messages)
    append_ms = START_MS + (minute * MINUTE_MS + np.arange(len(messages)) * step_ms).astype(int)
    return RawBlock(
        ["telemetry"] * len(messages),
        [message.key for message in messages],
        [message.value for message in messages],
        append_ms,
        partitions,
        offsets,
    )


def part_of(raw: RawBlock, begin: int, end: int) -> RawBlock:
    """Return some messages of a block."""
    columns = raw.topics, raw.keys, raw.values, raw.append_time_ms, raw.partitions, raw.offsets
    return RawBlock(*(column[begin:end] for column in columns))


def measure(
    devices: int, minutes: int, shard_count: int, block_max_messages: int
) -> dict[str, float]:
    """Return CPU microseconds a contact, by stage."""
    script = FaultScript(build_fleet(FleetPlan(device_count=devices)), NO_FAULTS)
    encoder = FleetEncoder(script, SimulatedClock(started_at_ms=START_MS), SCHEMA_ID)
    engine, contacts, offsets = Engine(shard_count), 0, [0] * PARTITIONS
    engine.register(script.fleet)
    for minute in range(minutes):
        raw = minute_of(encoder, script, minute, offsets)
        offsets = [int(raw.offsets[raw.partitions == p].max()) + 1 for p in range(PARTITIONS)]
        if minute == 1:
            engine.cpu_s.clear()
            engine.written_bytes = 0
        for begin in range(0, len(raw.keys), block_max_messages):
            engine.read(part_of(raw, begin, begin + block_max_messages))
        contacts += len(raw.keys) * (minute > 0)
    costs = {stage: round(1e6 * cpu_s / contacts, 2) for stage, cpu_s in engine.cpu_s.items()}
    written = {"state bytes written": round(engine.written_bytes / contacts, 1)}
    return costs | {"in all": round(sum(costs.values()), 2), "contacts": contacts} | written


def main() -> None:
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--devices", type=int, default=100_000)
    parser.add_argument("--minutes", type=int, default=2)
    parser.add_argument("--shards", type=int, default=16)
    parser.add_argument("--block", type=int, default=10_000)
    given = parser.parse_args()
    print(json.dumps(measure(given.devices, given.minutes, given.shards, given.block)))


if __name__ == "__main__":
    main()
