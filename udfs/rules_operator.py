"""Runs the rules of each shard in Flink: blocks of windows and controls in, alerts out."""

import time
from collections.abc import Iterator
from typing import Any

from pyflink.common import Row
from pyflink.datastream import KeyedProcessFunction, RuntimeContext

from udfs.alerts import AlertRecord
from udfs.journal_operator import KeptShards
from udfs.result_operator import alert_row
from udfs.rules_shard import RulesPolicy, RulesShard, rules_steps


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
        self.shards: KeptShards[RulesShard, list[AlertRecord]] | None = None

    def open(self, runtime_context: RuntimeContext) -> None:
        """Reach the state."""
        steps = rules_steps(self.policy)
        self.shards = KeptShards(runtime_context, "rules_v1", "rule_blocks_v1", steps)

    def process_element(self, value: Any, ctx: Any) -> Iterator[Row]:  # noqa: ARG002 - Flink's
        """Apply one section of a block, of windows or of controls."""
        assert self.shards is not None, "Flink calls open first"
        # The wall clock decides when events leave and stamps them for people, and nothing else.
        now_ms = time.time_ns() // 1_000_000
        for event in self.shards.apply(value[0], bytes(value[2]), now_ms):
            yield alert_row(self.alerts, self.schema_id, event, now_ms)
