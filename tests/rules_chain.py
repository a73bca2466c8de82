"""Telemetry -> aggregate job -> `windows` -> rules job, without Flink: for tests of the rules job.

telemetry   T h h T h T        T = a tick to every partition, h = one device's message
windows 0   r M r M M          a block of telemetry is one message; r = rows, M = marks
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import orjson
import polars as pl

from schemas.control import ControlEvent, control_fields
from schemas.control_records import CONTROL_SCHEMA
from schemas.records import encode_record, schema_of
from schemas.topics import CLOCK_TENANT_ID, Topic
from tests.alert_logs import TENANT, Event
from tests.oracle.threshold_oracle import Heard
from tests.pure_chain import Shards
from udfs.block_results import AggregateTopics, block_results
from udfs.clock_marks import key_partition
from udfs.frame_bytes import pack_frames
from udfs.results import Result
from udfs.rules_shard import RulesPolicy, RulesShard, rules_steps
from udfs.shard_journal import JournaledShard, ShardSteps, entry_of
from udfs.shards import pack_sections, split_sections
from udfs.telemetry_blocks import RawBlock, account_section, batch_sections, decode_telemetry
from udfs.window_blocks import window_sections
from udfs.windows import WindowPolicy

SCHEMA_ID = 7
AGGREGATE_SHARDS = 4


@dataclass(frozen=True)
class Aggregate:
    """The aggregate job.

    Args:
        tick_ms: between two ticks.
        telemetry_count: partitions; devices are spread over them.
        windows_count: partitions.
        is_gathered: whether messages of one instant are summed together: faster.
    """

    tick_ms: int = 60_000
    telemetry_count: int = 2
    windows_count: int = 2
    is_gathered: bool = False

    def windows(self, heard: Sequence[Heard], until_ms: int) -> list["Written"]:
        """Return the log of windows that comes of messages; ticks come before what shares theirs.

        Args:
            heard: in any order.
            until_ms: of the last tick.
        """
        topics = AggregateTopics(
            "aggregate", "windows", SCHEMA_ID, "accounts", SCHEMA_ID, "dead-letters",
            self.windows_count, telemetry_partition_count=self.telemetry_count,
        )  # fmt: skip
        ends = [0] * self.windows_count
        written = []
        for at_ms, raw in self._blocks(sorted(heard), until_ms):
            for result in self._results(raw, topics):
                if result.topic != topics.windows:
                    continue
                partition = key_partition(result.key or b"", self.windows_count)
                written.append(Written(at_ms, partition, ends[partition], result))
                ends[partition] += 1
        return written

    def _blocks(self, heard: Sequence[Heard], until_ms: int) -> Iterator[tuple[int, RawBlock]]:
        tick_ms = heard[0].at_ms // self.tick_ms * self.tick_ms
        for _, group in itertools.groupby(
            enumerate(heard), lambda each: each[1].at_ms if self.is_gathered else each[0]
        ):
            block = [each for _, each in group]
            while tick_ms <= block[0].at_ms:
                yield from self._ticks(tick_ms)
                tick_ms += self.tick_ms
            partitions = [sum(e.device_id.encode()) % self.telemetry_count for e in block]
            yield block[0].at_ms, raw_telemetry(block, partitions, TENANT)
        while tick_ms <= until_ms:
            yield from self._ticks(tick_ms)
            tick_ms += self.tick_ms

    def _ticks(self, at_ms: int) -> Iterator[tuple[int, RawBlock]]:
        ticks = [Heard(at_ms, "clock", "", ())] * self.telemetry_count
        yield at_ms, raw_telemetry(ticks, range(self.telemetry_count), CLOCK_TENANT_ID)

    def _results(self, raw: RawBlock, topics: AggregateTopics) -> list[Result]:
        decoded = decode_telemetry(raw, "", lambda _: schema_of(Topic.TELEMETRY))
        assert not decoded.rejected
        sections = [*batch_sections(raw, decoded, AGGREGATE_SHARDS), account_section(raw, decoded)]
        judged = Shards().judged(split_sections(pack_sections(sections)))
        return [r for results in block_results(judged, WindowPolicy(), topics) for r in results]


def raw_telemetry(heard: Sequence[Heard], partitions: Sequence[int], tenant_id: str) -> RawBlock:
    """Return messages of a tenant as the source gives them."""
    return RawBlock(
        topics=["telemetry"] * len(heard),
        keys=[f"{tenant_id}/{each.device_id}".encode() for each in heard],
        values=[_batch(each, tenant_id) for each in heard],
        append_time_ms=np.array([each.at_ms for each in heard], np.int64),
        partitions=np.array(partitions, np.int32),
        offsets=np.zeros(len(heard), np.int64),
    )


def _batch(heard: Heard, tenant_id: str) -> bytes:
    points = [
        {"name": name, "timestamp": time_ms, "value": value, "tags": {}}
        for name, time_ms, value in heard.points
    ]
    batch = {
        "tenant_id": tenant_id, "device_id": heard.device_id, "sent_at": heard.at_ms,
        "deployment_group": heard.group, "model_version": heard.model, "boot_id": None,
        "sequence": None, "points": points,
    }  # fmt: skip
    return encode_record(Topic.TELEMETRY, batch, SCHEMA_ID)


@dataclass(frozen=True)
class Written:
    """One message of `windows`: when its telemetry was appended, where it stands, what it is."""

    at_ms: int
    partition: int
    offset: int
    result: Result


def raw_windows(written: Sequence[Written]) -> RawBlock:
    """Return messages as the source gives them; the broker's times say nothing."""
    headers = {row: w.result.headers for row, w in enumerate(written) if w.result.headers}
    return RawBlock(
        topics=["windows"] * len(written),
        keys=[w.result.key for w in written],
        values=[w.result.value for w in written],
        append_time_ms=np.zeros(len(written), np.int64),
        partitions=np.array([w.partition for w in written], np.int32),
        offsets=np.array([w.offset for w in written], np.int64),
        headers=headers,
    )


