"""`windows` -> drift job, without Flink: for tests of the drift job.

Telemetry becomes the log of windows by `tests.rules_chain.Aggregate`.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from schemas.records import Record, schema_of
from schemas.topics import Topic
from tests.alert_logs import Event, at
from tests.oracle.threshold_oracle import Heard
from tests.rules_chain import Written, apply_stored, raw_windows
from udfs.drift.drift_shard import DriftPolicy, DriftStep, drift_steps, report_of
from udfs.drift.drift_stage import StageStep, stage_steps
from udfs.drift.findings import DriftFinding
from udfs.drift.shard_reports import report_bytes
from udfs.drift.window_rows import DRIFT_ROWS
from udfs.window_blocks import window_sections

MINUTE_MS = 60_000
BEGIN_MS = at("12:00:00")
STEP_MS = 30_000
STAGE = -1
"""Number of the stage among the shards that the chain keeps."""
Span = tuple[int, int]


@dataclass
class DriftChain:
    """The drift job: shards, and the stage where they meet.

    Args:
        shard_count: of the subjects.
        policy: of judgement.
        is_restarted: whether each shard is stored and read again after each block.
        findings: that left, in order.
        alerts: as findings.
        verdicts: as findings.
    """

    shard_count: int = 1
    policy: DriftPolicy = field(default_factory=lambda: DriftPolicy(partition_count=2))
    is_restarted: bool = False
    wholes: dict[int, bytes] = field(default_factory=dict)
    entries: dict[int, list[bytes]] = field(default_factory=dict)
    shards: dict[int, Any] = field(default_factory=dict)
    findings: list[DriftFinding] = field(default_factory=list)
    alerts: list[Event] = field(default_factory=list)
    verdicts: list[Record] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.policy = replace(self.policy, shard_count=self.shard_count)

    def control(self, payload: bytes, now_ms: int = 0) -> None:
        """Apply control events to every shard."""
        for shard in range(self.shard_count):
            self._apply(shard, payload, now_ms)
        self._meet(payload, now_ms)

    def windows(self, written: Sequence[Written], now_ms: int = 0) -> None:
        """Apply a block of `windows`."""
        sections = window_sections(
            raw_windows(written), lambda _: schema_of(Topic.WINDOWS), self.shard_count, DRIFT_ROWS
        )
        for section in sections:
            self._apply(section.shard, section.payload, now_ms)

    def _apply(self, number: int, payload: bytes, now_ms: int) -> None:
        step: DriftStep = apply_stored(self, drift_steps(self.policy), number, payload, now_ms)
        if step.is_said:
            self._meet(report_bytes(report_of(number, step)), now_ms)

    def _meet(self, payload: bytes, now_ms: int) -> None:
        left: StageStep = apply_stored(self, stage_steps(self.policy), STAGE, payload, now_ms)
        self.findings += left.findings
        self.alerts += left.alerts
        self.verdicts += left.verdicts


def heard(device_id: str, minute: float, value: float, group: str = "g") -> Heard:
    """Return one point of `temp`, measured 10 s before it comes."""
    at_ms = BEGIN_MS + int(minute * MINUTE_MS)
    return Heard(at_ms, device_id, group, (("temp", at_ms - 10_000, value),))


def bad_log(bad: dict[str, Span], minutes: int) -> list[Heard]:
    """Return a point a minute of devices that send NaN in a span of minutes."""
    return [
        heard(device, minute + 0.5, float("nan") if span[0] <= minute < span[1] else 20.0)
        for device, span in bad.items()
        for minute in range(minutes)
    ]


def random_bad_log(seed: int) -> list[Heard]:
    """Return 50 minutes of four devices in two groups, some of them unreadable, some late."""
    chance = random.Random(seed)
    log = []
    for number in range(4):
        begin = chance.randrange(20)
        end = begin + chance.choice([0, 20, 25, 60])
        for minute in range(50):
            value = float("nan") if begin <= minute < end else 20.0
            late = chance.choice([0] * 20 + [3, 14, 30])
            point = heard(f"d{number}", minute + chance.random(), value, f"g{number % 2}")
            if chance.random() < 0.6:
                at_ms = (point.at_ms + late * MINUTE_MS) // STEP_MS * STEP_MS + 1_000
                log.append(point._replace(at_ms=at_ms))
    return sorted(log)
