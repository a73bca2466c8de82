"""Runs the rules of each shard in Flink: blocks of windows and controls in, alerts out."""

import time
from collections.abc import Iterator
from typing import Any

from pyflink.common import Row, Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import (
    ListState,
    ListStateDescriptor,
    ValueState,
    ValueStateDescriptor,
)

from udfs.result_operator import alert_row
from udfs.rules_journal import JournaledShard, entry_of
from udfs.rules_shard import RulesPolicy


class ApplyRules(KeyedProcessFunction):
    """Keeps the windows of each shard and holds them against the rules.

    Every element carries the time of the log, so no timer is needed.

    Args:
        policy: how to judge.
        alerts: name of the topic on the broker.
        schema_id: under which AlertEvent is registered.
    """

    def __init__(self, policy: RulesPolicy, alerts: str, schema_id: int) -> None:
        self.policy = policy
        self.alerts = alerts
        self.schema_id = schema_id
        self.wholes: ValueState | None = None
        self.blocks: ListState | None = None
        self.shards: dict[int, JournaledShard] = {}

    def open(self, runtime_context: RuntimeContext) -> None:
        """Reach the state; its names carry the layout's version."""
        some_bytes = Types.PRIMITIVE_ARRAY(Types.BYTE())
        self.wholes = runtime_context.get_state(ValueStateDescriptor("rules_v1", some_bytes))
        self.blocks = runtime_context.get_list_state(
            ListStateDescriptor("rule_blocks_v1", some_bytes)
        )
        self.shards = {}

    def process_element(self, value: Any, ctx: Any) -> Iterator[Row]:  # noqa: ARG002 - Flink's
        """Apply one section of a block, of windows or of controls."""
        # The wall clock decides when events leave and stamps them for people, and nothing else.
        now_ms = time.time_ns() // 1_000_000
        kept = self._shard(value[0])
        entry = entry_of(bytes(value[2]), now_ms)
        events = kept.apply(entry, self.policy)
        self._store(kept, entry)
        for event in events:
            yield alert_row(self.alerts, self.schema_id, event, now_ms)

    def _shard(self, number: int) -> JournaledShard:
        assert self.wholes is not None, "Flink calls open first"
        assert self.blocks is not None, "Flink calls open first"
        if number not in self.shards:
            whole = self.wholes.value()
            self.shards[number] = JournaledShard.restored(
                number,
                None if whole is None else bytes(whole),
                [bytes(entry) for entry in self.blocks.get() or ()],
                self.policy,
            )
        return self.shards[number]

    def _store(self, kept: JournaledShard, entry: bytes) -> None:
        assert self.wholes is not None, "Flink calls open first"
        assert self.blocks is not None, "Flink calls open first"
        if kept.is_whole_due:
            self.wholes.update(kept.whole())
            self.blocks.clear()
        else:
            self.blocks.add(entry)