def controls_of(*said: tuple[int, ControlEvent]) -> bytes:
    """Return control events (append time, UTC ms) as the section that reaches every shard."""
    rows = [
        (at_ms, offset, orjson.dumps(control_fields(event)).decode())
        for offset, (at_ms, event) in enumerate(said)
    ]
    return pack_frames({"controls": pl.DataFrame(rows, schema=CONTROL_SCHEMA, orient="row")})


@dataclass
class RulesChain:
    """The rules job.

    Args:
        shard_count: of the subjects.
        policy: of judgement.
        is_restarted: whether each shard is stored and read again after each block.
    """

    shard_count: int = 1
    policy: RulesPolicy = field(default_factory=lambda: RulesPolicy(partition_count=2))
    is_restarted: bool = False
    wholes: dict[int, bytes] = field(default_factory=dict)
    entries: dict[int, list[bytes]] = field(default_factory=dict)
    shards: dict[int, JournaledShard[RulesShard, list[Event]]] = field(default_factory=dict)

    def control(self, payload: bytes, now_ms: int = 0) -> list[Event]:
        """Apply control events to every shard."""
        shards = range(self.shard_count)
        return [event for shard in shards for event in self._apply(shard, payload, now_ms)]

    def windows(self, written: Sequence[Written], now_ms: int = 0) -> list[Event]:
        """Apply a block of `windows`."""
        sections = window_sections(
            raw_windows(written), lambda _: schema_of(Topic.WINDOWS), self.shard_count
        )
        return [e for s in sections for e in self._apply(s.shard, s.payload, now_ms)]

    def _apply(self, number: int, payload: bytes, now_ms: int) -> list[Event]:
        events: list[Event] = apply_stored(self, rules_steps(self.policy), number, payload, now_ms)
        return events


class Stored(Protocol):
    """What a chain keeps of its shards; `is_restarted`: each is read again after each block."""

    is_restarted: bool
    wholes: dict[int, bytes]
    entries: dict[int, list[bytes]]
    shards: Any


def apply_stored(
    chain: Stored, steps: ShardSteps[Any, Any], number: int, payload: bytes, now_ms: int
) -> Any:
    """Apply a block to one shard, keep what the operator keeps, and return what leaves."""
    if chain.is_restarted or number not in chain.shards:
        entries = chain.entries.get(number, [])
        whole = chain.wholes.get(number)
        chain.shards[number] = JournaledShard.restored(number, whole, entries, steps)
    kept, entry = chain.shards[number], entry_of(payload, now_ms)
    left = kept.apply(entry)
    if kept.is_whole_due:
        chain.wholes[number], chain.entries[number] = kept.whole(), []
    else:
        chain.entries.setdefault(number, []).append(entry)
    return left
