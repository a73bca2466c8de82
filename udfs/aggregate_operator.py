"""Runs the aggregation step of each shard in Flink: bytes in, Kafka rows out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl
from pyflink.common import Row, Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import (
    MapState,
    MapStateDescriptor,
    ValueState,
    ValueStateDescriptor,
)

from schemas.errors import RejectLimitExceeded
from udfs.accounts import Entry, account_message, read_entries, rejected_entries
from udfs.aggregate import AggregateState, AggregateStep, on_batches
from udfs.dead_letters import dead_letters
from udfs.dedup_state import dedup_from_bytes, empty_dedup
from udfs.frame_bytes import unpack_frames
from udfs.point_dedup import Bucket, Buckets, Place
from udfs.reject_limit import RejectLimitState, excess_text, on_judged
from udfs.reject_policy import RejectPolicy
from udfs.result_operator import letter_row, result_row
from udfs.shards import SectionKind
from udfs.window_messages import window_messages
from udfs.windows import WindowPolicy


@dataclass(frozen=True)
class AggregateTopics:
    """Where the results go: names on the broker, and schema ids.

    Args:
        component: name of the job, for the dead letters.
    """

    component: str
    windows: str
    windows_schema_id: int
    accounts: str
    accounts_schema_id: int
    dead_letters: str


class AggregateShards(KeyedProcessFunction):
    """Keeps the duplicate bitmap of each shard; sends deltas, letters and the account at once.

    All of it leaves in one transaction, so the account balances after each of them. What is read
    and what is rejected has one key for all partitions; the reject limit is judged there.

    Args:
        policy: of the windows.
        limit: how much may be rejected.
        topics: where the results go.
    """

    def __init__(self, policy: WindowPolicy, limit: RejectPolicy, topics: AggregateTopics) -> None:
        self.policy = policy
        self.limit = limit
        self.topics = topics
        self.dedup: ValueState | None = None
        self.points: MapState | None = None
        self.buckets: dict[int, Buckets] = {}
        self.rejects: ValueState | None = None

    def open(self, runtime_context: RuntimeContext) -> None:
        """Reach the state; its name carries the layout's version."""
        some_bytes = Types.PRIMITIVE_ARRAY(Types.BYTE())
        self.dedup = runtime_context.get_state(ValueStateDescriptor("dedup_v2", some_bytes))
        self.points = runtime_context.get_map_state(
            MapStateDescriptor("points_v1", Types.LONG(), some_bytes)
        )
        # A day of points is not read anew for each block: of these only the newest hour changes.
        self.buckets = {}
        self.rejects = runtime_context.get_state(
            ValueStateDescriptor("reject_limit_v1", some_bytes)
        )

    def process_element(self, value: Any, ctx: Any) -> Iterator[Row]:  # noqa: ARG002 - Flink's
        """Apply one section of a block."""
        shard, kind = value[0], SectionKind(value[1])
        frames = unpack_frames(bytes(value[2]))
        if kind is SectionKind.BATCHES:
            yield from self._aggregate(shard, frames["batches"], frames["points"])
        elif kind is SectionKind.DEAD_LETTERS:
            yield from self._send_letters(shard, frames["letters"])
        else:
            assert kind is SectionKind.ACCOUNT, f"{kind.name} is for other jobs"
            self._judge(frames["judged"])
            yield self._account_row(shard, read_entries(frames["read"]))

    def _aggregate(self, shard: int, batches: pl.DataFrame, points: pl.DataFrame) -> Iterator[Row]:
        step = on_batches(self._state(shard), batches, points, self.policy)
        self._store(shard, step)
        for message in window_messages(step.deltas, shard, self.topics.windows_schema_id):
            yield result_row(self.topics.windows, message.key, message.value)
        yield self._account_row(shard, step.entries)

    def _state(self, shard: int) -> AggregateState:
        assert self.dedup is not None, "Flink calls open first"
        assert self.points is not None, "Flink calls open first"
        if shard not in self.buckets:
            self.buckets[shard] = {
                Place.of_key(key): Bucket.from_bytes(bytes(stored))
                for key, stored in self.points.items()
            }
        stored = self.dedup.value()
        sequences = dedup_from_bytes(bytes(stored)) if stored is not None else empty_dedup()
        return AggregateState(sequences, self.buckets[shard])

    def _store(self, shard: int, step: AggregateStep) -> None:
        assert self.dedup is not None, "Flink calls open first"
        assert self.points is not None, "Flink calls open first"
        self.dedup.update(step.state.sequences.to_bytes())
        self.buckets[shard] = step.state.points
        for place, bucket in step.points.changed.items():
            self.points.put(place.key, bucket.to_bytes())
        for place in step.points.forgotten:
            self.points.remove(place.key)

    def _send_letters(self, shard: int, letters: pl.DataFrame) -> Iterator[Row]:
        for letter in dead_letters(letters, self.topics.component):
            yield letter_row(self.topics.dead_letters, letter)
        yield self._account_row(shard, rejected_entries(letters))

    def _judge(self, judged: pl.DataFrame) -> None:
        assert self.rejects is not None, "Flink calls open first"
        stored = self.rejects.value()
        state = (
            RejectLimitState.from_bytes(bytes(stored))
            if stored is not None
            else RejectLimitState.empty()
        )
        step = on_judged(state, judged, self.limit)
        if step.excess is not None:
            raise RejectLimitExceeded(excess_text(step.excess))
        self.rejects.update(step.state.to_bytes())

    def _account_row(self, shard: int, entries: list[Entry]) -> Row:
        message = account_message(entries, self.topics.accounts_schema_id)
        return result_row(self.topics.accounts, str(shard).encode(), message)
