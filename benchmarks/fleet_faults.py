"""What goes wrong in the simulated fleet, scripted and seeded.

Simulated time is cut into cycles. In each cycle some devices, and one whole site, fall silent and
return before the cycle ends. A device that crashed returns with a new boot and without its data;
one that only lost its uplink returns with a backlog of the batches it could not send.

    cycle      0 h                                   2 h
    crash      ====------------=====================      new boot_id, sequence from 0
    outage     ====------------b====================      b: missed batches, in any order
    death      ====----------------------------------     for good
"""

from dataclasses import dataclass

import numpy as np

from benchmarks.counter_random import Stream, hashes, uniforms
from benchmarks.fleet import SITE_COUNT, Flags, Fleet, Integers

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
NEVER_MS = 2**62
CYCLES_KEPT = 4


@dataclass(frozen=True)
class FaultPlan:
    """How much goes wrong, and when; shares are of all devices, times are simulated."""

    cycle_ms: int = 2 * HOUR_MS
    silence_ratio: float = 0.04
    """Devices that fall silent once a cycle; half of them crash."""
    silence_start_ms: tuple[int, int] = (3 * MINUTE_MS, 60 * MINUTE_MS)
    silence_length_ms: tuple[int, int] = (6 * MINUTE_MS, 45 * MINUTE_MS)
    has_site_outage: bool = True
    site_outage_ms: tuple[int, int] = (35 * MINUTE_MS, 50 * MINUTE_MS)
    death_ratio: float = 0.004
    death_ms: tuple[int, int] = (5 * MINUTE_MS, 90 * MINUTE_MS)
    drifting_model: str | None = "v3"
    drift_start_ms: int = 20 * MINUTE_MS
    drift_ramp_ms: int = 10 * MINUTE_MS
    uncommissioned_ratio: float = 0.005
    """Devices that are registered and never send."""
    ahead_ratio: float = 0.002
    ahead_ms: int = 2 * HOUR_MS
    """How far a wrong clock is ahead, in real time."""
    epoch_ratio: float = 0.001
    """Devices whose clock starts at 1970."""
    delay_ratio: float = 0.01
    """Batches that arrive 1 to 3 slots late, after later ones."""
    resend_ratio: float = 0.01
    """Contacts that are sent a second time, 0 to 3 slots later."""
    nan_ratio: float = 0.01
    """Batches in which one value is NaN."""

    def __post_init__(self) -> None:
        """Check that a silence ends within its cycle."""
        assert self.silence_start_ms[1] + self.silence_length_ms[1] <= self.cycle_ms
        assert self.site_outage_ms[1] <= self.cycle_ms


NO_FAULTS = FaultPlan(
    silence_ratio=0,
    has_site_outage=False,
    death_ratio=0,
    drifting_model=None,
    uncommissioned_ratio=0,
    ahead_ratio=0,
    epoch_ratio=0,
    delay_ratio=0,
    resend_ratio=0,
    nan_ratio=0,
)


@dataclass(frozen=True)
class Cycle:
    """The silences of one cycle and the boots around them; shape (device_count,)."""

    silent_from_ms: Integers
    silent_until_ms: Integers
    """Both NEVER_MS for a device that stays on."""
    is_crash: Flags
    boot_before: Integers
    """Number of the boot that runs when the cycle begins."""
    boot_slot_before: Integers
    """First slot of that boot."""


