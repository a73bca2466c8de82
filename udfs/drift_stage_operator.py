"""Runs the stage where shards of drift meet in Flink: reports in, what is told out."""

import time
from collections.abc import Iterator
from typing import Any

from pyflink.common import Row
from pyflink.datastream import KeyedProcessFunction, RuntimeContext

from schemas.metrics import OPEN_ROLLOUTS, operator_name
from udfs.drift.drift_shard import DriftPolicy
from udfs.drift.drift_stage import DriftStage, StageStep, stage_steps
from udfs.drift.finding_messages import finding_result
from udfs.drift.rollout_messages import verdict_result
from udfs.drift_operator import DriftTopics
from udfs.journal_operator import KeptShards
from udfs.result_operator import alert_row, result_row

STAGE = 0
"""There is one key."""


class TellDrift(KeyedProcessFunction):
    """Keeps what nobody can say who has only some of the devices.

    Every report carries the time of the log, so no timer is needed.

    Args:
        policy: how to judge.
        topics: where the results go.
    """

    def __init__(self, policy: DriftPolicy, topics: DriftTopics) -> None:
        self.policy = policy
        self.topics = topics
        self.stages: KeptShards[DriftStage, StageStep] | None = None

    def open(self, runtime_context: RuntimeContext) -> None:
        """Reach the state."""
        steps = stage_steps(self.policy)
        names = ("drift_stage_v1", "drift_stage_blocks_v1")
        self.stages = KeptShards(runtime_context, *names, steps)
        metrics = runtime_context.get_metrics_group()
        metrics.gauge(operator_name(OPEN_ROLLOUTS), self._rollout_count)

    def _rollout_count(self) -> int:
        kept = {} if self.stages is None else self.stages.shards
        return sum(len(stage.shard.judging.plans) for stage in kept.values())

    def process_element(self, value: Any, ctx: Any) -> Iterator[Row]:  # noqa: ARG002 - Flink's
        """Apply one report of a shard, or control events."""
        assert self.stages is not None, "Flink calls open first"
        # The wall clock decides when alerts leave and stamps them for people, and nothing else.
        now_ms = time.time_ns() // 1_000_000
        step = self.stages.apply(STAGE, bytes(value[2]), now_ms)
        topics = self.topics
        for finding in step.findings:
            yield result_row(finding_result(topics.drift, topics.drift_schema_id, finding))
        for record in step.verdicts:
            yield result_row(verdict_result(topics.rollouts, topics.rollouts_schema_id, record))
        for event in step.alerts:
            yield alert_row(topics.alerts, topics.alerts_schema_id, event, now_ms)
