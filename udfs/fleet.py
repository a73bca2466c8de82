"""The fleet stage: all shards' transitions in one order, counted and made into events.

    shard 0 ---- rows, clock --+
    shard 1 ---- rows, clock --+--> buffer --> rows below every clock, by (time, tenant, device)
    shard n ---- rows, clock --+                  |--> counters, emergency --> events, statuses

A row waits until the clock of every shard has passed it. So counters, the emergency's instant and
what each event says depend on the log alone: not on shards, blocks or restarts.
"""

import json
from dataclasses import dataclass, field, replace

import polars as pl

from schemas.control import Ack, Mute, parse_control
from udfs.alerts import (
    AlertRecord,
    Transition,
    device_episode,
    device_record,
    info_record,
    partition_record,
)
from udfs.device_status import StatusRecord, status_record
from udfs.hearing import Hearing
from udfs.hushes import Hushes, Subject
from udfs.notices import device_notice, hush_pairs
from udfs.offline_policy import OfflinePolicy
from udfs.partition_clocks import UNKNOWN_MS
from udfs.state_bytes import StateLayoutError, pack_state, unpack_state
from udfs.tenant_fleet import (
    LAST_OF_INSTANT,
    Moment,
    TenantFleet,
    restored_tenant,
    tenant_values,
)
from udfs.transitions import TRANSITION_SCHEMA, Cause, Kind, no_transitions
from udfs.waiting_rows import take_ripe

STATE_VERSION = 2
FIRST_VERSION = 1
"""Without what operators silence."""


