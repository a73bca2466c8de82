"""Runs the liveness step of each shard in Flink: blocks of contacts in, transitions out."""

from collections.abc import Iterator
from typing import Any

from pyflink.common import Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext

from udfs.frame_bytes import pack_frames
from udfs.journal_operator import KeptShards
from udfs.liveness import Step
from udfs.liveness_journal import LivenessJournal, LivingShard
from udfs.offline_policy import OfflinePolicy

END_OF_INPUT_MS = 2**63 - 2
"""Only the last watermark passes it, which comes when every source has ended."""
NO_WALL_CLOCK_MS = 0
"""Blocks are kept with the wall clock at which they came; liveness has no use for one (L2)."""


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
        self.journal: LivenessJournal | None = None
        self.shards: KeptShards[LivingShard, Step] | None = None

    def open(self, runtime_context: RuntimeContext) -> None:
        """Reach the state; its names carry the layout's version."""
        self.journal = LivenessJournal(self.policy)
        names = "liveness_v1", "liveness_blocks_v1"
        self.shards = KeptShards(runtime_context, *names, self.journal.steps)

    def process_element(self, value: Any, ctx: Any) -> Iterator[tuple[int, int, bytes]]:
        """Apply one section of a block, of contacts and clocks, devices or controls."""
        assert self.shards is not None, "Flink calls open first"
        assert self.journal is not None, "Flink calls open first"
        shard, payload = value[0], self.journal.judged(bytes(value[2]))
        yield _result(shard, self.shards.apply(shard, payload, NO_WALL_CLOCK_MS))
        if self.has_end:
            ctx.timer_service().register_event_time_timer(END_OF_INPUT_MS)

    def on_timer(self, timestamp: int, ctx: Any) -> Iterator[tuple[int, int, bytes]]:  # noqa: ARG002 - Flink's
        """Settle the end of a replayed log: nothing can come to its last instant any more."""
        assert self.shards is not None, "Flink calls open first"
        shard = ctx.get_current_key()
        yield _result(shard, self.shards.change(shard, lambda living: living.end(self.policy)))


def _result(shard: int, step: Step) -> tuple[int, int, bytes]:
    return shard, step.clock_ms, pack_frames({"transitions": step.transitions})
