"""The fleet stage: all shards' transitions in one order, counted and made into events.

    shard 0 ---- rows, clock --+
    shard 1 ---- rows, clock --+--> buffer --> rows below every clock, by (time, tenant, device)
    shard n ---- rows, clock --+                  |--> counters, emergency --> events, statuses

A row waits until the clock of every shard has passed it. So counters, the emergency's instant and
what each event says depend on the log alone: not on shards, blocks or restarts.
"""

from dataclasses import dataclass, field, replace

import polars as pl

from udfs.alerts import AlertRecord
from udfs.device_status import StatusRecord
from udfs.emergency import LAST_OF_INSTANT
from udfs.fleet_account import FleetAccount
from udfs.fleet_keys import FleetKey
from udfs.fleet_rules import FleetRules
from udfs.hearing import Hearing
from udfs.hushes import Hushes
from udfs.notices import hush_pairs
from udfs.offline_policy import FleetKind, OfflinePolicy
from udfs.offline_rules import OfflineRules
from udfs.partition_clocks import UNKNOWN_MS
from udfs.state_bytes import StateLayoutError, pack_state, unpack_state
from udfs.stays import Stays
from udfs.transitions import Cause, no_transitions
from udfs.waiting_rows import silences_in, take_ripe, with_all_columns
from udfs.watched_fleet import WatchedFleet

STATE_VERSION = 2
FIRST_VERSION = 1
"""Without what operators silence."""


@dataclass(frozen=True)
class FleetState:
    """What the fleet stage remembers.

    Args:
        clocks_ms: progress of each shard, shape (shard_count,).
        waiting: rows of `TRANSITION_SCHEMA` that some shard's clock has not passed.
        fleets: counters of each tenant, and of groups and sites where they are watched.
        hold_until_ms: while the input lags, nothing leaves before the clocks have passed this.
        hush_before_ms: of what was held, nobody is told what was over before this.
        hushes: what operators silence.
        hearing: which partitions speak; devices of blind ones do not count.
        stays: where devices were while their episodes were open.
        done_ms: below this all is accounted; what is held lies between it and the clocks.
        rules: about silence, of which the shares of fleets count here.
        fleet_kinds: of the fleets that are watched.
    """

    clocks_ms: tuple[int, ...]
    waiting: pl.DataFrame
    fleets: dict[FleetKey, WatchedFleet]
    hold_until_ms: int | None = None
    hushes: Hushes = field(default_factory=Hushes)
    hearing: Hearing = field(default_factory=Hearing)
    stays: Stays = field(default_factory=Stays)
    done_ms: int = UNKNOWN_MS
    hush_before_ms: int | None = None
    rules: OfflineRules = field(default_factory=OfflineRules)
    fleet_kinds: FleetKind = FleetKind.TENANT

    @property
    def tenants(self) -> dict[str, WatchedFleet]:
        """Return the fleets of whole tenants."""
        whole = FleetKind.TENANT
        return {key.tenant_id: fleet for key, fleet in self.fleets.items() if key.kind is whole}

    @classmethod
    def empty(cls, shard_count: int) -> "FleetState":
        """Return the state before any input."""
        return cls((UNKNOWN_MS,) * shard_count, no_transitions(), {})

    def to_bytes(self) -> bytes:
        """Return the state as versioned bytes."""
        meta = {
            "clocks_ms": self.clocks_ms,
            # The name is of the first layout, which knew no other fleets.
            "tenants": [fleet.packed for fleet in self.fleets.values()],
            "hold_until_ms": self.hold_until_ms,
            "hushes": self.hushes.to_values(),
            "hearing": self.hearing.to_values(),
            "stays": self.stays.to_values(),
            "done_ms": self.done_ms,
            "hush_before_ms": self.hush_before_ms,
            "rules": self.rules.to_values(),
            "fleet_kinds": int(self.fleet_kinds),
        }
        return pack_state(STATE_VERSION, {"waiting": self.waiting}, meta)

    @classmethod
    def from_bytes(cls, packed: bytes) -> "FleetState":
        """Return what `to_bytes` wrote.

        Raises:
            StateLayoutError: a version that this release cannot restore.
        """
        state = unpack_state(packed)
        if state.version not in (FIRST_VERSION, STATE_VERSION):
            raise StateLayoutError(f"fleet state of version {state.version}")
        fleets = [WatchedFleet.from_values(stored) for stored in state.meta["tenants"]]
        return cls(
            tuple(state.meta["clocks_ms"]),
            with_all_columns(state.frames["waiting"]),
            {fleet.key: fleet for fleet in fleets},
            state.meta["hold_until_ms"],
            Hushes.from_values(state.meta.get("hushes", Hushes().to_values())),
            Hearing.from_values(state.meta.get("hearing", Hearing().to_values())),
            Stays.from_values(state.meta.get("stays", {})),
            state.meta.get("done_ms", min(state.meta["clocks_ms"])),
            state.meta.get("hush_before_ms", state.meta["hold_until_ms"]),
            OfflineRules.from_values(state.meta.get("rules", [])),
            FleetKind(state.meta.get("fleet_kinds", FleetKind.TENANT)),
        )


