"""Runs the first step of each shard in Flink: sections in, judged sections out."""

from collections.abc import Iterator
from typing import Any

from pyflink.common import Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import (
    MapState,
    MapStateDescriptor,
    ValueState,
    ValueStateDescriptor,
)

from schemas.errors import RejectLimitExceeded
from udfs.dedup_state import dedup_from_bytes, empty_dedup
from udfs.duplicates import MarkStep, SeenState
from udfs.frame_bytes import join_bodies, read_body, split_bodies
from udfs.point_dedup import Bucket, Place
from udfs.reject_limit import RejectLimitState, excess_text, on_judged
from udfs.reject_policy import RejectPolicy
from udfs.shard_blocks import mark_part
from udfs.shards import SectionKind
from udfs.split_operator import Element


class MarkDuplicates(KeyedProcessFunction):
    """Keeps what each shard has seen, and passes every section on.

    What is read and what is rejected has one key for all partitions; the reject limit is judged
    there.

    Args:
        limit: how much may be rejected.
    """

    def __init__(self, limit: RejectPolicy) -> None:
        self.limit = limit
        self.dedup: ValueState | None = None
        self.points: MapState | None = None
        self.rejects: ValueState | None = None
        self.seen: dict[int, SeenState] = {}

    def open(self, runtime_context: RuntimeContext) -> None:
        """Reach the state; its name carries the layout's version."""
        some_bytes = Types.PRIMITIVE_ARRAY(Types.BYTE())
        self.dedup = runtime_context.get_state(ValueStateDescriptor("dedup_v2", some_bytes))
        self.points = runtime_context.get_map_state(
            MapStateDescriptor("points_v1", Types.LONG(), some_bytes)
        )
        self.rejects = runtime_context.get_state(
            ValueStateDescriptor("reject_limit_v1", some_bytes)
        )
        # State is written after each block, but not read anew: a day of points is large.
        self.seen = {}

    def process_element(self, value: Any, ctx: Any) -> Iterator[Element]:  # noqa: ARG002 - Flink's
        """Judge one section of a block."""
        shard, kind, payload = value[0], SectionKind(value[1]), bytes(value[2])
        if kind is SectionKind.BATCHES:
            step, payload = mark_part(self._state(shard), payload)
            self._store(shard, step)
        elif kind is SectionKind.ACCOUNT:
            bodies = split_bodies(payload)
            self._judge(bodies.pop("judged"))
            payload = join_bodies(bodies)
        yield shard, int(kind), payload

    def _state(self, shard: int) -> SeenState:
        assert self.dedup is not None, "Flink calls open first"
        assert self.points is not None, "Flink calls open first"
        if shard not in self.seen:
            stored = self.dedup.value()
            sequences = dedup_from_bytes(bytes(stored)) if stored is not None else empty_dedup()
            buckets = {
                Place.of_key(key): Bucket.from_bytes(bytes(bucket))
                for key, bucket in self.points.items()
            }
            self.seen[shard] = SeenState(sequences, buckets)
        return self.seen[shard]

    def _store(self, shard: int, step: MarkStep) -> None:
        assert self.dedup is not None, "Flink calls open first"
        assert self.points is not None, "Flink calls open first"
        self.seen[shard] = step.state
        self.dedup.update(step.state.sequences.to_bytes())
        for place, bucket in step.points.changed.items():
            self.points.put(place.key, bucket.to_bytes())
        for place in step.points.forgotten:
            self.points.remove(place.key)

    def _judge(self, judged: memoryview) -> None:
        assert self.rejects is not None, "Flink calls open first"
        stored = self.rejects.value()
        state = (
            RejectLimitState.from_bytes(bytes(stored))
            if stored is not None
            else RejectLimitState.empty()
        )
        step = on_judged(state, read_body(judged), self.limit)
        if step.excess is not None:
            raise RejectLimitExceeded(excess_text(step.excess))
        self.rejects.update(step.state.to_bytes())
