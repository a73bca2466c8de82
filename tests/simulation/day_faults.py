"""What goes wrong in a fleet over days: one seed gives the whole script, as columns.

device 17    o o o o o|<-- silence: a contact at each end, none within -->|o o o
partition 2  o o o o o o o|<--- outage: no record at all --->|o o o|<- 40 s behind ->|o o
"""

from dataclasses import dataclass
from enum import IntEnum, auto

import numpy as np
from numpy.typing import NDArray

from tests.oracle.alerts_oracle import Registration

Int64s = NDArray[np.int64]
SECOND_MS, MINUTE_MS, HOUR_MS = 1_000, 60_000, 3_600_000
STARTED_AT_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
PARTITIONS = 4
SITES = 20
TENANTS = ("acme", "beta", "few")
NEVER_MS = 2**60
JITTER_MS = 8_000
EDGES_MS = (
    280_000, 299_999, 300_000, 300_001, 310_000, 420_000, 900_000, 1_799_999, 1_800_000,
    1_800_001, 2_400_000, 7_200_000,
)  # fmt: skip
"""Silences around 5 and 30 minutes; a device that reports every 5 minutes may be longer silent."""


class Habit(IntEnum):
    """What happens to a device."""

    STEADY = 0
    SILENT = auto()
    FLAPPING = auto()
    DYING = auto()
    MOVING = auto()
    REMOVED = auto()
    CHANGED = auto()
    UNSEEN = auto()


SHARES = (0.55, 0.22, 0.04, 0.03, 0.06, 0.05, 0.04, 0.01)
"""Of the habits, in their order."""


@dataclass(frozen=True)
class Span:
    """A stretch of time of one partition, UTC ms."""

    partition: int
    begin_ms: int
    end_ms: int
    behind_ms: int = 0
    """How far the clock of the partition's leader is behind."""


@dataclass(frozen=True)
class Silences:
    """When devices send nothing, each array of shape (n,): a contact stands at either end."""

    device: Int64s
    begin_ms: Int64s
    end_ms: Int64s
    resent_ms: Int64s
    """When the contact at the begin comes once more, as an exact duplicate; or never."""


@dataclass(frozen=True)
class DayPlan:
    """How large a simulation is, and in about how many blocks each hour is read."""

    seed: int
    device_count: int
    hours: int
    blocks_per_hour: int = 40

    @property
    def end_ms(self) -> int:
        """Return the end of the log."""
        return STARTED_AT_MS + self.hours * HOUR_MS


@dataclass(frozen=True)
class Script:
    """All that happens; arrays by device have the shape (device_count,)."""

    plan: DayPlan
    habit: Int64s
    tenant: Int64s
    site: Int64s
    interval_ms: Int64s
    phase_ms: Int64s
    partition: Int64s
    moved_to: Int64s
    move_ms: Int64s
    silences: Silences
    registrations: list[tuple[int, Registration]]
    """Device and what the registry says of it, in the order of time."""
    outages: list[Span]
    behind: list[Span]
    ticks_away: list[Span]
    engine_down: list[Span]

    def device_id(self, device: int) -> str:
        """Return the name of a device."""
        return f"d{device:05d}"


def build_script(plan: DayPlan) -> Script:
    """Draw the whole script from its seed."""
    draw, n = np.random.default_rng([plan.seed, 0]), plan.device_count
    habit = draw.choice(len(SHARES), n, p=SHARES)
    site = np.where(habit == Habit.MOVING, 0, draw.integers(0, SITES, n))
    interval_ms = np.where(draw.random(n) < 0.1, 300_000, 60_000)
    phase_ms = 2_000 + draw.integers(0, interval_ms - JITTER_MS - 2_000)
    partition = draw.integers(0, PARTITIONS, n)
    broker = _broker_faults(plan, draw)
    quiet = [span for spans in broker[:2] for span in spans]
    move_ms = np.full(n, NEVER_MS)
    for device in np.flatnonzero(habit == Habit.MOVING).tolist():
        move_ms[device] = _undisturbed_ms(plan, draw, quiet)
    tenant = np.digitize(draw.random(n), (0.7, 0.95))
    silences = _silences(plan, draw, (habit, site, interval_ms, move_ms))
    return Script(
        plan, habit, tenant, site, interval_ms, phase_ms, partition,
        (partition + draw.integers(1, PARTITIONS, n)) % PARTITIONS, move_ms, silences,
        _registrations(plan, draw, (habit, tenant, site, interval_ms), quiet), *broker,
    )  # fmt: skip