@dataclass(frozen=True)
class FleetState:
    """What the fleet stage remembers.

    Args:
        clocks_ms: progress of each shard, shape (shard_count,).
        waiting: rows of `TRANSITION_SCHEMA` that some shard's clock has not passed.
        tenants: counters by tenant.
        hold_until_ms: while the input lags, nothing leaves before the clocks have passed this.
        hushes: what operators silence.
        hearing: which partitions speak; devices of blind ones do not count.
    """

    clocks_ms: tuple[int, ...]
    waiting: pl.DataFrame
    tenants: dict[str, TenantFleet]
    hold_until_ms: int | None = None
    hushes: Hushes = field(default_factory=Hushes)
    hearing: Hearing = field(default_factory=Hearing)

    @classmethod
    def empty(cls, shard_count: int) -> "FleetState":
        """Return the state before any input."""
        return cls((UNKNOWN_MS,) * shard_count, no_transitions(), {})

    def to_bytes(self) -> bytes:
        """Return the state as versioned bytes."""
        meta = {
            "clocks_ms": self.clocks_ms,
            "tenants": [tenant_values(tenant) for tenant in self.tenants.values()],
            "hold_until_ms": self.hold_until_ms,
            "hushes": self.hushes.to_values(),
            "hearing": self.hearing.to_values(),
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
        tenants = [restored_tenant(stored) for stored in state.meta["tenants"]]
        waiting = state.frames["waiting"]
        if state.version == FIRST_VERSION:
            waiting = waiting.with_columns(left_partition="partition").select(*TRANSITION_SCHEMA)
        return cls(
            tuple(state.meta["clocks_ms"]),
            waiting,
            {tenant.tenant_id: tenant for tenant in tenants},
            state.meta["hold_until_ms"],
            Hushes.from_values(state.meta.get("hushes", Hushes().to_values())),
            Hearing.from_values(state.meta.get("hearing", Hearing().to_values())),
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
    clocks, waiting = list(state.clocks_ms), state.waiting
    clocks[shard] = max(clocks[shard], clock_ms)
    if not transitions.is_empty():
        waiting = transitions if waiting.is_empty() else pl.concat([waiting, transitions])
    low_ms = min(clocks)
    held_ms = state.hold_until_ms
    # Nothing can leave before the slowest shard has moved.
    if low_ms == min(state.clocks_ms) or (held_ms is not None and low_ms < held_ms):
        return FleetStep(replace(state, clocks_ms=tuple(clocks), waiting=waiting), [], [])
    ripe, waiting = take_ripe(waiting, low_ms)
    account = _Account(state, policy)
    for row in ripe.iter_rows(named=True):
        account.take(row)
    account.pass_time(below_ms=low_ms, input_clock_ms=low_ms)
    if held_ms is not None:
        hush_pairs(account.events, held_ms)
    after = FleetState(
        tuple(clocks), waiting, account.tenants, hushes=account.hushes, hearing=account.hearing
    )
    return FleetStep(after, account.events, account.statuses)


PARTITION_KINDS = (Kind.MET, Kind.BLIND, Kind.HEARD, Kind.GAP)


class _Account:
    """Applies rows in order to the tenants' fleets and collects what follows."""

    def __init__(self, before: FleetState, policy: OfflinePolicy) -> None:
        self.tenants = tenants = dict(before.tenants)
        self.hushes = before.hushes
        self.hearing = before.hearing
        self._blind = before.hearing.blind
        self._heard: Transition | None = None
        self.policy = policy
        self._done_ms = min(before.clocks_ms)
        self.events: list[AlertRecord] = []
        self.statuses: list[StatusRecord] = []
        self._clearing = {id_ for id_, t in tenants.items() if t.clear_since_ms is not None}

    def take(self, row: Transition) -> None:
        """Apply one row."""
        if self._heard is not None and not _is_with(row, self._heard):
            self._count_heard()
        if self._clearing or self.hushes.mutes:
            self._pass_time(row["time_ms"], row["input_clock_ms"])
        if row["kind"] == Kind.CONTROL:
            self._obey(row)
            return
        if row["kind"] in PARTITION_KINDS:
            self._hear(row)
            return
        if row["kind"] in (Kind.UNREGISTERED, Kind.OVERDUE):
            self.events.append(info_record(row))
            return
        tenant = self.tenants.get(row["tenant_id"]) or TenantFleet(row["tenant_id"])
        if row["seq"] > 0:
            self._tell(tenant, row)
        if row["kind"] == Kind.MUTE_ENDED:
            return
        status = None if row["kind"] == Kind.MOVED else status_record(row)
        if status is not None:
            self.statuses.append(status)
        self._count(tenant, row)

    def _obey(self, row: Transition) -> None:
        """Remember what an operator said."""
        event = parse_control(json.loads(row["reason"]))
        if isinstance(event, Mute):
            self.hushes = self.hushes.with_mute(event, row["time_ms"])
        elif isinstance(event, Ack):
            self.hushes = self.hushes.with_ack(event, row["time_ms"])

    def _hear(self, row: Transition) -> None:
        """Tell of a partition; it counts when all that falls on its instant is known."""
        if row["seq"] > 0:
            self.events.append(partition_record(row, self.policy))
        self.hearing = self.hearing.after(Kind(row["kind"]), row["partition"])
        self._heard = row

    def _count_heard(self) -> None:
        """Count the devices of partitions that are heard, and no others."""
        row, self._heard = self._heard, None
        self.hearing = self.hearing.settled()
        if row is not None and self._blind != self.hearing.blind:
            self._blind = self.hearing.blind
            for tenant_id in sorted(self.tenants):
                self._judge(self.tenants[tenant_id].without_blind(self._blind), row)

    def _tell(self, tenant: TenantFleet, row: Transition) -> None:
        notice = device_notice(tenant, self.hushes, row, self.policy)
        episode_id = device_episode(row).id if self.hushes.acks else ""
        is_acked = self.hushes.is_acked(episode_id, row["time_ms"])
        self.events.append(device_record(row, notice, is_acked=is_acked))
        if row["kind"] in (Kind.RESOLVED, Kind.REMOVED):
            self.hushes = self.hushes.without_ack(episode_id)

    def pass_time(self, below_ms: int, input_clock_ms: int) -> None:
        """Do what time alone brings about before an instant, in order."""
        self._count_heard()
        self._pass_time(below_ms, input_clock_ms)

    def _pass_time(self, below_ms: int, input_clock_ms: int) -> None:
        if self.hushes.mutes:
            self._end_mutes(below_ms, input_clock_ms)
        if self._clearing:
            self._end_waits(below_ms, input_clock_ms)
        self._done_ms = max(self._done_ms, below_ms)

    def _end_mutes(self, below_ms: int, input_clock_ms: int) -> None:
        """Tell of emergencies whose mute ended before an instant and after those that passed."""
        for tenant_id in sorted(id_ for id_, t in self.tenants.items() if t.emergency is not None):
            ends = self.hushes.mute_ends(Subject(tenant_id), self._done_ms - 1, below_ms)
            for end_ms in ends:
                self._end_waits(end_ms, input_clock_ms)
                tenant = self.tenants[tenant_id]
                if tenant.emergency is not None and tenant.emergency.start_ms < end_ms:
                    clock_ms = min(input_clock_ms, below_ms)
                    tenant, event = tenant.unmuted(end_ms, clock_ms, self.policy)
                    self.events.append(event)
                    self._keep(tenant)

    def _end_waits(self, below_ms: int, input_clock_ms: int) -> None:
        """End the emergencies that stayed clear long enough before an instant."""
        hold_ms = self.policy.resolve_hold_ms
        waits = [((self.tenants[id_].clear_since_ms or 0) + hold_ms, id_) for id_ in self._clearing]
        for end_ms, tenant_id in sorted(wait for wait in waits if wait[0] < below_ms):
            tenant = self.tenants[tenant_id]
            self._end(tenant, (end_ms, LAST_OF_INSTANT), min(input_clock_ms, below_ms), None)

    def _count(self, tenant: TenantFleet, row: Transition) -> None:
        is_moved = row["partition"] != row["left_partition"]
        if is_moved or row["monitored_delta"] != 0 or row["offline_delta"] != 0:
            tenant = tenant.counted(row, self._blind)
        self._judge(tenant, row)

    def _judge(self, tenant: TenantFleet, row: Transition) -> None:
        """Begin or end what N and M ask for after a row."""
        moment: Moment = row["time_ms"], row["device_id"]
        if tenant.emergency is not None and tenant.monitored_count == 0:
            self._end(tenant, moment, row["input_clock_ms"], Cause.NO_MONITORED_DEVICES)
            return
        # A change of the registry alone never fires, nor a partition that is heard again: only a
        # device that falls silent does.
        is_rise = row["kind"] == Kind.WARNING and row["offline_delta"] > 0
        is_rise = is_rise and row["partition"] not in self._blind
        if tenant.emergency is None and is_rise and tenant.is_emergency_reached(self.policy):
            is_muted = self.hushes.is_muted(Subject(tenant.tenant_id), moment[0])
            tenant, event = tenant.with_emergency(
                moment, row["input_clock_ms"], self.policy, is_muted=is_muted
            )
            self.events.append(event)
        self._keep(tenant.watched_clear(row["time_ms"], self.policy))

    def _end(
        self, tenant: TenantFleet, moment: Moment, input_clock_ms: int, reason: Cause | None
    ) -> None:
        ended, event = tenant.without_emergency(moment, input_clock_ms, self.policy, reason)
        self.events.append(event)
        self._keep(ended)

    def _keep(self, tenant: TenantFleet) -> None:
        self.tenants[tenant.tenant_id] = tenant
        if tenant.clear_since_ms is None:
            self._clearing.discard(tenant.tenant_id)
        else:
            self._clearing.add(tenant.tenant_id)


def _is_with(row: Transition, other: Transition) -> bool:
    """Return whether a row, too, tells of a partition at another's instant."""
    return row["kind"] in PARTITION_KINDS and row["time_ms"] == other["time_ms"]