@dataclass(frozen=True)
class FleetStep:
    """What one message of a shard did: events and statuses in the order of the log."""

    state: FleetState
    events: list[AlertRecord]
    statuses: list[StatusRecord]


def on_transitions(
    state: FleetState, shard: int, transitions: pl.DataFrame, clock_ms: int, policy: OfflinePolicy
) -> FleetStep:
    """Take what one shard's step gave.

    Args:
        state: before.
        shard: number of the shard, from 0.
        transitions: `TRANSITION_SCHEMA`, rows of one device in order.
        clock_ms: no later row of the shard lies below it.
        policy: thresholds and channels.
    """
    dropped: list[AlertRecord] = []
    if state.fleet_kinds != policy.fleet_kinds:
        state, dropped = _with_kinds(state, policy)
    clocks, waiting = list(state.clocks_ms), state.waiting
    clocks[shard] = max(clocks[shard], clock_ms)
    if not transitions.is_empty():
        waiting = transitions if waiting.is_empty() else pl.concat([waiting, transitions])
    low_ms = min(clocks)
    held_ms = state.hold_until_ms
    # Nothing can leave before the slowest shard has moved.
    if low_ms == min(state.clocks_ms) or (held_ms is not None and low_ms < held_ms):
        return FleetStep(replace(state, clocks_ms=tuple(clocks), waiting=waiting), dropped, [])
    ripe, waiting = take_ripe(waiting, low_ms)
    stays, rules = state.stays.copy(), FleetRules(policy, state.rules, state.done_ms)
    account = FleetAccount(state.fleets, stays, state.hushes, state.hearing, state.done_ms, rules)
    account.silences = silences_in(ripe, waiting)
    for row in ripe.iter_rows(named=True):
        account.take(row)
    account.pass_time(below_ms=low_ms, input_clock_ms=low_ms)
    if state.hush_before_ms is not None:
        hush_pairs(account.events, state.hush_before_ms)
    after = FleetState(
        tuple(clocks),
        waiting,
        account.fleets,
        hushes=account.hushes,
        hearing=account.hearing,
        stays=stays,
        done_ms=low_ms,
        rules=account.rules.rules,
        fleet_kinds=policy.fleet_kinds,
    )
    return FleetStep(after, [*dropped, *account.events], account.statuses)


def _with_kinds(state: FleetState, policy: OfflinePolicy) -> tuple[FleetState, list[AlertRecord]]:
    """Return the state for other kinds of fleets, and the ends of emergencies of those dropped.

    Of fleets that are new, the shards' roll call tells who counts; of those that are dropped, what
    still waits must not count when they are watched again.
    """
    kinds = policy.fleet_kinds
    end_ms = state.done_ms
    ends = [
        state.fleets[key].without_emergency(
            (end_ms, LAST_OF_INSTANT), end_ms, policy, Cause.RULE_CHANGED
        )[1]
        for key in sorted(state.fleets)
        if key.kind not in kinds and state.fleets[key].emergency is not None
    ]
    kept = {key: fleet for key, fleet in state.fleets.items() if key.kind in kinds}
    counted = pl.col("fleet_kinds").fill_null(int(FleetKind.TENANT)) & pl.lit(int(kinds), pl.Int8)
    waiting = state.waiting.with_columns(fleet_kinds=counted)
    return replace(state, fleets=kept, waiting=waiting, fleet_kinds=kinds), ends
