"""A seeded fleet over days, as bad as fleets are: what each device sends, and when it arrives.

A device measures about once an hour. What it cannot send while its uplink is down it sends at once
when it is back. Copies arrive whenever they like.

    measured   1  2  3  4  5  6  7  8          outage of 4 batches, newest first
    arrives    1  2              6543 7  8  2  a copy of 2, hours later
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

Record = dict[str, Any]

SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
STARTED_AT_MS = 1_790_000_100_000
METRICS = ("cpu", "latency_ms", "accuracy")
EDGE_VALUES = (float("nan"), float("inf"), -float("inf"), 1.1e12, -1e12, 1024.0, -0.0, 5e-324)
EDGE = 1_060
"""A little more than the 1,024 sequences that the engine judges."""
FIRST_SEQUENCES = (0, 0, 0, 1, 2**40, 2**63 - 10_000)


class ClockFault(StrEnum):
    """What is wrong with a device's clock."""

    NONE = "none"
    SLIGHTLY_AHEAD = "slightly_ahead"
    AHEAD = "ahead"
    BEHIND = "behind"
    EPOCH = "epoch"
    YEAR_10000 = "year_10000"
    SECONDS = "seconds"
    JUMPING = "jumping"


@dataclass(frozen=True)
class FleetSize:
    """How many devices for how long; one in `chatty_every` reports each minute."""

    device_count: int
    length_ms: int = 2 * DAY_MS
    chatty_every: int = 400


class Arrival(NamedTuple):
    """One batch as it reaches the broker."""

    at_ms: int
    device: int
    batch: Record


@dataclass
class Device:
    """What one device is, and what it is doing.

    Args:
        uplink_lost_ms: from when until when it cannot send.
        acks_lost_ms: from when until when it is not told that an upload has arrived.
        is_forgetful: what it measures while it is dark is lost.
        has_sequence: whether it numbers its batches; old firmware does not.
    """

    index: int
    draw: random.Random
    interval_ms: int
    has_sequence: bool
    has_boot: bool
    is_forgetful: bool
    is_newest_first: bool
    clock: ClockFault
    uplink_lost_ms: tuple[int, int]
    acks_lost_ms: tuple[int, int]
    boot: int = 0
    sequence: int = 0
    firmware: int = 0
    model: int = 0
    group: int = 0
    group_changes: int = 0
    unsent: list[Record] = field(default_factory=list)
    """Batches that wait for the uplink."""
    unconfirmed: list[Record] = field(default_factory=list)
    """Points of old firmware that it will send again."""

    @property
    def tenant_id(self) -> str:
        """Return whose it is; "own" has a topic of its own."""
        return ("acme", "blau", "own")[self.index % 3]

    def is_dark(self, at_ms: int) -> bool:
        """Tell whether it cannot send."""
        return self.uplink_lost_ms[0] <= at_ms < self.uplink_lost_ms[1]


def build_device(seed: int, index: int, size: FleetSize) -> Device:
    """Draw one device, the same for the same seed."""
    draw = random.Random(f"{seed}/{index}")
    is_chatty = index % size.chatty_every == 1
    dark_ms = draw.uniform(0.5, 30) * HOUR_MS if draw.random() < 0.4 else 0
    dark_from_ms = draw.uniform(2, 16) * HOUR_MS
    if is_chatty:
        # Over 1,024 batches wait.
        dark_from_ms, dark_ms = draw.uniform(2, 6) * HOUR_MS, draw.uniform(18, 23) * HOUR_MS
    acks_ms = draw.uniform(1, 45) * HOUR_MS if draw.random() < 0.5 else 0
    acks_from_ms = draw.uniform(1, 10) * HOUR_MS
    return Device(
        index=index,
        draw=draw,
        interval_ms=MINUTE_MS if is_chatty else HOUR_MS,
        has_sequence=is_chatty or draw.random() < 0.9,
        has_boot=draw.random() < 0.9,
        is_forgetful=not is_chatty and draw.random() < 0.2,
        is_newest_first=draw.random() < 0.5,
        clock=draw.choice(list(ClockFault)[1:]) if draw.random() < 0.15 else ClockFault.NONE,
        uplink_lost_ms=(int(dark_from_ms), int(dark_from_ms + dark_ms)),
        acks_lost_ms=(int(acks_from_ms), int(acks_from_ms + acks_ms)),
        sequence=draw.choice(FIRST_SEQUENCES),
        group=draw.randrange(3),
    )


def arrivals_of(device: Device, length_ms: int) -> list[Arrival]:
    """Return what arrives of one device, copies and all, in no order; times from 0."""
    sent = list(_sent(device, length_ms))
    copies = [
        Arrival(sent_ms + _copy_delay_ms(device.draw), device.index, batch)
        for sent_ms, _, batch in sent
        if device.draw.random() < 0.03
    ]
    if len(sent) > EDGE:
        # As far back as a sequence can just be judged, and a little farther.
        copies += [
            arrival._replace(at_ms=sent[place].at_ms)
            for place in range(EDGE, len(sent), EDGE)
            for arrival in sent[place - EDGE : place - 980]
        ]
    dark_from_ms, dark_until_ms = device.uplink_lost_ms
    if dark_until_ms > dark_from_ms:
        # A gateway that was dark as well sends again what it had last passed on.
        before = [arrival for arrival in sent if arrival.at_ms < dark_from_ms]
        copies += [arrival._replace(at_ms=dark_until_ms) for arrival in before[-1:]]
    return [arrival for arrival in sent + copies if arrival.at_ms < length_ms]


