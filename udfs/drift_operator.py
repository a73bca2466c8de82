"""Runs drift detection of each shard in Flink: windows and controls in, reports out."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pyflink.datastream import KeyedProcessFunction, RuntimeContext

from schemas.metrics import DRIFT_CLOCK, DRIFT_LATE, operator_name
from udfs.drift.drift_shard import DriftPolicy, DriftShard, DriftStep, drift_steps, report_of
from udfs.drift.shard_reports import report_bytes
from udfs.journal_operator import KeptShards
from udfs.partition_clocks import UNKNOWN_MS
from udfs.shards import SectionKind
from udfs.split_operator import Element


@dataclass(frozen=True)
class DriftTopics:
    """Where findings, alerts and verdicts go: names on the broker, and schema ids.

    Args:
        windows_partition_count: all are waited for.
    """

    drift: str
    drift_schema_id: int
    alerts: str
    alerts_schema_id: int
    rollouts: str
    rollouts_schema_id: int
    windows_partition_count: int = 1


class FindDrift(KeyedProcessFunction):
    """Keeps the open windows and the detectors of each shard.

    Every element carries the time of the log, so no timer is needed.

    Args:
        policy: how to judge.
    """

    def __init__(self, policy: DriftPolicy) -> None:
        self.policy = policy
        self.shards: KeptShards[DriftShard, DriftStep] | None = None

    def open(self, runtime_context: RuntimeContext) -> None:
        """Reach the state."""
        steps = drift_steps(self.policy)
        self.shards = KeptShards(runtime_context, "drift_v1", "drift_blocks_v1", steps)
        metrics = runtime_context.get_metrics_group()
        metrics.gauge(operator_name(DRIFT_CLOCK), self._clock_s)
        metrics.gauge(operator_name(DRIFT_LATE), self._late_count)

    def _kept(self) -> list[DriftShard]:
        kept = {} if self.shards is None else self.shards.shards
        return [journaled.shard for journaled in kept.values()]

    def _clock_s(self) -> int:
        count = self.policy.partition_count
        clocks_ms = (shard.clocks.clock_ms(count) for shard in self._kept())
        return min(clocks_ms, default=UNKNOWN_MS) // 1000

    def _late_count(self) -> int:
        return sum(shard.windows.late_count for shard in self._kept())

    def process_element(self, value: Any, ctx: Any) -> Iterator[Element]:  # noqa: ARG002 - Flink's
        """Apply one section of a block, of windows or of controls."""
        assert self.shards is not None, "Flink calls open first"
        shard, kind, payload = value[0], value[1], bytes(value[2])
        # The wall clock decides when alerts leave and whom they notify, and nothing else.
        now_ms = time.time_ns() // 1_000_000
        step = self.shards.apply(shard, payload, now_ms)
        if step.is_said:
            yield shard, int(SectionKind.REPORT), report_bytes(report_of(shard, step))
        # All shards have the controls: the stage has them from one.
        if kind == SectionKind.CONTROLS and shard == 0:
            yield shard, kind, payload