class FaultScript:
    """Answers what is wrong with any device at any simulated time.

    Pure but for a small cache: a cycle needs the boots of the cycles before it.
    """

    def __init__(self, fleet: Fleet, plan: FaultPlan) -> None:
        self.fleet = fleet
        self.plan = plan
        self._seed = fleet.plan.seed
        self._device = np.arange(fleet.plan.device_count, dtype=np.int64)
        self._cycles: dict[int, Cycle] = {}
        self.dead_from_ms = self._deaths()
        self.is_uncommissioned = self._chosen(Stream.UNCOMMISSIONED, plan.uncommissioned_ratio)
        draw = uniforms(hashes(self._seed, Stream.CLOCK, self._device))
        self.has_clock_ahead = draw < plan.ahead_ratio
        self.has_epoch_clock = draw > 1 - plan.epoch_ratio

    def cycle(self, index: int) -> Cycle:
        """Return one cycle, building those before it when needed."""
        known = max((i for i in self._cycles if i <= index), default=-1)
        for i in range(known + 1, index + 1):
            self._cycles[i] = self._next_cycle(i, self._cycles.get(i - 1))
            self._cycles.pop(i - CYCLES_KEPT, None)
        return self._cycles[index]

    def is_silent(self, device_index: Integers, simulated_ms: Integers) -> Flags:
        """Say who cannot be heard at an instant, for whatever reason."""
        quiet = (simulated_ms >= self.dead_from_ms[device_index]) | self.is_uncommissioned[
            device_index
        ]
        for index, rows in self._rows_by_cycle(simulated_ms):
            cycle, device, now_ms = self.cycle(index), device_index[rows], simulated_ms[rows]
            began = now_ms >= cycle.silent_from_ms[device]
            quiet[rows] |= began & (now_ms < cycle.silent_until_ms[device])
        return np.asarray(quiet, np.bool_)

    def boots(self, device_index: Integers, slot: Integers) -> tuple[Integers, Integers]:
        """Return the number of the boot that a slot belongs to, and the first slot of that boot."""
        boot, first_slot = np.empty_like(slot), np.empty_like(slot)
        due_ms = self.fleet.due_ms(device_index, slot)
        for index, rows in self._rows_by_cycle(due_ms):
            cycle, device = self.cycle(index), device_index[rows]
            is_new = cycle.is_crash[device] & (due_ms[rows] >= cycle.silent_until_ms[device])
            restart = self.fleet.slot_at(device, cycle.silent_until_ms[device])
            boot[rows] = cycle.boot_before[device] + is_new
            first_slot[rows] = np.where(is_new, restart, cycle.boot_slot_before[device])
        return boot, first_slot

    def _rows_by_cycle(self, simulated_ms: Integers) -> list[tuple[int, Integers]]:
        index = simulated_ms // self.plan.cycle_ms
        return [(int(i), np.flatnonzero(index == i)) for i in np.unique(index)]

    def _chosen(self, stream: Stream, ratio: float, *counters: int) -> Flags:
        draw = uniforms(hashes(self._seed, stream, self._device, *counters))
        return np.asarray(draw < ratio, np.bool_)

    def _drawn_ms(self, stream: Stream, span_ms: tuple[int, int], *counters: int) -> Integers:
        draw = uniforms(hashes(self._seed, stream, self._device, *counters))
        low, high = span_ms
        return np.asarray(low + np.floor(draw * (high - low)), np.int64)

    def _deaths(self) -> Integers:
        dies = self._chosen(Stream.DEATH, self.plan.death_ratio)
        at_ms = self._drawn_ms(Stream.DEATH_TIME, self.plan.death_ms)
        return np.where(dies, at_ms, NEVER_MS)

    def _next_cycle(self, index: int, before: Cycle | None) -> Cycle:
        plan, start_ms = self.plan, index * self.plan.cycle_ms
        is_silent = self._chosen(Stream.SILENCE, plan.silence_ratio, index)
        from_ms = self._drawn_ms(Stream.SILENCE_START, plan.silence_start_ms, index)
        length_ms = self._drawn_ms(Stream.SILENCE_LENGTH, plan.silence_length_ms, index)
        is_crash = is_silent & self._chosen(Stream.CRASH, 0.5, index)
        until_ms = from_ms + length_ms
        if plan.has_site_outage:
            is_hit = self.fleet.site_index == self._silent_site(index)
            from_ms = np.where(is_hit, plan.site_outage_ms[0], from_ms)
            until_ms = np.where(is_hit, plan.site_outage_ms[1], until_ms)
            is_silent, is_crash = is_silent | is_hit, is_crash & ~is_hit
        boot, boot_slot = self._boots_after(before)
        return Cycle(
            silent_from_ms=np.where(is_silent, start_ms + from_ms, NEVER_MS),
            silent_until_ms=np.where(is_silent, start_ms + until_ms, NEVER_MS),
            is_crash=np.asarray(is_crash, np.bool_),
            boot_before=boot,
            boot_slot_before=boot_slot,
        )

    def _silent_site(self, index: int) -> int:
        bits = hashes(self._seed, Stream.SITE, index, SITE_COUNT)
        return int(bits[0] % np.uint64(SITE_COUNT))

    def _boots_after(self, before: Cycle | None) -> tuple[Integers, Integers]:
        if before is None:
            return np.zeros_like(self._device), np.zeros_like(self._device)
        restart = self.fleet.slot_at(self._device, before.silent_until_ms)
        boot_slot = np.where(before.is_crash, restart, before.boot_slot_before)
        return before.boot_before + before.is_crash, boot_slot
