"""Which model versions each group runs, and which of them is a rollout: noticed, not configured.

    group g    v1 v1 v1 v1 v1 v1 v1 ...                v1 and v2: control and treatment
                           v2 v2 v2 v2 ...
                           ^ noticed  ^ first look begins (30 min later)

Windows of groups say it, by version, and every shard has all of them: so all shards notice the same
rollouts at the same step, and nothing needs to be agreed upon. A version is new in a group when it
was not there for a week; control is the version with most points of the last two hours.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import polars as pl

from schemas.instants import format_instant
from udfs.drift.rollout_policy import HOUR_MS, RolloutPolicy
from udfs.drift.window_rows import PEERS

GroupKey = tuple[str, str]
"""Tenant and deployment group."""
ROLLED_BACK, ROLLED_OUT = "rolled_back", "rolled_out"


@dataclass(frozen=True)
class RolloutPlan:
    """A rollout that was noticed.

    Args:
        tenant_id: owner.
        rollout_id: `group/version/first window`.
        deployment_group: in which it is.
        treatment_version: the new one.
        control_version: that it is compared with.
        noticed_at_ms: the step of the clock at which it was noticed.
        started_at_ms: its first look begins with the first whole window after this.
        metrics: that are judged.
    """

    tenant_id: str
    rollout_id: str
    deployment_group: str
    treatment_version: str
    control_version: str
    noticed_at_ms: int
    started_at_ms: int
    metrics: tuple[str, ...]

    @property
    def key(self) -> tuple[str, str]:
        """Return what names it."""
        return self.tenant_id, self.rollout_id

    @classmethod
    def of(cls, values: dict[str, Any]) -> "RolloutPlan":
        """Return the plan that `asdict` wrote."""
        return cls(**values | {"metrics": tuple(values["metrics"])})


@dataclass(frozen=True)
class RolloutEnd:
    """A rollout of which one version has left the group.

    Args:
        tenant_id: owner.
        rollout_id: of the plan.
        ended_at_ms: the step at which it was noticed.
        reason: `rolled_back` when the new version has left, `rolled_out` when the old one has.
    """

    tenant_id: str
    rollout_id: str
    ended_at_ms: int
    reason: str


@dataclass
class Version:
    """One version of one group.

    Args:
        last_ms: start of its newest window.
        hour: number of the hour of that window, event time.
        points: of that hour, and of the one before.
        metrics: start of the newest window of each.
    """

    last_ms: int
    hour: int = 0
    points: list[int] = field(default_factory=lambda: [0, 0])
    metrics: dict[str, int] = field(default_factory=dict)

    def add(self, metric: str, start_ms: int, points: int) -> None:
        """Note windows of one metric."""
        hour = start_ms // HOUR_MS
        if hour > self.hour:
            self.points = [0, self.points[0] if hour == self.hour + 1 else 0]
            self.hour = hour
        self.points[0] += points
        self.last_ms = max(self.last_ms, start_ms)
        self.metrics[metric] = max(self.metrics.get(metric, start_ms), start_ms)


@dataclass
class Group:
    """The versions of one group.

    Args:
        first_ms: start of the first window that was seen.
        versions: by name.
    """

    first_ms: int
    versions: dict[str, Version] = field(default_factory=dict)


@dataclass
class VersionBook:
    """All groups, and the rollouts in them that are open; a step changes it in place."""

    groups: dict[GroupKey, Group] = field(default_factory=dict)
    plans: dict[tuple[str, str], RolloutPlan] = field(default_factory=dict)

    def take(
        self, windows: pl.DataFrame, step_ms: int, policy: RolloutPolicy
    ) -> tuple[list[RolloutPlan], list[RolloutEnd]]:
        """Look at windows of groups; return the rollouts that are noticed, and those that end.

        Args:
            windows: `COMPLETE_SCHEMA` of scope `PEERS`, of one step.
            step_ms: of the clock.
            policy: what is a rollout.
        """
        plans: list[RolloutPlan] = []
        ends: list[RolloutEnd] = []
        for key, rows in _by_group(windows):
            group = self.groups.setdefault(key, Group(rows[0][2]))
            fresh = self._note(group, rows, policy)
            for version, first_ms in fresh:
                plan = self._plan(key, version, first_ms, step_ms, policy)
                if plan is not None:
                    self.plans[plan.key] = plan
                    plans.append(plan)
            ends += self._ended(key, step_ms, policy)
        return plans, ends

    def _note(
        self, group: Group, rows: list[tuple[str, str, int, int, int]], policy: RolloutPolicy
    ) -> list[tuple[str, int]]:
        """Note windows; return versions that are new, and when their first window starts."""
        notice, fresh = policy.notice, []
        for name, metric, first_ms, last_ms, points in rows:
            known = group.versions.get(name)
            if known is None or known.last_ms < first_ms - notice.known_ms:
                known = group.versions[name] = Version(last_ms)
                fresh.append((name, first_ms))
            known.add(metric, last_ms, points)
        surplus = len(group.versions) - notice.versions_max_count
        for name in sorted(group.versions, key=lambda n: (group.versions[n].last_ms, n))[:surplus]:
            del group.versions[name]
        is_learned = [first_ms - group.first_ms >= notice.learn_ms for _, first_ms in fresh]
        return [each for each, is_new in zip(fresh, is_learned, strict=True) if is_new and each[0]]

    def _plan(
        self, key: GroupKey, version: str, first_ms: int, step_ms: int, policy: RolloutPolicy
    ) -> RolloutPlan | None:
        """Return the rollout of a new version, None when there is nothing to compare it with."""
        notice, group = policy.notice, self.groups[key]
        open_count = len(list(self._of_group(key)))
        others = {
            name: other
            for name, other in group.versions.items()
            if name not in ("", version) and other.last_ms >= first_ms - notice.present_ms
        }
        if not others or not notice.is_on or open_count >= notice.open_max_count:
            return None
        control = max(others, key=lambda name: (sum(others[name].points), name))
        seen = others[control].metrics
        names = [metric.name for metric in policy.canary.metrics]
        present = [n for n in names if seen.get(n, -1) >= first_ms - notice.present_ms]
        return RolloutPlan(
            key[0], f"{key[1]}/{version}/{format_instant(first_ms)}", key[1], version, control,
            step_ms, max(first_ms + notice.settle_ms, step_ms), tuple(present or names),
        )  # fmt: skip

    def _ended(self, key: GroupKey, step_ms: int, policy: RolloutPolicy) -> list[RolloutEnd]:
        """Take out the rollouts of a group of which a version has left; return their ends."""
        versions = self.groups[key].versions
        newest_ms = max(version.last_ms for version in versions.values())
        gone_ms = newest_ms - policy.notice.gone_ms
        ends = []
        for plan in list(self._of_group(key)):
            pairs = ((plan.treatment_version, ROLLED_BACK), (plan.control_version, ROLLED_OUT))
            reasons = [r for name, r in pairs if _last_ms(versions, name) < gone_ms]
            if reasons:
                ends.append(RolloutEnd(*plan.key, step_ms, reasons[0]))
                del self.plans[plan.key]
        return ends

    def _of_group(self, key: GroupKey) -> Iterator[RolloutPlan]:
        plans = self.plans.values()
        return (plan for plan in plans if (plan.tenant_id, plan.deployment_group) == key)

    def to_values(self) -> dict[str, Any]:
        """Return everything for the state's bytes."""
        return {
            "groups": [[*key, asdict(group)] for key, group in sorted(self.groups.items())],
            "plans": [asdict(plan) for _, plan in sorted(self.plans.items())],
        }

    @classmethod
    def from_values(cls, stored: dict[str, Any]) -> "VersionBook":
        """Return what `to_values` wrote."""
        plans = [RolloutPlan.of(values) for values in stored["plans"]]
        groups = {(row[0], row[1]): _group_of(row[2]) for row in stored["groups"]}
        return cls(groups, {plan.key: plan for plan in plans})


def _group_of(values: dict[str, Any]) -> Group:
    versions = {name: Version(**version) for name, version in values["versions"].items()}
    return Group(values["first_ms"], versions)


def _last_ms(versions: dict[str, Version], name: str) -> int:
    return versions[name].last_ms if name in versions else -1


def _by_group(
    windows: pl.DataFrame,
) -> Iterator[tuple[GroupKey, list[tuple[str, str, int, int, int]]]]:
    """Yield each group with its versions and metrics: first and last window, and points."""
    start = pl.col("window_start")
    summed = (
        windows.filter(pl.col("scope") == PEERS)
        .group_by("tenant_id", "subject", "model_version", "metric")
        .agg(start.min().alias("first_ms"), start.max().alias("last_ms"), pl.col("count").sum())
        .sort("tenant_id", "subject", "first_ms", "model_version", "metric")
    )
    for key, rows in summed.group_by("tenant_id", "subject", maintain_order=True):
        columns = rows.select("model_version", "metric", "first_ms", "last_ms", "count")
        yield (str(key[0]), str(key[1])), columns.rows()
