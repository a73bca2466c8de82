"""The simulated fleet: who the devices are and when each of them reports.

A fleet is columns over devices, a pure function of its plan. Times are milliseconds of simulated
time since the simulation began; `SimulatedClock` maps them to UTC. A contact of a device is a slot:

    slot      0    1    2    3    4    5    6
    sent      h    h    B    h    h    h    h    B: a batch of 50 points, h: a heartbeat
    device A  |----|----|----|----|----|----|    slots are slot_ms apart, the first at phase_ms
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from benchmarks.counter_random import Stream, hashes, normals, uniforms
from schemas.records import Record

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

HARDWARE_REVISIONS = ("rev-a", "rev-b", "rev-c")
FIRMWARE_VERSIONS = ("4.1.7", "4.2.0", "4.2.1")
MODEL_VERSIONS = ("v1", "v2", "v3")
DEPLOYMENT_GROUPS = ("canary", "stable-a", "stable-b")
GROUP_SHARES = (0.10, 0.55, 1.0)
"""Cumulated: 10 % canary, the rest in two halves."""
CANARY_NEWEST_RATIO = 0.9
STABLE_B_OLDEST_RATIO = 0.6
SITE_COUNT = 8
TRAIT_COUNT = 6
"""Lasting offsets of one device, see benchmarks/fleet_values.py."""


@dataclass(frozen=True)
class FleetPlan:
    """What decides a fleet: the same plan gives the same fleet."""

    tenant_id: str = "demo"
    device_count: int = 1_000
    seed: int = 1
    batch_interval_ms: int = 300_000
    heartbeat_interval_ms: int = 60_000
    """A batch without points goes out this often; also the grid of all contacts."""

    @property
    def slots_per_batch(self) -> int:
        """Return the number of contacts from one batch to the next, at least 1."""
        return max(1, round(self.batch_interval_ms / self.heartbeat_interval_ms))

    @property
    def slot_ms(self) -> int:
        """Return the simulated milliseconds between two contacts, at least 1."""
        return max(1, self.batch_interval_ms // self.slots_per_batch)


@dataclass(frozen=True)
class SimulatedClock:
    """Maps simulated time to UTC.

    Args:
        started_at_ms: UTC of simulated time 0.
        speed: simulated seconds per real second.
    """

    started_at_ms: int
    speed: float = 1.0

    def utc_ms(self, simulated_ms: Integers) -> Integers:
        """Return the UTC of simulated instants."""
        elapsed_ms = np.floor(simulated_ms / self.speed).astype(np.int64)
        return np.asarray(self.started_at_ms + elapsed_ms, np.int64)


@dataclass(frozen=True)
class Fleet:
    """All devices as columns; shape (device_count,) unless said."""

    plan: FleetPlan
    hardware_index: Integers
    firmware_index: Integers
    model_index: Integers
    group_index: Integers
    site_index: Integers
    phase_ms: Integers
    """Instant of slot 0, in [0, slot_ms)."""
    batch_slot: Integers
    """Slots at this remainder modulo slots_per_batch are batches."""
    traits: Floats
    """Lasting offsets, nearly standard normal; shape (device_count, TRAIT_COUNT)."""

    @cached_property
    def device_ids(self) -> list[str]:
        """Return the identities, by index."""
        return [f"edge-{index:06d}" for index in range(self.plan.device_count)]

    def is_batch(self, device_index: Integers, slot: Integers) -> Flags:
        """Say which slots carry points."""
        remainder = slot % self.plan.slots_per_batch
        return np.asarray(remainder == self.batch_slot[device_index], np.bool_)

    def due_ms(self, device_index: Integers, slot: Integers) -> Integers:
        """Return the simulated instant of slots."""
        return np.asarray(self.phase_ms[device_index] + slot * self.plan.slot_ms, np.int64)

    def slot_at(self, device_index: Integers, simulated_ms: Integers | int) -> Integers:
        """Return the first slot at or after an instant; may be negative before time 0."""
        ahead_ms = simulated_ms - self.phase_ms[device_index]
        return np.asarray(-(-ahead_ms // self.plan.slot_ms), np.int64)


def build_fleet(plan: FleetPlan) -> Fleet:
    """Build the columns of a fleet."""
    device = np.arange(plan.device_count, dtype=np.int64)
    group = np.searchsorted(GROUP_SHARES, uniforms(hashes(plan.seed, Stream.GROUP, device)))
    rank = _spread_rank(plan, device)
    batch_phase_ms = rank * plan.slot_ms * plan.slots_per_batch // plan.device_count
    trait = np.arange(TRAIT_COUNT, dtype=np.int64)
    hardware = hashes(plan.seed, Stream.HARDWARE, device)
    site = hashes(plan.seed, Stream.SITE, device) % np.uint64(SITE_COUNT)
    return Fleet(
        plan=plan,
        hardware_index=(hardware % np.uint64(3)).astype(np.int64),
        firmware_index=((hardware >> np.uint64(8)) % np.uint64(3)).astype(np.int64),
        model_index=_model_index(plan, device, group),
        group_index=group.astype(np.int64),
        site_index=site.astype(np.int64),
        phase_ms=batch_phase_ms % plan.slot_ms,
        batch_slot=batch_phase_ms // plan.slot_ms,
        traits=normals(hashes(plan.seed, Stream.TRAIT, device[:, np.newaxis], trait)),
    )


def device_record(
    fleet: Fleet, index: int, *, report_interval_s: int, is_commissioned: bool = True
) -> Record:
    """Return the record of one device for the topic `devices`."""
    return {
        "tenant_id": fleet.plan.tenant_id,
        "device_id": fleet.device_ids[index],
        "hardware_revision": HARDWARE_REVISIONS[fleet.hardware_index[index]],
        "firmware_version": FIRMWARE_VERSIONS[fleet.firmware_index[index]],
        "model_version": MODEL_VERSIONS[fleet.model_index[index]],
        "deployment_group": DEPLOYMENT_GROUPS[fleet.group_index[index]],
        "status": "active" if is_commissioned else "provisioned",
        "last_seen": None,
        "certificate_serial": None,
        "report_interval_s": report_interval_s,
        "site": site_name(fleet, index),
        "attributes": {},
    }


def site_name(fleet: Fleet, index: int) -> str:
    """Return the name of a device's site."""
    return f"site-{fleet.site_index[index]}"


def _spread_rank(plan: FleetPlan, device: Integers) -> Integers:
    """Return a random order of the devices: neighbours by id do not report together."""
    order = np.argsort(hashes(plan.seed, Stream.PHASE, device), kind="stable")
    rank = np.empty_like(order)
    rank[order] = device
    return rank


def _model_index(plan: FleetPlan, device: Integers, group: Integers) -> Integers:
    """Deploy models as a fleet does: the newest on the canaries, an old one left on stable-b."""
    draw = uniforms(hashes(plan.seed, Stream.MODEL, device))
    canary = np.where(draw < CANARY_NEWEST_RATIO, 2, 1)
    stable_b = np.where(draw < STABLE_B_OLDEST_RATIO, 0, 1)
    is_canary = group == DEPLOYMENT_GROUPS.index("canary")
    is_stable_b = group == DEPLOYMENT_GROUPS.index("stable-b")
    chosen = np.select([is_canary, is_stable_b], [canary, stable_b], default=1)
    return np.asarray(chosen, np.int64)
