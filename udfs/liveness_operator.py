"""Runs the liveness step of each shard in Flink: blocks of contacts in, transitions out."""

from collections.abc import Iterator
from typing import Any

from pyflink.common import Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import ValueState, ValueStateDescriptor

from udfs.frame_bytes import pack_frames, unpack_frames
from udfs.liveness import LivenessBlock, LivenessShard, Step, on_block, on_end
from udfs.offline_policy import OfflinePolicy

END_OF_INPUT_MS = 2**63 - 2
"""Only the last watermark passes it, which comes when every source has ended."""


def transition_type() -> Any:
    """Return the Flink type of (shard, the shard's clock in ms, packed transitions)."""
    return Types.TUPLE([Types.INT(), Types.LONG(), Types.PRIMITIVE_ARRAY(Types.BYTE())])


class WatchShards(KeyedProcessFunction):
    """Keeps who was heard when; every element carries clocks, so no timer decides anything.

    Args:
        policy: when silence is a warning, and when it is critical.
        has_end: whether the log is a replay's: when all of it is read, its last instant is settled.
    """

    def __init__(self, policy: OfflinePolicy, *, has_end: bool = False) -> None:
        self.policy = policy
        self.has_end = has_end
        self.liveness: ValueState | None = None
        self.shards: dict[int, LivenessShard] = {}

    def open(self, runtime_context: RuntimeContext) -> None:
        """Reach the state; its name carries the layout's version."""
        descriptor = ValueStateDescriptor("liveness_v1", Types.PRIMITIVE_ARRAY(Types.BYTE()))
        self.liveness = runtime_context.get_state(descriptor)
        # State is written after each block, but not read anew: ids are dear to unpack.
        self.shards = {}

    def process_element(self, value: Any, ctx: Any) -> Iterator[tuple[int, int, bytes]]:
        """Apply one section of a block, of contacts and clocks, devices or controls."""
        shard, payload = value[0], bytes(value[2])
        block = LivenessBlock(**unpack_frames(payload))
        yield self._result(shard, on_block(self._state(shard), block, self.policy))
        if self.has_end:
            ctx.timer_service().register_event_time_timer(END_OF_INPUT_MS)

    def on_timer(self, timestamp: int, ctx: Any) -> Iterator[tuple[int, int, bytes]]:  # noqa: ARG002 - Flink's
        """Settle the end of a replayed log: nothing can come to its last instant any more."""
        shard = ctx.get_current_key()
        yield self._result(shard, on_end(self._state(shard), self.policy))

    def _result(self, shard: int, step: Step) -> tuple[int, int, bytes]:
        self._store(shard, step.state)
        return shard, step.clock_ms, pack_frames({"transitions": step.transitions})

    def _state(self, shard: int) -> LivenessShard:
        assert self.liveness is not None, "Flink calls open first"
        if shard not in self.shards:
            stored = self.liveness.value()
            self.shards[shard] = (
                LivenessShard.from_bytes(bytes(stored))
                if stored is not None
                else LivenessShard.empty(shard)
            )
        return self.shards[shard]

    def _store(self, shard: int, state: LivenessShard) -> None:
        assert self.liveness is not None, "Flink calls open first"
        self.shards[shard] = state
        self.liveness.update(state.to_bytes())
