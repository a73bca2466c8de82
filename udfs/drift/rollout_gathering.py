"""One shard's part of every rollout: it notices them, gathers its devices, hands over each look.

    windows of groups ──> which rollouts are there (the same in all shards)
    windows of devices ─> units of its own devices ──look is due──> its part of the look

What the parts say together is judged where all shards meet: `udfs/drift/rollout_judging.py`.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl

from udfs.drift.canary import absorb
from udfs.drift.canary_policy import CanaryPolicy
from udfs.drift.canary_state import CanaryState, empty_state, pack_canary, restore_canary
from udfs.drift.canary_units import UNIT_KEY, Units
from udfs.drift.canary_windows import PLAN_SCHEMA, STRATUM_SCHEMA, canary_windows
from udfs.drift.rollout_policy import RolloutPolicy
from udfs.drift.version_book import RolloutEnd, RolloutPlan, VersionBook
from udfs.partition_clocks import Bools

NO_VERSIONS: dict[str, Any] = {"groups": [], "plans": []}
"""The book of a shard that has seen nothing."""


@dataclass
class RolloutNews:
    """What a shard has to say about rollouts.

    Args:
        plans: that were noticed.
        ends: of rollouts that are over.
        looks: its units of the looks that are due.
    """

    plans: list[RolloutPlan] = field(default_factory=list)
    ends: list[RolloutEnd] = field(default_factory=list)
    looks: list[Units] = field(default_factory=list)

    def add(self, later: "RolloutNews") -> None:
        """Add what is said after this."""
        self.plans += later.plans
        self.ends += later.ends
        self.looks += later.looks


@dataclass
class RolloutGathering:
    """The rollouts of one shard; a step changes it in place.

    Args:
        book: versions of groups, and the rollouts in them.
        canary: windows of looks that were not handed over; None before the first rollout.
    """

    book: VersionBook = field(default_factory=VersionBook)
    canary: CanaryState | None = None

    def next_due_ms(self, policy: CanaryPolicy) -> int | None:
        """Return when the next look is due, None when no rollout is gathered."""
        rollouts = () if self.canary is None else self.canary.rollouts.values()
        return min((r.due_at_ms(policy) for r in rollouts if not r.is_final), default=None)

    def take(self, windows: pl.DataFrame, step_ms: int, policy: RolloutPolicy) -> RolloutNews:
        """Take the windows of a step, and hand over the looks that are due.

        Args:
            windows: `COMPLETE_SCHEMA`.
            step_ms: of the clock; it rises from call to call.
            policy: how rollouts are noticed and judged.
        """
        plans, ends = self.book.take(windows, step_ms, policy) if len(windows) else ([], [])
        if self.canary is None and not plans:
            return RolloutNews(plans, ends)
        state = empty_state(policy.canary) if self.canary is None else self.canary
        if plans:
            state = state.with_rollouts(_plan_frame(plans))
        if ends:
            state = _without(state, ends)
        if state.rollouts:
            open_plans = _plan_frame(list(self.book.plans.values()))
            strata = pl.DataFrame(schema=STRATUM_SCHEMA)
            of_rollouts = canary_windows(windows, open_plans, strata, step_ms)
            state, _ = absorb(state, of_rollouts, policy.canary)
        state, looks = _due_looks(state, step_ms, policy.canary)
        self.canary = state if state.rollouts else None
        return RolloutNews(plans, ends, looks)

    def to_bodies(self, policy: CanaryPolicy) -> tuple[dict[str, Any], bytes]:
        """Return the book as values and the windows as bytes, empty when there are none."""
        packed = b"" if self.canary is None else pack_canary(self.canary, policy)
        return self.book.to_values(), packed

    @classmethod
    def from_bodies(
        cls, book: dict[str, Any], packed: bytes, policy: CanaryPolicy
    ) -> "RolloutGathering":
        """Return what `to_bodies` wrote.

        Raises:
            StateLayoutError: the bytes are of no version that is known, or of other looks.
        """
        canary = restore_canary(packed, policy) if packed else None
        return cls(VersionBook.from_values(book), canary)


def _plan_frame(plans: list[RolloutPlan]) -> pl.DataFrame:
    rows = [
        (p.tenant_id, p.rollout_id, p.started_at_ms, None, p.deployment_group,
         p.treatment_version, p.control_version)
        for p in plans
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=PLAN_SCHEMA, orient="row")


def _without(state: CanaryState, ends: list[RolloutEnd]) -> CanaryState:
    gone = {(end.tenant_id, end.rollout_id) for end in ends}
    kept = {key: rollout for key, rollout in state.rollouts.items() if key not in gone}
    is_kept = _units_of(state.units, kept)
    return replace(state.take_units(is_kept), rollouts=kept)


def _units_of(units: Units, keys: Any) -> Bools:
    names = units.keys.select("tenant_id", "rollout_id").rows()
    return np.array([name in keys for name in names], np.bool_)


def _due_looks(
    state: CanaryState, step_ms: int, policy: CanaryPolicy
) -> tuple[CanaryState, list[Units]]:
    """Hand over the units of looks that are due; a rollout past its horizon is gathered no more."""
    looks, rollouts, units = [], dict(state.rollouts), state.units
    for key, rollout in state.rollouts.items():
        look, due_ms = rollout.next_look, rollout.due_at_ms(policy)
        while due_ms <= step_ms and look < policy.horizon_looks:
            is_of_look = _is_of_look(units.keys, key, look)
            looks.append(units.take(np.flatnonzero(is_of_look)))
            units = units.take(np.flatnonzero(~is_of_look))
            look, due_ms = look + 1, due_ms + policy.look_ms
        rollouts[key] = replace(rollout, next_look=look)
        if look >= policy.horizon_looks:
            del rollouts[key]
            units = units.take(np.flatnonzero(~_units_of(units, {key})))
    return CanaryState(rollouts, units), [each for each in looks if len(each)]


def _is_of_look(keys: pl.DataFrame, rollout: tuple[str, str], look: int) -> Bools:
    wanted = dict(zip(list(UNIT_KEY)[:3], (*rollout, look), strict=True))
    found: Bools = (
        keys.select(pl.all_horizontal(pl.col(name) == value for name, value in wanted.items()))
        .to_series()
        .to_numpy()
    )
    return found
