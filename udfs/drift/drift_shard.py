"""One shard of the drift job: rows and marks of `windows`, and controls in; findings, alerts out.

    marks ──> time of each row, clock of the shard ──┐
    rows ───> windows that are complete, by step ────┴──> detectors ──> findings ──> topic `drift`
         └───> parts of rollouts: devices by version ─────> the stage where all shards meet
    controls ──> accepted as normal ─────────────────────────┘             │
             └── mutes, maintenance, acks ─────> told to whom? <── those that page
                                                      └──> held while it lags ──> topic `alerts`

All but the holding is a function of the logs alone: of `windows`, and of `control` as far as it was
read when the clock of the shard passed it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import polars as pl

from schemas.control_records import no_controls
from udfs.alert_gate import AlertGate
from udfs.alerts import AlertRecord
from udfs.drift.accepts import Accepts
from udfs.drift.budget import USUAL, Budget
from udfs.drift.company import Company, company_of
from udfs.drift.complete_bytes import windows_from_bytes, windows_to_bytes
from udfs.drift.complete_policy import CompletePolicy
from udfs.drift.complete_windows import CompleteWindows
from udfs.drift.detector_bank import DetectorBank
from udfs.drift.finding_alerts import FindingAlerts
from udfs.drift.findings import DriftFinding
from udfs.drift.rollout_gathering import NO_VERSIONS, RolloutGathering, RolloutNews
from udfs.drift.rollout_policy import RolloutPolicy
from udfs.drift.shard_reports import Found, ShardReport
from udfs.drift.window_rows import no_drift_rows
from udfs.frame_bytes import join_bodies, split_bodies
from udfs.offline_policy import OfflinePolicy
from udfs.shard_journal import ShardSteps
from udfs.state_bytes import StateLayoutError, pack_state, unpack_state
from udfs.window_clocks import MARK_SCHEMA, WindowClocks
from udfs.windows import Scope

LAYOUT_VERSION = 1


@dataclass(frozen=True)
class DriftPolicy:
    """How a shard judges, and what it must know of its surroundings.

    Args:
        windows: when they are complete.
        routes: channels of severities.
        partition_count: of `windows`: all are waited for.
        lag_after_ms: an input that is further behind is a backlog; None for logs of the past.
        rollouts: how they are noticed and judged.
        shard_count: that report to the stage where all meet.
        budget: false pages that are accepted.
    """

    windows: CompletePolicy = field(default_factory=CompletePolicy)
    routes: OfflinePolicy = field(default_factory=OfflinePolicy)
    partition_count: int = 1
    lag_after_ms: int | None = None
    rollouts: RolloutPolicy = field(default_factory=RolloutPolicy)
    shard_count: int = 1
    budget: Budget = USUAL

    def __post_init__(self) -> None:
        wait_ms = self.windows.complete_after_ms + self.windows.step_ms
        assert self.rollouts.canary.lateness_ms > wait_ms, "looks wait for their last windows"


@dataclass(frozen=True)
class DriftBlock:
    """What one block has for a shard: of windows, or of control events.

    Args:
        rows: `PLACED_DRIFT_SCHEMA`, in offset order within a partition.
        marks: `MARK_SCHEMA`, in offset order within a partition.
        controls: `schemas.control_records.CONTROL_SCHEMA`.
    """

    rows: pl.DataFrame = field(default_factory=no_drift_rows)
    marks: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=MARK_SCHEMA))
    controls: pl.DataFrame = field(default_factory=no_controls)


@dataclass(frozen=True)
class DriftStep:
    """What leaves with one block; alerts may be of findings of earlier ones.

    Args:
        found: findings, each with its step.
        alerts: events.
        news: of rollouts.
        company: of its devices, for their groups.
        clock_ms: how far the shard has come.
        is_beat: whether the clock has reached another step: the stage waits for it.
    """

    found: list[Found]
    alerts: list[AlertRecord]
    news: RolloutNews
    company: Company
    clock_ms: int
    is_beat: bool

    @property
    def findings(self) -> list[DriftFinding]:
        """Return the findings alone."""
        return [each.finding for each in self.found]

    @property
    def is_said(self) -> bool:
        """Return whether the stage must hear of it."""
        news = self.news
        return bool(self.is_beat or self.found or self.alerts or news.plans or news.looks)


@dataclass
class DriftShard:
    """The state of one shard; a step changes it in place.

    Args:
        windows: that are not complete yet.
        bank: the detectors.
        clocks: of the partitions of `windows`.
        accepts: what operators accepted and has not acted yet.
        incidents: of which alerts fire.
        gate: what its alerts pass on their way to people.
        rollouts: that it takes part in.
    """

    windows: CompleteWindows = field(default_factory=CompleteWindows)
    bank: DetectorBank = field(default_factory=DetectorBank)
    clocks: WindowClocks = field(default_factory=WindowClocks)
    accepts: Accepts = field(default_factory=Accepts)
    incidents: FindingAlerts = field(default_factory=FindingAlerts)
    gate: AlertGate = field(default_factory=AlertGate)
    rollouts: RolloutGathering = field(default_factory=RolloutGathering)

    def label_of(self, finding: DriftFinding) -> tuple[str, str]:
        """Return deployment group and model version of whom a finding is about."""
        if finding.scope == Scope.GROUP.value:
            return finding.subject, ""
        return self.windows.label_of(finding.tenant_id, finding.scope, finding.subject)


def on_drift_block(
    shard: DriftShard, block: DriftBlock, now_ms: int, policy: DriftPolicy
) -> DriftStep:
    """Apply one block to a shard and return what leaves.

    Args:
        shard: it is changed in place.
        block: of rows and marks, or of controls.
        now_ms: wall clock; it decides when alerts leave and whom they notify, and nothing else.
        policy: how to judge.
    """
    before_ms = shard.clocks.clock_ms(policy.partition_count)
    rows = shard.clocks.timed(block.rows, block.marks, "time_ms")
    shard.windows.take(rows.drop("partition", "offset"))
    shard.accepts.announce(block.controls, shard.windows.settled_ms, policy.windows)
    shard.gate.announce(block.controls)
    clock_ms = shard.clocks.clock_ms(policy.partition_count)
    found: list[Found] = []
    alerts: list[AlertRecord] = []
    news, company = RolloutNews(), Company()
    while (step_ms := _next_step(shard, clock_ms, policy)) is not None:
        complete, findings = _settle(shard, step_ms, policy)
        alerts += shard.incidents.records(findings, shard.label_of, step_ms, policy.routes)
        found += [Found(step_ms, *shard.label_of(f), f) for f in findings]
        company.add(company_of(complete, shard.bank.take_near(), step_ms))
        news.add(shard.rollouts.take(complete, step_ms, policy.rollouts))
    told = shard.gate.pass_on(alerts, clock_ms, now_ms, policy.lag_after_ms)
    is_beat = clock_ms // policy.windows.step_ms > before_ms // policy.windows.step_ms
    return DriftStep(found, told, news, company, clock_ms, is_beat)


def _next_step(shard: DriftShard, clock_ms: int, policy: DriftPolicy) -> int | None:
    of_windows = shard.windows.next_step(clock_ms, policy.windows)
    steps = (of_windows, shard.accepts.next_step(clock_ms), _next_look(shard, clock_ms, policy))
    return min((step_ms for step_ms in steps if step_ms is not None), default=None)


def _next_look(shard: DriftShard, clock_ms: int, policy: DriftPolicy) -> int | None:
    """Return the step at which a look of a rollout is due, None when none is."""
    due_ms = shard.rollouts.next_due_ms(policy.rollouts.canary)
    if due_ms is None:
        return None
    step_ms = policy.windows.step_after(max(due_ms - 1, shard.windows.settled_ms))
    return step_ms if step_ms <= clock_ms else None


def _settle(
    shard: DriftShard, step_ms: int, policy: DriftPolicy
) -> tuple[pl.DataFrame, list[DriftFinding]]:
    """Let one step pass: what was accepted acts, then the detectors see what is complete."""
    complete = shard.windows.settle(step_ms, policy.windows)
    accepted = shard.accepts.take_due(step_ms)
    found = shard.bank.accept(accepted, step_ms) if accepted else []
    return complete, found + (shard.bank.observe(complete, step_ms) if len(complete) else [])


def report_of(number: int, step: DriftStep) -> ShardReport:
    """Return what a step of a shard tells the stage where all meet."""
    return ShardReport(number, step.clock_ms, step.found, step.alerts, step.news, step.company)


def drift_steps(policy: DriftPolicy) -> ShardSteps[DriftShard, DriftStep]:
    """Return what the job does with a shard."""

    def apply(shard: DriftShard, frames: Mapping[str, pl.DataFrame], now_ms: int) -> DriftStep:
        return on_drift_block(shard, DriftBlock(**frames), now_ms, policy)

    read, write = partial(shard_from_bytes, policy=policy), partial(shard_to_bytes, policy=policy)

    def blank(number: int) -> DriftShard:  # noqa: ARG001 - all begin alike
        return DriftShard(bank=DetectorBank.of(policy.budget))

    return ShardSteps(blank, read, write, apply)


def shard_to_bytes(shard: DriftShard, policy: DriftPolicy) -> bytes:
    """Write a shard."""
    book, units = shard.rollouts.to_bodies(policy.rollouts.canary)
    meta = {
        "rollouts": book,
        "clocks": shard.clocks.to_values(),
        "accepts": shard.accepts.pending,
        "incidents": shard.incidents.to_values(),
        "timeless_count": shard.clocks.timeless_count,
        **shard.gate.to_values(),
    }
    return join_bodies(
        {
            "rest": pack_state(LAYOUT_VERSION, {}, meta),
            "windows": windows_to_bytes(shard.windows, policy.windows),
            "bank": shard.bank.to_bytes(),
            "rollouts": units,
        }
    )


def shard_from_bytes(packed: bytes, policy: DriftPolicy) -> DriftShard:
    """Read what `shard_to_bytes` wrote.

    Raises:
        StateLayoutError: the bytes are of no version that is known, or of looks of other length.
    """
    bodies = {name: bytes(body) for name, body in split_bodies(packed).items()}
    stored = unpack_state(bodies["rest"])
    if stored.version != LAYOUT_VERSION:
        raise StateLayoutError(f"state of drift of version {stored.version}")
    return DriftShard(
        windows_from_bytes(bodies["windows"]),
        DetectorBank.from_bytes(bodies["bank"], policy.budget),
        WindowClocks.from_values(stored.meta["clocks"], stored.meta["timeless_count"]),
        Accepts([(step_ms, offset, text) for step_ms, offset, text in stored.meta["accepts"]]),
        FindingAlerts.from_values(stored.meta["incidents"]),
        AlertGate.from_values(stored.meta),
        # The first releases knew of no rollouts.
        RolloutGathering.from_bodies(
            stored.meta.get("rollouts", NO_VERSIONS),
            bodies.get("rollouts", b""),
            policy.rollouts.canary,
        ),
    )
