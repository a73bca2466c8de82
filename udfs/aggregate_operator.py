"""Runs the aggregation step of each shard in Flink: bytes in, Kafka rows out."""

from collections.abc import Iterator
from typing import Any

from pyflink.common import Row, Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import ValueState, ValueStateDescriptor

from udfs.aggregate import on_batches
from udfs.dead_letters import dead_letters
from udfs.dedup import dedup_from_bytes, empty_dedup
from udfs.frame_bytes import unpack_frames
from udfs.shards import SectionKind
from udfs.window_messages import window_messages
from udfs.windows import WindowPolicy


class AggregateShards(KeyedProcessFunction):
    """Keeps the duplicate bitmap of each shard; sends window deltas and dead letters at once.

    Args:
        policy: of the windows.
        windows_topic: name on the broker.
        dead_letters_topic: name on the broker.
        windows_schema_id: under which WindowDeltas is registered.
    """

    def __init__(
        self,
        policy: WindowPolicy,
        *,
        windows_topic: str,
        dead_letters_topic: str,
        windows_schema_id: int,
    ) -> None:
        self.policy = policy
        self.windows_topic = windows_topic
        self.dead_letters_topic = dead_letters_topic
        self.windows_schema_id = windows_schema_id
        self.dedup: ValueState | None = None

    def open(self, runtime_context: RuntimeContext) -> None:
        """Reach the state; its name carries the layout's version."""
        descriptor = ValueStateDescriptor("dedup_v1", Types.PRIMITIVE_ARRAY(Types.BYTE()))
        self.dedup = runtime_context.get_state(descriptor)

    def process_element(self, value: Any, ctx: Any) -> Iterator[Row]:  # noqa: ARG002 - Flink's
        """Apply one section of a block."""
        shard, kind, payload = value[0], SectionKind(value[1]), bytes(value[2])
        frames = unpack_frames(payload)
        if kind is SectionKind.DEAD_LETTERS:
            for letter in dead_letters(frames["letters"]):
                yield Row(self.dead_letters_topic, letter.key, letter.value, letter.headers)
            return
        assert self.dedup is not None, "Flink calls open first"
        stored = self.dedup.value()
        state = dedup_from_bytes(bytes(stored)) if stored is not None else empty_dedup()
        step = on_batches(state, frames["batches"], frames["points"], self.policy)
        self.dedup.update(step.state.to_bytes())
        for message in window_messages(step.deltas, shard, self.windows_schema_id):
            yield Row(self.windows_topic, message.key, message.value, {})
