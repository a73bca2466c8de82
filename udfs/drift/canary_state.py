"""The state of canary verdicts: the rollouts that were announced, and windows not judged yet."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import polars as pl

from udfs.drift.canary_policy import CanaryPolicy
from udfs.drift.canary_units import UNIT_KEY, Units, merged, no_units
from udfs.partition_clocks import Bools
from udfs.state_bytes import StateLayoutError, pack_state, unpack_state

VERSION = 1
ROLLOUT_SCHEMA = {
    "tenant_id": pl.String,
    "rollout_id": pl.String,
    "started_at_ms": pl.Int64,
    "treatment_share": pl.Float64,  # of the devices, planned; null when nobody planned one
}
RolloutKey = tuple[str, str]


@dataclass(frozen=True)
class Rollout:
    """One rollout and how far it was judged.

    Args:
        tenant_id: owner.
        rollout_id: unique within the tenant.
        started_at_ms: its first look begins with the first whole window after this.
        treatment_share: planned share of devices with the new version, None when not planned.
        next_look: number of the first look that was not judged.
        verdict: last one told, empty when none was.
        reason: its reason.
        is_final: nothing more will be told.
        spent_looks: looks that used their part of alpha, by metric.
    """

    tenant_id: str
    rollout_id: str
    started_at_ms: int
    treatment_share: float | None = None
    next_look: int = 0
    verdict: str = ""
    reason: str = ""
    is_final: bool = False
    spent_looks: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.treatment_share is not None and not 0 < self.treatment_share < 1:
            raise ValueError("treatment_share must be between 0 and 1")

    def first_window_ms(self, window_ms: int) -> int:
        """Return the start of the first whole window."""
        return -(-self.started_at_ms // window_ms) * window_ms

    def due_at_ms(self, policy: CanaryPolicy) -> int:
        """Return when the next look is judged: its end, and the wait for late windows."""
        looks_ms = (self.next_look + 1) * policy.look_ms
        return self.first_window_ms(policy.window_ms) + looks_ms + policy.lateness_ms


@dataclass(frozen=True)
class CanaryState:
    """All rollouts of one shard; whoever holds a rollout holds all its devices."""

    rollouts: Mapping[RolloutKey, Rollout]
    units: Units

    def with_rollouts(self, announced: pl.DataFrame) -> "CanaryState":
        """Add rollouts that are not known yet; what is known of the others stays.

        Args:
            announced: columns `ROLLOUT_SCHEMA`.

        Raises:
            ValueError: a treatment_share is not between 0 and 1.
        """
        rows = announced.select(*ROLLOUT_SCHEMA).iter_rows(named=True)
        fresh = {(row["tenant_id"], row["rollout_id"]): Rollout(**row) for row in rows}
        return replace(self, rollouts=fresh | dict(self.rollouts))

    def take_units(self, keep: Bools) -> "CanaryState":
        """Return the state with some of its units only."""
        if keep.all():
            return self
        return replace(self, units=self.units.take(np.flatnonzero(keep)))


def empty_state(policy: CanaryPolicy) -> CanaryState:
    """Return the state before the first rollout."""
    return CanaryState({}, no_units(policy.look_windows))


def merge_states(left: CanaryState, right: CanaryState) -> CanaryState:
    """Put together what two shards gathered of different devices.

    Args:
        left: a rollout that both know was judged equally far in both.
        right: has no device of the left one.
    """
    for key in left.rollouts.keys() & right.rollouts.keys():
        assert left.rollouts[key] == right.rollouts[key], f"{key} was judged in one shard alone"
    units = merged(left.units, right.units)
    assert not units.keys.is_duplicated().any(), "shards hold different devices"
    return CanaryState({**left.rollouts, **right.rollouts}, units)


def pack_canary(state: CanaryState, policy: CanaryPolicy) -> bytes:
    """Write the state; equal states give equal bytes, however their windows came."""
    frame = units_frame(state.units.sorted())
    rollouts = [asdict(rollout) for _, rollout in sorted(state.rollouts.items())]
    meta = {"geometry": list(policy.geometry), "rollouts": rollouts}
    return pack_state(VERSION, {"units": frame}, meta)


def restore_canary(packed: bytes, policy: CanaryPolicy) -> CanaryState:
    """Read what `pack_canary` wrote.

    Raises:
        StateLayoutError: another version, or looks of another length than the policy's.
    """
    stored = unpack_state(packed)
    if stored.version != VERSION:
        raise StateLayoutError(f"canary state of version {stored.version}, this is {VERSION}")
    if tuple(stored.meta["geometry"]) != policy.geometry:
        text = "window_ms and look_windows must stay {} and {} while rollouts run"
        raise StateLayoutError(text.format(*stored.meta["geometry"]))
    units = units_of_frame(stored.frames["units"], policy)
    rollouts = [Rollout(**row) for row in stored.meta["rollouts"]]
    return CanaryState({(each.tenant_id, each.rollout_id): each for each in rollouts}, units)


def units_frame(units: Units) -> pl.DataFrame:
    """Return units as a frame that `units_of_frame` reads."""
    return units.keys.with_columns(
        count=pl.Series(units.counts[:, 0], dtype=pl.Int64),
        bad_count=pl.Series(units.counts[:, 1], dtype=pl.Int64),
        slots=pl.Series([row.tobytes() for row in units.slots.astype("<f8")], dtype=pl.Binary),
    )


def units_of_frame(frame: pl.DataFrame, policy: CanaryPolicy) -> Units:
    """Return the units of a frame; their looks have the length of the policy's."""
    slots = np.frombuffer(b"".join(frame["slots"].to_list()), "<f8")
    return Units(
        frame.select(*UNIT_KEY),
        slots.reshape(len(frame), policy.look_windows).copy(),
        frame.select("count", "bad_count").to_numpy().reshape(len(frame), 2).astype(np.int64),
    )
