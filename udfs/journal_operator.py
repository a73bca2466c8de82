"""Keeps large shards in Flink's keyed state: wholes, and the blocks since."""

from collections.abc import Callable
from typing import Generic, TypeVar

from pyflink.common import Types
from pyflink.datastream import RuntimeContext
from pyflink.datastream.state import (
    ListState,
    ListStateDescriptor,
    ValueState,
    ValueStateDescriptor,
)

from udfs.shard_journal import JournaledShard, ShardSteps, entry_of

S = TypeVar("S")
R = TypeVar("R")


class KeptShards(Generic[S, R]):
    """The shards of one keyed operator.

    Args:
        context: of the operator.
        wholes: name of the state of wholes, as `blocks` of the blocks; they carry the layout's
            version.
        steps: of the job.
    """

    def __init__(
        self, context: RuntimeContext, wholes: str, blocks: str, steps: ShardSteps[S, R]
    ) -> None:
        some_bytes = Types.PRIMITIVE_ARRAY(Types.BYTE())
        self.steps = steps
        self.wholes: ValueState = context.get_state(ValueStateDescriptor(wholes, some_bytes))
        self.blocks: ListState = context.get_list_state(ListStateDescriptor(blocks, some_bytes))
        self.shards: dict[int, JournaledShard[S, R]] = {}

    def apply(self, number: int, payload: bytes, now_ms: int) -> R:
        """Apply one block to the shard of the operator's present key, and keep it.

        Args:
            number: of the shard.
            payload: frames of the block.
            now_ms: wall clock.

        Returns:
            What leaves.
        """
        kept, entry = self._shard(number), entry_of(payload, now_ms)
        left = kept.apply(entry)
        if kept.is_whole_due:
            self.wholes.update(kept.whole())
            self.blocks.clear()
        else:
            self.blocks.add(entry)
        return left

    def change(self, number: int, do: Callable[[S], R]) -> R:
        """Do something else than a block to a shard, and keep the whole; return what leaves."""
        kept = self._shard(number)
        left = do(kept.shard)
        self.wholes.update(kept.whole())
        self.blocks.clear()
        return left

    def _shard(self, number: int) -> JournaledShard[S, R]:
        if number not in self.shards:
            whole = self.wholes.value()
            self.shards[number] = JournaledShard.restored(
                number,
                None if whole is None else bytes(whole),
                [bytes(entry) for entry in self.blocks.get() or ()],
                self.steps,
            )
        return self.shards[number]
