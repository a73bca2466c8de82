"""Rollouts where all shards meet: their parts of each look in, verdicts out.

    plan of every shard (all the same) ──> noticed: CONTINUE
    units of every shard ─────────────────> look is due: judged at once over all devices
    end of every shard ───────────────────> whoever has no verdict gets none: NODATA

What is said at an instant depends on what shards said of the time before it, and on nothing else.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from schemas.records import Record
from udfs.drift.canary_cohorts import NOBODY, turnouts
from udfs.drift.canary_metric import Verdict
from udfs.drift.canary_policy import CanaryPolicy
from udfs.drift.canary_state import CanaryState, Rollout, empty_state, pack_canary, restore_canary
from udfs.drift.canary_units import merged
from udfs.drift.canary_verdicts import judge_rollout
from udfs.drift.finding_messages import finding_of, finding_record
from udfs.drift.findings import DriftFinding
from udfs.drift.rollout_gathering import RolloutNews
from udfs.drift.rollout_messages import ended_finding, rollback_finding, verdict_record
from udfs.drift.version_book import RolloutEnd, RolloutPlan

Key = tuple[str, str]
NOTICED, ENDED, DUE = range(3)
"""What happens at one instant, in this order."""


@dataclass(frozen=True)
class Spoken:
    """What is said of one rollout at one instant.

    Args:
        at_ms: clock.
        plan: of the rollout.
        verdict: record of the topic; None when only an alert ends.
        finding: for people; None when there is nothing to do.
    """

    at_ms: int
    plan: RolloutPlan
    verdict: Record | None
    finding: DriftFinding | None = None


@dataclass
class RolloutJudging:
    """All rollouts; a step changes it in place.

    Args:
        state: how far each was judged, and units of looks that are not due.
        plans: of the rollouts that last.
        ends: that were not reached yet, by rollout.
        harmful: findings of rollouts that are to be rolled back and still run.
    """

    state: CanaryState | None = None
    plans: dict[Key, RolloutPlan] = field(default_factory=dict)
    ends: dict[Key, RolloutEnd] = field(default_factory=dict)
    harmful: dict[Key, DriftFinding] = field(default_factory=dict)

    def hear(self, news: RolloutNews, policy: CanaryPolicy) -> None:
        """Take in what one shard says; all say the same of plans and ends."""
        if not (news.plans or news.ends or news.looks):
            return
        state = empty_state(policy) if self.state is None else self.state
        for plan in news.plans:
            self.plans.setdefault(plan.key, plan)
            rollout = Rollout(plan.tenant_id, plan.rollout_id, plan.started_at_ms)
            state = replace(state, rollouts={plan.key: rollout} | dict(state.rollouts))
        for end in news.ends:
            self.ends[end.tenant_id, end.rollout_id] = end
        for units in news.looks:
            known = state.rollouts.get(units.keys.row(0)[:2])
            # Shards do not know of verdicts: they go on to the horizon.
            if known is not None and not known.is_final:
                state = replace(state, units=merged(state.units, units))
        self.state = state

    def advance(self, clock_ms: int, policy: CanaryPolicy) -> list[Spoken]:
        """Say everything that is due by an instant, in order.

        Args:
            clock_ms: no shard will say anything of the time before.
            policy: how to judge.
        """
        said: list[Spoken] = []
        while (due := min(self._due(clock_ms, policy), default=None)) is not None:
            at_ms, what, key = due
            if what == NOTICED:
                said.append(self._notice(key, at_ms))
            elif what == ENDED:
                said += self._end(key, at_ms)
            else:
                said += self._judge(key, at_ms, policy)
        return said

    def _due(self, clock_ms: int, policy: CanaryPolicy) -> Iterator[tuple[int, int, Key]]:
        for key, rollout in ({} if self.state is None else self.state.rollouts).items():
            moments = [(rollout.due_at_ms(policy), DUE)] if not rollout.is_final else []
            if not rollout.verdict:
                moments = [(self.plans[key].noticed_at_ms, NOTICED)]
            elif key in self.ends:
                moments.append((self.ends[key].ended_at_ms, ENDED))
            yield from ((at_ms, what, key) for at_ms, what in moments if at_ms <= clock_ms)

    def _put(self, key: Key, rollout: Rollout) -> None:
        assert self.state is not None, "a rollout was noticed first"
        self.state = replace(self.state, rollouts={**self.state.rollouts, key: rollout})

    def _rollout(self, key: Key) -> Rollout:
        assert self.state is not None, "a rollout was noticed first"
        return self.state.rollouts[key]

    def _notice(self, key: Key, at_ms: int) -> Spoken:
        verdict = Verdict.CONTINUE.value
        self._put(key, replace(self._rollout(key), verdict=verdict, reason="noticed"))
        plan = self.plans[key]
        return Spoken(at_ms, plan, verdict_record(plan, self._rollout(key), at_ms))

    def _end(self, key: Key, at_ms: int) -> list[Spoken]:
        """Forget a rollout; who has no verdict gets none, and its alert is over."""
        assert self.state is not None, "a rollout was noticed first"
        plan, rollout, reason = self.plans.pop(key), self._rollout(key), self.ends.pop(key).reason
        self.state = replace(self.state, rollouts=_without(self.state.rollouts, key))
        self._drop_units(key)
        if not self.state.rollouts:
            self.state = None
        if not rollout.is_final:
            last = replace(rollout, verdict=Verdict.NODATA.value, reason=reason, is_final=True)
            return [Spoken(at_ms, plan, verdict_record(plan, last, at_ms))]
        finding = self.harmful.pop(key, None)
        if finding is None:
            return []
        return [Spoken(at_ms, plan, None, ended_finding(finding, at_ms, reason))]

    def _judge(self, key: Key, at_ms: int, policy: CanaryPolicy) -> list[Spoken]:
        """Judge the next look of a rollout; what was said before is not said again."""
        assert self.state is not None, "a rollout was noticed first"
        plan, before = self.plans[key], self._rollout(key)
        names = self.state.units.keys.select("tenant_id", "rollout_id", "look").rows()
        is_of_look = np.array([name == (*key, before.next_look) for name in names], np.bool_)
        units = self.state.units.take(np.flatnonzero(is_of_look))
        self.state = self.state.take_units(~is_of_look)
        metrics = tuple(metric for metric in policy.metrics if metric.name in plan.metrics)
        turnout = turnouts(units, policy.min_windows).get(key, NOBODY)
        after, judgement = judge_rollout(before, turnout, replace(policy, metrics=metrics))
        self._put(key, after)
        if after.is_final:
            self._drop_units(key)
        if not after.is_final and (after.verdict, after.reason) == (before.verdict, before.reason):
            return []
        counts = turnout.treatment_count, turnout.control_count
        record = verdict_record(plan, after, at_ms, judgement, counts)
        if after.verdict != Verdict.ROLLBACK.value:
            return [Spoken(at_ms, plan, record)]
        self.harmful[key] = rollback_finding(plan, record, policy)
        return [Spoken(at_ms, plan, record, self.harmful[key])]

    def _drop_units(self, key: Key) -> None:
        assert self.state is not None, "a rollout was noticed first"
        names = self.state.units.keys.select("tenant_id", "rollout_id").rows()
        self.state = self.state.take_units(np.array([name != key for name in names], np.bool_))

    def to_bodies(self, policy: CanaryPolicy) -> tuple[dict[str, Any], bytes]:
        """Return everything: values, and units as bytes, empty when there are none."""
        values = {
            "plans": [asdict(plan) for plan in self.plans.values()],
            "ends": [asdict(end) for end in self.ends.values()],
            "harmful": [[*key, finding_record(each)] for key, each in self.harmful.items()],
        }
        return values, b"" if self.state is None else pack_canary(self.state, policy)

    @classmethod
    def from_bodies(
        cls, values: dict[str, Any], packed: bytes, policy: CanaryPolicy
    ) -> "RolloutJudging":
        """Return what `to_bodies` wrote.

        Raises:
            StateLayoutError: the bytes are of no version that is known, or of other looks.
        """
        plans = [RolloutPlan.of(each) for each in values["plans"]]
        ends = [RolloutEnd(**each) for each in values["ends"]]
        return cls(
            restore_canary(packed, policy) if packed else None,
            {plan.key: plan for plan in plans},
            {(end.tenant_id, end.rollout_id): end for end in ends},
            {(row[0], row[1]): finding_of(row[2]) for row in values["harmful"]},
        )


def _without(rollouts: Any, key: Key) -> dict[Key, Rollout]:
    return {name: rollout for name, rollout in rollouts.items() if name != key}