def _copy_delay_ms(draw: random.Random) -> int:
    longest_ms = draw.choice([SECOND_MS, 10 * MINUTE_MS, 20 * HOUR_MS, 40 * HOUR_MS])
    return draw.randrange(longest_ms)


def _sent(device: Device, length_ms: int) -> Iterator[Arrival]:
    """Yield what a device sends; each batch once, but for points of old firmware."""
    draw = device.draw
    at_ms = draw.randrange(device.interval_ms)
    while at_ms < length_ms:
        _update(device)
        if device.has_sequence:
            device.unsent.append(_numbered_batch(device, at_ms))
        else:
            device.unconfirmed += _points(device, at_ms)
        if device.is_dark(at_ms):
            if device.is_forgetful:
                device.unsent, device.unconfirmed = [], []
        elif device.has_sequence:
            yield from _emptied(device, at_ms)
        else:
            yield from _superset(device, at_ms)
        at_ms += int(device.interval_ms * draw.uniform(0.9, 1.1))


def _update(device: Device) -> None:
    """Change firmware (which boots), model or group, now and then."""
    chance = device.draw.random() * HOUR_MS / device.interval_ms
    if chance < 0.02:
        device.firmware += 1
        device.boot += 1
        device.sequence = 0
    elif chance < 0.04:
        device.model += 1
    elif chance < 0.05:
        device.group = (device.group + 1) % 3
        device.group_changes += 1


def _emptied(device: Device, at_ms: int) -> Iterator[Arrival]:
    """Send all that waits; one batch in a hundred is lost on the way."""
    waiting, device.unsent = device.unsent, []
    if device.is_newest_first:
        waiting.reverse()
    for place, batch in enumerate(waiting):
        if device.draw.random() >= 0.01:
            yield Arrival(at_ms + 5 * place, device.index, batch)


def _superset(device: Device, at_ms: int) -> Iterator[Arrival]:
    """Send all points that are not confirmed; they stay so when no answer comes."""
    yield Arrival(at_ms, device.index, _batch(device, at_ms, list(device.unconfirmed), None))
    is_deaf = device.acks_lost_ms[0] <= at_ms < device.acks_lost_ms[1]
    if not is_deaf and device.draw.random() < 0.75:
        device.unconfirmed = []


def _numbered_batch(device: Device, at_ms: int) -> Record:
    sequence = device.sequence
    device.sequence += 1
    points = _points(device, at_ms) if device.draw.random() < 0.8 else []
    return _batch(device, at_ms, points, sequence)


def _batch(device: Device, at_ms: int, points: list[Record], sequence: int | None) -> Record:
    return {
        "tenant_id": device.tenant_id,
        "device_id": f"d{device.index:05d}",
        "boot_id": f"b{device.boot}" if device.has_boot else None,
        "sequence": sequence,
        "sent_at": STARTED_AT_MS + at_ms,
        "firmware_version": f"4.{device.firmware}",
        "model_version": f"v{device.model}" if device.index % 7 else None,
        "deployment_group": ("canary", "stable", None)[device.group],
        "points": points,
    }


def _points(device: Device, at_ms: int) -> list[Record]:
    """Measure: one point of a chatty device, else 1 to 3, seconds apart."""
    draw = device.draw
    metrics = METRICS if device.interval_ms == HOUR_MS else METRICS[:1]
    # Now and then a file of days ago is uploaded.
    age_ms = draw.randrange(5 * DAY_MS) if draw.random() < 0.02 else 0
    first = draw.randrange(len(metrics))
    return [
        {
            "name": metric,
            "value": _value(draw),
            "timestamp": _claimed_ms(device, at_ms + place * 7 * SECOND_MS) - age_ms,
            "tags": {"core": str(place)} if draw.random() < 0.1 else {},
        }
        for place, metric in enumerate(metrics[first:])
    ]


def _value(draw: random.Random) -> float:
    if draw.random() < 0.02:
        return draw.choice(EDGE_VALUES)
    return draw.choice([draw.gauss(50, 20), draw.gauss(0, 1e-5), draw.lognormvariate(3, 3)])


def _claimed_ms(device: Device, at_ms: int) -> int:
    """Return the time that the device's own clock shows."""
    true_ms = STARTED_AT_MS + at_ms
    is_before_jump = at_ms < DAY_MS
    shown = {
        ClockFault.NONE: true_ms,
        ClockFault.SLIGHTLY_AHEAD: true_ms + 100 * SECOND_MS,
        ClockFault.AHEAD: true_ms + 3 * HOUR_MS,
        ClockFault.BEHIND: true_ms - 50 * HOUR_MS,
        ClockFault.EPOCH: at_ms,
        ClockFault.YEAR_10000: 253_402_300_800_000 + at_ms,
        ClockFault.SECONDS: true_ms // 1000,
        ClockFault.JUMPING: true_ms if is_before_jump else true_ms + 400 * DAY_MS,
    }
    return shown[device.clock]
