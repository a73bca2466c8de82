"""Logs of points for tests of threshold rules, and the pure chain from points to events.

Times are "12:05:00" of 2026-01-01 or UTC ms. Each batch is one message of telemetry, and what it
adds to its windows is one message of the `windows` topic, appended when the batch was.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from schemas.control import ThresholdRule
from tests.alert_logs import TENANT, Event, at, clock_of
from udfs.metric_codes import with_metric_codes
from udfs.offline_policy import OfflinePolicy
from udfs.point_cells import point_cells
from udfs.threshold_book import RuleChange
from udfs.threshold_bytes import shard_from_bytes, shard_to_bytes
from udfs.threshold_policy import ThresholdPolicy
from udfs.threshold_rows import delta_rows
from udfs.threshold_rules import on_windows
from udfs.threshold_state import ThresholdShard
from udfs.windows import WindowPolicy, window_deltas

BEFORE = at("11:00:00")
"""When rules are written, unless said: they judge every window of the logs."""
Point = tuple[str, int, float]
"""Metric, event time in UTC ms, value."""


def rule(rule_id: str = "hot", **fields: Any) -> ThresholdRule:
    """Return a rule: mean of temp over 80 per device of the tenant, unless said."""
    usual = {
        "rule_id": rule_id, "scope": {"tenant_id": TENANT}, "metric": "temp",
        "aggregate": "mean", "operator": ">", "threshold": 80.0,
    }  # fmt: skip
    return ThresholdRule.model_validate(usual | fields)


@dataclass(frozen=True)
class Batch:
    """One message of a device."""

    at_ms: int
    device_id: str
    points: tuple[Point, ...]
    group: str = "g"
    model: str = "m"
    site: str = ""
    tenant_id: str = TENANT


def time_of(when: str | int) -> int:
    """Return an instant as UTC ms."""
    return when if isinstance(when, int) else at(when)


def rows_of(batches: Sequence[Batch]) -> pl.DataFrame:
    """Return what batches add to the windows, each by itself, by functions of the aggregate job.

    Each batch is summed as if of a tenant of its own, so that one call does for all of them.
    """
    messages = pl.DataFrame(
        {
            "row": range(len(batches)),
            "tenant_id": [f"{batch.tenant_id}/{n}" for n, batch in enumerate(batches)],
            "device_id": [batch.device_id for batch in batches],
            "deployment_group": [batch.group for batch in batches],
            "model_version": [batch.model for batch in batches],
            "append_time_ms": [batch.at_ms for batch in batches],
        }
    ).with_columns(shard=pl.lit(0, pl.Int32), is_duplicate=pl.lit(value=False))
    points = pl.DataFrame(
        [
            (n, name, value, at_ms, False)
            for n, batch in enumerate(batches)
            for name, at_ms, value in batch.points
        ],
        schema={
            "row": pl.Int64, "name": pl.String, "value": pl.Float64,
            "timestamp": pl.Int64, "is_copy": pl.Boolean,
        },
        orient="row",
    )  # fmt: skip
    policy = WindowPolicy()
    cells = point_cells(messages, *with_metric_codes(points), policy.ahead_max_ms)
    deltas = window_deltas(messages, cells, policy)
    tenant = pl.col("tenant_id").str.split("/").list
    numbered = deltas.with_columns(tenant.first(), offset=tenant.last().cast(pl.Int64))
    offset = numbered["offset"].to_numpy()
    times = pl.Series("append_time_ms", [batch.at_ms for batch in batches])[offset]
    sites = pl.Series("site", [batch.site for batch in batches])[offset]
    return delta_rows(numbered.with_columns(times, sites))


@dataclass
class ThresholdLog:
    """Builds one log; lines may be told in any order."""

    batches: list[Batch] = field(default_factory=list)
    changes: list[RuleChange] = field(default_factory=list)

    def rule(self, written: ThresholdRule, when: str | int = BEFORE) -> "ThresholdLog":
        """Write a rule."""
        key = written.scope.tenant_id, written.rule_id
        self.changes.append(RuleChange(time_of(when), len(self.changes), key, written))
        return self

    def delete(self, rule_id: str, when: str | int) -> "ThresholdLog":
        """Delete a rule."""
        key = TENANT, rule_id
        self.changes.append(RuleChange(time_of(when), len(self.changes), key, None))
        return self

    def batch(
        self, device_id: str, when: str | int, said: Sequence[tuple[str | int, float]], **more: Any
    ) -> "ThresholdLog":
        """Write a batch of points (event time, value) of one metric."""
        metric = more.pop("metric", "temp")
        points = tuple((metric, time_of(clock), float(value)) for clock, value in said)
        return self.add(Batch(time_of(when), device_id, points, **more))

    def add(self, batch: Batch) -> "ThresholdLog":
        """Write a batch."""
        self.batches.append(batch)
        return self

    def events(self, until: str | int, chain: "Chain | None" = None) -> list[Event]:
        """Return all events up to an instant."""
        chain = chain or Chain()
        ordered = sorted(self.batches, key=lambda batch: batch.at_ms)
        return chain.run(rows_of(ordered), self.changes, time_of(until))


@dataclass
class Chain:
    """The rules job without Flink.

    Args:
        shard_count: of the subjects.
        cuts_ms: where blocks end, beside the end of the log.
        is_restarted: whether each shard is stored and read again between any two blocks.
        shuffle_seed: of the order of rows in a block; None leaves it.
    """

    shard_count: int = 1
    cuts_ms: tuple[int, ...] = ()
    is_restarted: bool = False
    shuffle_seed: int | None = None
    policy: ThresholdPolicy = field(default_factory=ThresholdPolicy)
    shards: list[ThresholdShard] = field(default_factory=list)

    def run(self, rows: pl.DataFrame, changes: Sequence[RuleChange], until_ms: int) -> list[Event]:
        """Feed everything, block by block."""
        self.shards = [ThresholdShard() for _ in range(self.shard_count)]
        events: list[Event] = []
        begin_ms = 0
        for cut_ms in sorted({*(cut for cut in self.cuts_ms if cut < until_ms), until_ms}):
            block = rows.filter(pl.col("append_time_ms").is_between(begin_ms, cut_ms, "left"))
            due = [c for c in changes if begin_ms <= c.append_time_ms < cut_ms]
            events += self._feed(block, due, cut_ms)
            begin_ms = cut_ms
        return events

    def _feed(self, block: pl.DataFrame, due: list[RuleChange], clock_ms: int) -> list[Event]:
        if self.shuffle_seed is not None:
            block = block.sample(fraction=1.0, shuffle=True, seed=self.shuffle_seed)
        subject = [
            zlib.crc32(f"{row['device_id'] or row['deployment_group']}".encode())
            for row in block.select("device_id", "deployment_group").iter_rows(named=True)
        ]
        shard_of = pl.Series("shard", subject, pl.Int64) % self.shard_count
        events = []
        for number, shard in enumerate(self.shards):
            rows = block.filter(shard_of == number)
            if self.is_restarted:
                shard = shard_from_bytes(shard_to_bytes(shard))  # noqa: PLW2901 - as the job does
            step = on_windows(shard, rows, due, clock_ms, self.policy, OfflinePolicy())
            self.shards[number] = step.state
            events += step.events
        return events


def told(events: list[Event]) -> list[tuple[str, str | None, str | None, str | None]]:
    """Return status, start, end and reason of each event."""
    return [
        (e["status"], clock_of(e["starts_at"]), clock_of(e["ends_at"]), e["reason"]) for e in events
    ]
