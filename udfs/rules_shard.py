"""One shard of the rules job: rows and marks of `windows`, and control events in, alert events out.

    marks ──> time of each row, clock of the shard ──┐
    rows ────────────────────────────────────────────┼──> rules ──> told to whom? ──> held while
    controls ──> changes of rules ───────────────────┘                   │           it lags
             └── mutes, maintenance, acks ───────────────────────────────┘

All but the holding is a function of the logs alone: of `windows`, and of `control` as far as it was
read when the clock of the shard passed it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from schemas.control_records import no_controls
from udfs.alert_gate import AlertGate
from udfs.alerts import AlertRecord
from udfs.frame_bytes import join_bodies, split_bodies
from udfs.offline_policy import OfflinePolicy
from udfs.shard_journal import ShardSteps
from udfs.state_bytes import StateLayoutError, pack_state, unpack_state
from udfs.threshold_book import rule_changes
from udfs.threshold_bytes import shard_from_bytes, shard_to_bytes
from udfs.threshold_policy import ThresholdPolicy
from udfs.threshold_rows import ROW_SCHEMA
from udfs.threshold_rules import on_windows
from udfs.threshold_state import ThresholdShard
from udfs.window_blocks import PLACED_SCHEMA
from udfs.window_clocks import MARK_SCHEMA, WindowClocks

LAYOUT_VERSION = 1


@dataclass(frozen=True)
class RulesPolicy:
    """How a shard judges, and what it must know of its surroundings.

    Args:
        thresholds: of judgement.
        routes: channels of severities.
        partition_count: of `windows`: all are waited for.
        lag_after_ms: an input that is further behind is a backlog; None for logs of the past.
    """

    thresholds: ThresholdPolicy = field(default_factory=ThresholdPolicy)
    routes: OfflinePolicy = field(default_factory=OfflinePolicy)
    partition_count: int = 1
    lag_after_ms: int | None = None


@dataclass(frozen=True)
class RulesBlock:
    """What one block has for a shard: of windows, or of control events.

    Args:
        rows: `PLACED_SCHEMA`, in offset order within a partition.
        marks: `MARK_SCHEMA`, in offset order within a partition.
        controls: `schemas.control_records.CONTROL_SCHEMA`.
    """

    rows: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=PLACED_SCHEMA))
    marks: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=MARK_SCHEMA))
    controls: pl.DataFrame = field(default_factory=no_controls)


@dataclass
class RulesShard:
    """The state of one shard; a step changes it in place.

    Args:
        thresholds: windows, rules and what they told.
        clocks: of the partitions of `windows`.
        gate: what its events pass on their way to people.
    """

    thresholds: ThresholdShard = field(default_factory=ThresholdShard)
    clocks: WindowClocks = field(default_factory=WindowClocks)
    gate: AlertGate = field(default_factory=AlertGate)

    def to_bytes(self) -> bytes:
        """Write the shard."""
        meta = {
            "clocks": self.clocks.to_values(),
            "timeless_count": self.clocks.timeless_count,
            **self.gate.to_values(),
        }
        rest = pack_state(LAYOUT_VERSION, {}, meta)
        return join_bodies({"rest": rest, "thresholds": shard_to_bytes(self.thresholds)})

    @classmethod
    def from_bytes(cls, packed: bytes) -> "RulesShard":
        """Read what `to_bytes` wrote.

        Raises:
            StateLayoutError: the bytes are of no version that is known.
        """
        bodies = {name: bytes(body) for name, body in split_bodies(packed).items()}
        stored = unpack_state(bodies["rest"])
        if stored.version != LAYOUT_VERSION:
            raise StateLayoutError(f"state of rules of version {stored.version}")
        return cls(
            shard_from_bytes(bodies["thresholds"]),
            WindowClocks.from_values(stored.meta["clocks"], stored.meta["timeless_count"]),
            AlertGate.from_values(stored.meta),
        )


def on_rules_block(
    shard: RulesShard, block: RulesBlock, now_ms: int, policy: RulesPolicy
) -> list[AlertRecord]:
    """Apply one block to a shard and return the events that leave.

    Args:
        shard: it is changed in place.
        block: of rows and marks, or of controls.
        now_ms: wall clock; it decides when events leave and whom they notify, and nothing else.
        policy: how to judge.
    """
    rows = shard.clocks.timed(block.rows, block.marks, "append_time_ms").select(*ROW_SCHEMA)
    clock_ms = max(shard.thresholds.clock_ms, shard.clocks.clock_ms(policy.partition_count))
    changes = rule_changes(block.controls)
    step = on_windows(shard.thresholds, rows, changes, clock_ms, policy.thresholds, policy.routes)
    shard.gate.announce(block.controls)
    return shard.gate.pass_on(step.events, clock_ms, now_ms, policy.lag_after_ms)


def rules_steps(policy: RulesPolicy) -> ShardSteps[RulesShard, list[AlertRecord]]:
    """Return what the job does with a shard."""

    def apply(
        shard: RulesShard, frames: Mapping[str, pl.DataFrame], now_ms: int
    ) -> list[AlertRecord]:
        return on_rules_block(shard, RulesBlock(**frames), now_ms, policy)

    return ShardSteps(lambda _: RulesShard(), RulesShard.from_bytes, RulesShard.to_bytes, apply)
