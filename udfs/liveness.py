"""Liveness of one shard: who was heard when, and who is silent for too long (laws L2, L4).

One block of the log goes through four stages; times are the broker's, never ours:

    waves      per partition, one contiguous stretch after the other
      gap      a silent stretch or lost records: settle what was due before, excuse the rest (C8)
      rounds   the first atom of every device, then the second...: contacts and registry changes
    sweep      everybody who is due below the input clock climbs the ladder (C2)

What falls on one instant takes place in the order registry, contacts, ladder: so an instant is
settled only when its partition's clock is beyond it, and where the log is cut into blocks does not
matter.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from schemas.control_records import no_controls
from udfs.control_book import ControlBook
from udfs.device_columns import DeviceColumns
from udfs.flapping import Flaps
from udfs.frame_bytes import blank_frame
from udfs.known_logs import KnownLogs
from udfs.liveness_step import ShardStep
from udfs.offline_policy import FleetKind, OfflinePolicy
from udfs.partition_clocks import (
    STRETCH_SCHEMA,
    UNKNOWN_MS,
    Rows,
    empty_partitions,
    low_clock_ms,
    restored_partitions,
    slowest_ms,
)
from udfs.registry_changes import PendingChanges
from udfs.roll_call import call_roll
from udfs.skews import Skews
from udfs.state_bytes import StateLayoutError, pack_state, unpack_state

STATE_VERSION = 2
FIRST_VERSION = 1
"""Without what operators plan."""

CONTACT_SCHEMA: dict[str, Any] = {
    "tenant_id": pl.String,
    "device_id": pl.String,
    "boot_id": pl.String,
    "sequence": pl.Int64,
    "append_time_ms": pl.Int64,
    "clock_ms": pl.Int64,  # the partition's input clock at the record
    "partition": pl.Int64,  # code, see `known_logs`
    "offset": pl.Int64,
    "hardware_revision": pl.String,
    "firmware_version": pl.String,
    "model_version": pl.String,
    "deployment_group": pl.String,
    "newest_point_ms": pl.Int64,
    "is_via_gateway": pl.Boolean,
}
DEVICE_CHANGE_SCHEMA: dict[str, Any] = {
    "tenant_id": pl.String,
    "device_id": pl.String,
    "is_tombstone": pl.Boolean,
    "deployment_group": pl.String,
    "site": pl.String,
    "status": pl.String,
    "report_interval_s": pl.Int32,
    "model_version": pl.String,
    "append_time_ms": pl.Int64,
    "offset": pl.Int64,
}


def no_contacts() -> pl.DataFrame:
    """Return a frame without contacts."""
    return blank_frame(CONTACT_SCHEMA)


def no_clocks() -> pl.DataFrame:
    """Return a frame without stretches."""
    return blank_frame(STRETCH_SCHEMA)


def no_device_changes() -> pl.DataFrame:
    """Return a frame without records of the registry."""
    return blank_frame(DEVICE_CHANGE_SCHEMA)


@dataclass(frozen=True)
class LivenessBlock:
    """What one block of the log has for one shard.

    Args:
        contacts: `CONTACT_SCHEMA`; those of the shard's devices alone.
        clocks: `STRETCH_SCHEMA`; of all records, so that every shard sees every clock.
        devices: `DEVICE_CHANGE_SCHEMA`; records of the registry for the shard's devices.
        controls: `CONTROL_SCHEMA`; what operators said, to every shard.
    """

    contacts: pl.DataFrame = field(default_factory=no_contacts)
    clocks: pl.DataFrame = field(default_factory=no_clocks)
    devices: pl.DataFrame = field(default_factory=no_device_changes)
    controls: pl.DataFrame = field(default_factory=no_controls)


@dataclass(frozen=True)
class LivenessShard:
    """The state of one shard.

    Args:
        devices: one row a device.
        partitions: `PARTITION_ROW` by partition.
        logs: which partitions those are.
        pending: registry changes that the input clock has not reached.
        start_ms: append time of the first record ever read, None before it.
        is_speaker: whether this shard tells of silent partitions and of what operators said; all
            shards see both.
        book: what operators planned.
        flaps: which devices change too often.
        skews: which devices have a wrong clock.
        fleet_kinds: of the fleets that know of the shard's devices.
    """

    devices: DeviceColumns
    partitions: Rows
    pending: PendingChanges
    start_ms: int | None
    is_speaker: bool
    book: ControlBook = field(default_factory=ControlBook)
    logs: KnownLogs = field(default_factory=KnownLogs)
    flaps: Flaps = field(default_factory=Flaps.empty)
    skews: Skews = field(default_factory=Skews.empty)
    fleet_kinds: FleetKind = FleetKind.TENANT

    @classmethod
    def empty(cls, shard: int) -> "LivenessShard":
        """Return the state before any input; shard 0 speaks for the partitions."""
        return cls(
            DeviceColumns.empty(), empty_partitions(), PendingChanges.empty(), None, shard == 0
        )

    def to_bytes(self) -> bytes:
        """Return the state as versioned bytes."""
        frames, labels = self.devices.to_parts()
        meta = {
            **labels,
            "partitions": self.partitions.tolist(),
            "pending": self.pending.to_values(),
            "start_ms": self.start_ms,
            "is_speaker": self.is_speaker,
            "book": self.book.to_values(),
            "rules": self.book.rules.to_values(),
            "logs": self.logs.to_values(),
            "fleet_kinds": int(self.fleet_kinds),
        }
        return pack_state(
            STATE_VERSION, frames | self.flaps.to_frames() | self.skews.to_frames(), meta
        )

    @classmethod
    def from_bytes(cls, packed: bytes) -> "LivenessShard":
        """Return what `to_bytes` wrote.

        Raises:
            StateLayoutError: a version that this release cannot restore.
        """
        state = unpack_state(packed)
        if state.version not in (FIRST_VERSION, STATE_VERSION):
            raise StateLayoutError(f"liveness state of version {state.version}")
        partitions = restored_partitions(state.meta["partitions"])
        return cls(
            DeviceColumns.from_parts(state.frames, state.meta, state.version),
            partitions,
            PendingChanges.from_values(state.meta["pending"]),
            state.meta["start_ms"],
            state.meta["is_speaker"],
            ControlBook.from_values(state.meta.get("book", []), state.meta.get("rules", [])),
            # Before tenants had topics of their own, a partition's number was its place.
            KnownLogs.from_values(
                state.meta.get("logs", KnownLogs.shared(len(partitions)).to_values())
            ),
            Flaps.from_frames(state.frames),
            Skews.from_frames(state.frames),
            FleetKind(state.meta.get("fleet_kinds", FleetKind.TENANT)),
        )


@dataclass(frozen=True)
class Step:
    """What one block did.

    Args:
        state: the shard afterwards.
        transitions: `TRANSITION_SCHEMA`, the rows of one device in order.
        clock_ms: no later transition of this shard takes place below it; -1 before any input.
        unknown_count: contacts of decommissioned devices: counted, and nothing else.
    """

    state: LivenessShard
    transitions: pl.DataFrame
    clock_ms: int
    unknown_count: int


def on_block(state: LivenessShard, block: LivenessBlock, policy: OfflinePolicy) -> Step:
    """Apply one block of the log to one shard."""
    step = _begun(state, policy)
    step.take_changes(block.devices)
    step.take_controls(block.controls)
    step.take_log(block.contacts, block.clocks)
    step.sweep()
    return _with_roll(_finished(step, is_speaker=state.is_speaker, policy=policy), state, policy)


def on_end(state: LivenessShard, policy: OfflinePolicy) -> Step:
    """Settle the last instant of a log that has ended: no record can come to it any more."""
    step = _begun(state, policy)
    step.settle_last_instant()
    finished = _finished(step, is_speaker=state.is_speaker, policy=policy)
    finished = _with_roll(finished, state, policy)
    return replace(finished, clock_ms=int(step.clocks_ms().max(initial=UNKNOWN_MS)) + 1)


def _begun(state: LivenessShard, policy: OfflinePolicy) -> ShardStep:
    step = ShardStep.on(
        state.devices, state.partitions, state.pending, state.book, state.start_ms, policy
    )
    step.logs = state.logs
    step.log.flaps, step.skews = state.flaps.fork(), state.skews.fork()
    return step


def _with_roll(step: Step, before: LivenessShard, policy: OfflinePolicy) -> Step:
    """Return a step that also tells fleets which are watched from now on who counts in them."""
    new = policy.fleet_kinds & ~before.fleet_kinds
    if not new:
        return step
    roll = call_roll(before.devices, before.logs, before.partitions, new, policy)
    return replace(step, transitions=pl.concat([roll, step.transitions]))


def _finished(step: ShardStep, *, is_speaker: bool, policy: OfflinePolicy) -> Step:
    if not is_speaker:
        step.log.spans.clear()
    book = step.book.without_past(slowest_ms(step.partitions))
    flaps = step.log.flaps.without_past(slowest_ms(step.partitions))
    partitions, start_ms = step.partitions, step.start_ms
    skews = step.skews.without_past(slowest_ms(step.partitions))
    state = LivenessShard(
        step.devices,
        partitions,
        step.pending,
        start_ms,
        is_speaker,
        book,
        step.logs,
        flaps,
        skews,
        policy.fleet_kinds,
    )
    transitions = step.log.to_frame(step.devices, step.logs, step.clocks_ms(), policy)
    clock_ms = low_clock_ms(step.partitions, policy.blind_after_ms)
    return Step(state, transitions, clock_ms, step.unknown_count)
