"""A fleet of groups, calm or with a fault, through the detectors and the judgement of groups."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from udfs.drift.budget import Budget
from udfs.drift.company import NEAR_SCHEMA, SIZE_SCHEMA, Company
from udfs.drift.findings import DriftFinding, State
from udfs.drift.group_incidents import GroupIncidents
from udfs.drift.observations import Observations
from udfs.drift.shard_reports import Found
from udfs.drift.stream_detectors import StreamDetectors
from udfs.drift.stream_evidence import near_pages
from udfs.drift.stream_findings import StreamName, findings_of
from udfs.drift.stream_member import device_policy, group_policy
from udfs.histogram import Floats

WINDOW_MS, MINUTE_MS = 300_000, 60_000
MINUTES = WINDOW_MS // MINUTE_MS
TENANT = "t"
CYCLE_SIGMA = 0.16
"""Of the day, common to all: one sigma of a minute of a group of 200, which has no peers."""


@dataclass(frozen=True)
class GateFleet:
    """How large the fleet is: devices in equal groups, each with all metrics."""

    devices: int
    groups: int
    metrics: int

    @property
    def group_size(self) -> int:
        """Return the devices of one group."""
        return self.devices // self.groups


@dataclass(frozen=True)
class Fault:
    """A fault of the first group.

    Args:
        name: of the fault.
        ratio: of the group's devices that have it, 0 to 1.
        shifts: by metric number, in standard deviations of one device's windows.
        windows: that it is watched for.
    """

    name: str
    ratio: float
    shifts: dict[int, float]
    windows: int = 300

    @property
    def metric_names(self) -> list[str]:
        """Return the metrics that have moved."""
        return [f"m{number}" for number in self.shifts]


FAULTS = (
    Fault("5 % of a group, one metric, 1 sigma", 0.05, {0: 1.0}),
    Fault("5 % of a group, three metrics, 1 sigma", 0.05, {0: 1.0, 1: -1.0, 2: 1.0}),
    Fault("30 % of a group, two metrics, 2 sigma", 0.3, {0: 2.0, 1: 2.0}),
    Fault("a whole group, three metrics, 1 sigma", 1.0, {0: 1.0, 1: 1.0, 2: -1.0}),
    Fault("one device, one metric, 1 sigma", 0.001, {0: 1.0}),
)


@dataclass
class Gate:
    """One run.

    Args:
        fleet: its size.
        budget: of the detectors.
        chance: seeded.
        pages: findings that notify, in order.
        silent_count: findings of devices that would have paged alone.
    """

    fleet: GateFleet
    budget: Budget
    chance: np.random.Generator
    pages: list[DriftFinding] = field(default_factory=list)
    silent_count: int = 0
    window: int = 0
    company: GroupIncidents = field(default_factory=GroupIncidents)
    devices: StreamDetectors = field(init=False)
    groups: StreamDetectors = field(init=False)

    def __post_init__(self) -> None:
        fleet = self.fleet
        self.devices = StreamDetectors(device_policy(self.budget))
        self.groups = StreamDetectors(group_policy(self.budget))
        self.devices.grow(fleet.devices * fleet.metrics)
        self.groups.grow(fleet.groups * fleet.metrics)
        self.device_names = [
            StreamName(TENANT, "device", f"d{device}", f"m{metric}")
            for device in range(fleet.devices) for metric in range(fleet.metrics)
        ]  # fmt: skip
        self.group_names = [
            StreamName(TENANT, "group", f"g{group}", f"m{metric}")
            for group in range(fleet.groups) for metric in range(fleet.metrics)
        ]  # fmt: skip
        self.offsets = self.chance.normal(50, 5, (fleet.devices, fleet.metrics))

    def windows_since(self, finding: DriftFinding, window: int) -> float:
        """Return how many windows after one a finding came."""
        return round((finding.detected_at_ms - window * WINDOW_MS) / WINDOW_MS, 1)

    def run(self, windows: int, fault: Fault | None, block: int = 1) -> None:
        """Let windows pass; of a block only the last is looked at for company."""
        for _ in range(windows // block):
            self._step(fault, block)
            self.window += block

    def _step(self, fault: Fault | None, block: int) -> None:
        fleet, start_ms = self.fleet, self.window * WINDOW_MS
        minutes = self._minutes(fault, block)
        values = minutes.reshape(block, MINUTES, fleet.devices, fleet.metrics).mean(axis=1)
        in_groups = (len(minutes), fleet.groups, fleet.group_size, fleet.metrics)
        of_group = minutes.reshape(in_groups).mean(axis=2)
        of_span = of_group.reshape(block, MINUTES, fleet.groups, fleet.metrics).mean(axis=1)
        peers = np.repeat(of_span, fleet.group_size, axis=1)
        seen = _observations(values, start_ms, WINDOW_MS)
        step = self.devices.observe(seen, (values - peers).reshape(-1))
        found = list(findings_of(step, self.device_names, self.devices.window_ms))
        near = near_pages(self.devices, seen, step.log10_e)
        of_groups = self.groups.observe(_observations(of_group, start_ms, MINUTE_MS))
        found += findings_of(of_groups, self.group_names, self.groups.window_ms)
        self._judge(found, near, start_ms + block * WINDOW_MS)

    def _minutes(self, fault: Fault | None, block: int) -> Floats:
        """Return means of minutes, shape (minutes, devices, metrics); a window's sigma is 1."""
        fleet = self.fleet
        shape = (block * MINUTES, fleet.devices, fleet.metrics)
        hours = (self.window * MINUTES + np.arange(shape[0])) / 60
        cycle = CYCLE_SIGMA * np.sin(2 * np.pi * hours / 24)[:, None, None]
        values = self.chance.normal(0, np.sqrt(MINUTES), shape) + self.offsets + cycle
        if fault is not None:
            count = max(int(fleet.group_size * fault.ratio), 1)
            for metric, shift in fault.shifts.items():
                values[:, :count, metric] += shift
        return values

    def _judge(self, found: list[DriftFinding], near: pl.DataFrame, step_ms: int) -> None:
        sizes = [
            (step_ms, TENANT, f"g{g}", self.fleet.group_size) for g in range(self.fleet.groups)
        ]
        company = Company(
            pl.DataFrame(list(self._near(near, step_ms)), schema=NEAR_SCHEMA, orient="row"),
            pl.DataFrame(sizes, schema=SIZE_SCHEMA, orient="row"),
        )
        said, own = self.company.judge(
            [Found(step_ms, self._group(f), "", f) for f in found], company, step_ms
        )
        would_page = {f.finding_id for f in found if f.notify}
        for each in (*said, *own):
            is_told = each.finding.state is State.FIRING and each.finding.notify
            self.pages += [each.finding] if is_told else []
            is_silent = each.finding.finding_id in would_page and not each.finding.notify
            self.silent_count += is_silent and each.finding.scope == "device"

    def _group(self, finding: DriftFinding) -> str:
        if finding.scope == "group":
            return finding.subject
        return f"g{int(finding.subject[1:]) // self.fleet.group_size}"

    def _near(self, near: pl.DataFrame, step_ms: int) -> Iterator[tuple[Any, ...]]:
        for row in near.iter_rows(named=True):
            name = self.device_names[row["stream"]]
            group = f"g{int(name.subject[1:]) // self.fleet.group_size}"
            yield (step_ms, TENANT, group, name.subject, name.metric, row["window_start"],
                   row["margin"], row["shift_sigma"], row["first_seen_ms"])  # fmt: skip


def _observations(values: Floats, start_ms: int, window_ms: int) -> Observations:
    """Return windows, shape (windows of a stream, subjects, metrics), one point each."""
    count = values[0].size
    none = np.zeros(values.size, np.int64)
    starts = start_ms + np.arange(len(values)) * window_ms
    return Observations(
        stream=np.tile(np.arange(count), len(values)), start_ms=np.repeat(starts, count),
        value=values.reshape(-1), count=none + 1, missing_count=none, nan_count=none,
        out_of_range_count=none, window_ms=none + window_ms,
    )  # fmt: skip