def _broker_faults(plan: DayPlan, draw: np.random.Generator) -> tuple[list[Span], ...]:
    """Return outages, clocks behind, ticks away and the engine down: one of each in 12 hours."""
    outages, behind, ticks_away, down = [], [], [], []
    lengths_ms = np.array([25, 31, 90, 600, 1_800]) * SECOND_MS
    for hour in range(1, plan.hours, 12):
        at_ms = STARTED_AT_MS + hour * HOUR_MS + draw.integers(0, 20 * MINUTE_MS, 8)
        every = range(PARTITIONS)
        for begin, length_ms in enumerate(draw.permutation(lengths_ms).tolist()):
            begin_ms = int(at_ms[begin]) + 2 * begin * HOUR_MS
            silent = every if begin % 2 == 1 else [int(draw.integers(PARTITIONS))]
            outages += [Span(p, begin_ms, begin_ms + length_ms) for p in silent]
        for late, behind_s in ((1, 25), (5, 40), (7, 120)):
            begin_ms = int(at_ms[5]) + late * HOUR_MS
            place = int(draw.integers(PARTITIONS)), begin_ms, begin_ms + 30 * MINUTE_MS
            behind.append(Span(*place, behind_s * SECOND_MS))
        begin_ms = int(at_ms[6]) + 3 * HOUR_MS
        ticks_away += [Span(p, begin_ms, begin_ms + 25 * MINUTE_MS) for p in every]
        for late in (2, 5, 8):
            begin_ms = int(at_ms[7]) + late * HOUR_MS
            down.append(Span(0, begin_ms, begin_ms + int(draw.integers(1, 39)) * MINUTE_MS))
    return tuple(
        [span for span in spans if span.end_ms < plan.end_ms - HOUR_MS // 2]
        for spans in (outages, behind, ticks_away, down)
    )


def _undisturbed_ms(plan: DayPlan, draw: np.random.Generator, spans: list[Span]) -> int:
    """Return an odd instant at which every partition speaks, and with the right time."""
    while True:
        at_ms = STARTED_AT_MS + HOUR_MS // 2 + int(draw.integers(plan.hours - 1)) * HOUR_MS
        at_ms += int(draw.integers(HOUR_MS // 2)) * 2 + 1
        around = 3 * MINUTE_MS
        if not any(s.begin_ms - around < at_ms < s.end_ms + around for s in spans):
            return at_ms


def _silences(
    plan: DayPlan, draw: np.random.Generator, devices: tuple[Int64s, Int64s, Int64s, Int64s]
) -> Silences:
    habit, site, interval_ms, move_ms = devices
    found: list[tuple[int, int, int, int]] = []
    length_ms = plan.end_ms - STARTED_AT_MS
    for device in np.flatnonzero(habit != Habit.STEADY).tolist():
        allowed_ms = int(interval_ms[device]) if interval_ms[device] > 120_000 else 0
        begin_ms = STARTED_AT_MS + 600_000 + int(draw.integers(length_ms - 600_000))
        kind = habit[device]
        if kind == Habit.SILENT:
            for _ in range(1 + 3 * plan.hours // 24):
                begin_ms = STARTED_AT_MS + 600_000 + int(draw.integers(length_ms - 600_000))
                edge_ms = allowed_ms + int(draw.choice(EDGES_MS))
                resent_ms = begin_ms + int(draw.integers(1, 250_000))
                is_resent = draw.random() < 0.3
                found.append(
                    (device, begin_ms, begin_ms + edge_ms, resent_ms if is_resent else NEVER_MS)
                )
        elif kind == Habit.FLAPPING:
            for _ in range(int(draw.integers(3, 9))):
                end_ms = begin_ms + allowed_ms + int(draw.integers(290_000, 420_000))
                found.append((device, begin_ms, end_ms, NEVER_MS))
                begin_ms = end_ms + int(draw.integers(60_000, 400_000))
        elif kind == Habit.DYING or (kind == Habit.REMOVED and draw.random() < 0.5):
            found.append((device, begin_ms, NEVER_MS, NEVER_MS))
        elif kind == Habit.MOVING and draw.random() < 0.5:
            moved_ms = int(move_ms[device])
            begin_ms = moved_ms - allowed_ms - int(draw.integers(200_000, 1_700_000))
            found.append((device, begin_ms, moved_ms, NEVER_MS))
        elif kind == Habit.UNSEEN:
            found.append((device, STARTED_AT_MS - 1, NEVER_MS, NEVER_MS))
    for hour in range(3, plan.hours - 1, 5):  # the power of four sites of twenty fails
        begin_ms = STARTED_AT_MS + hour * HOUR_MS + int(draw.integers(HOUR_MS))
        dark = np.isin(site, 1 + draw.permutation(SITES - 1)[:4])
        for device in np.flatnonzero(dark).tolist():
            spread = draw.integers(0, 60_000, 2)
            ends_ms = begin_ms + 600_000 + hour * 300_000 + int(spread[1])
            found.append((device, begin_ms + int(spread[0]), ends_ms, NEVER_MS))
    return Silences(*np.array(found, np.int64).reshape(-1, 4).T)


def _registrations(
    plan: DayPlan,
    draw: np.random.Generator,
    devices: tuple[Int64s, Int64s, Int64s, Int64s],
    quiet: list[Span],
) -> list[tuple[int, Registration]]:
    habit, tenant, site, interval_ms = devices
    said: list[tuple[int, Registration]] = []
    for device in range(plan.device_count):
        first = Registration(
            STARTED_AT_MS + 1, TENANTS[tenant[device]], f"d{device:05d}", "provisioned",
            int(interval_ms[device]) // 1000, "", f"s{site[device]:02d}",
        )  # fmt: skip
        said.append((device, first))
        if habit[device] == Habit.REMOVED:
            gone_ms = _undisturbed_ms(plan, draw, quiet)
            said.append((device, first._replace(at_ms=gone_ms, status=None)))
            if draw.random() < 0.5:
                back_ms = _undisturbed_ms(plan, draw, quiet)
                said += [(device, first._replace(at_ms=back_ms))] if back_ms > gone_ms else []
        elif habit[device] == Habit.CHANGED:
            at_ms, other = _undisturbed_ms(plan, draw, quiet), f"s{draw.integers(SITES):02d}"
            late = first._replace(at_ms=at_ms, site=other, report_interval_s=300)
            said.append((device, late))
    return sorted(said, key=lambda each: each[1].at_ms)
