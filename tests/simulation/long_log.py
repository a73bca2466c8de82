"""The log of a fleet: messages by partition, clock ticks, poison, and in which order it is read.

The shared topic and one tenant's own topic have partitions of the same numbers. Some are read
hours, and one over a day, behind the others; one falls ever further behind.
"""

import itertools
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from schemas.records import encode_record
from schemas.topics import Topic
from tests.oracle.windows_oracle import JUDGED_COUNT, LogEntry
from tests.simulation.long_fleet import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    STARTED_AT_MS,
    Arrival,
    FleetSize,
    arrivals_of,
    build_device,
)

SCHEMA_ID = 7
TICK_MS = 30 * MINUTE_MS
SHARED, OWN = "telemetry", "telemetry.own"


class Reader(NamedTuple):
    """How a partition is read: from when on, and how long an hour of it takes."""

    starts_ms: int
    slowness: float


READERS = {
    (SHARED, 0): Reader(0, 1),
    (SHARED, 1): Reader(5 * HOUR_MS, 1),
    (SHARED, 2): Reader(0, 1.4),
    (OWN, 0): Reader(30 * HOUR_MS, 1),
    (OWN, 1): Reader(0, 1),
}

TICK: dict[str, Any] = {
    "tenant_id": "__clock__", "device_id": "p", "sent_at": 0, "boot_id": None, "sequence": None,
    "points": [],
}  # fmt: skip


class Message(NamedTuple):
    """One message of the log; of poison `batch` is the reason why it is refused."""

    topic: str
    partition: int
    append_time_ms: int
    offset: int
    value: bytes
    batch: dict[str, Any] | str

    def entry(self) -> LogEntry:
        """Return it as the oracle takes it."""
        assert not isinstance(self.batch, str), "the oracle reads no poison"
        return LogEntry(self.append_time_ms, self.partition, self.offset, self.batch, self.topic)


@dataclass(frozen=True)
class FleetLog:
    """What a fleet has sent, in the order in which it is read, and what went wrong in it."""

    messages: list[Message]
    cases: Counter[str]


def build_log(seed: int, size: FleetSize) -> FleetLog:
    """Simulate a fleet and write all that arrives to its partitions."""
    draw, cases = random.Random(f"log {seed}"), Counter[str]()
    arrived: dict[tuple[str, int], list[Arrival]] = {place: [] for place in READERS}
    for index in range(size.device_count):
        device = build_device(seed, index, size)
        arrivals = arrivals_of(device, size.length_ms)
        arrived[_place(device.tenant_id, index)] += arrivals
        cases[f"clock {device.clock}"] += 1
        cases["firmware updates"] += device.firmware
        cases["model updates"] += device.model
        cases["group changes"] += device.group_changes
        cases["forgetful"] += device.is_forgetful
        cases["newest first"] += device.is_newest_first
        cases["without sequence"] += not device.has_sequence
        longest_ms = max((b - a for a, b in _gaps(arrivals)), default=0)
        cases["dark for over a day"] += longest_ms > 24 * HOUR_MS
    messages = [
        message
        for (topic, partition), arrivals in arrived.items()
        for message in _partition(topic, partition, _with_ticks(topic, arrivals, size), draw)
    ]
    cases["late by over a day"] = sum(map(_is_late, messages))
    cases.update(f"refused {m.batch}" for m in messages if isinstance(m.batch, str))
    cases.update(_copies(messages))
    return FleetLog(sorted(messages, key=_read_at), cases)


def _place(tenant_id: str, index: int) -> tuple[str, int]:
    return (OWN, index // 3 % 2) if tenant_id == "own" else (SHARED, index // 3 % 3)


def _read_at(message: Message) -> tuple[int, str, int, int]:
    place = (message.topic, message.partition)
    reader = READERS[place]
    elapsed_ms = message.append_time_ms - STARTED_AT_MS
    return (int(reader.starts_ms + reader.slowness * elapsed_ms), *place, message.offset)


def _gaps(arrivals: list[Arrival]) -> list[tuple[int, int]]:
    times = sorted(arrival.at_ms for arrival in arrivals)
    return list(itertools.pairwise(times))


def _with_ticks(topic: str, arrivals: list[Arrival], size: FleetSize) -> list[Arrival]:
    """Return arrivals in order; in a tenant's own topic the clock may not speak."""
    times_ms = range(0, size.length_ms if topic == SHARED else 0, TICK_MS)
    ticks = [Arrival(at_ms, -1, TICK) for at_ms in times_ms]
    return sorted(arrivals + ticks, key=lambda arrival: arrival.at_ms)


def _partition(
    topic: str, partition: int, arrivals: list[Arrival], draw: random.Random
) -> list[Message]:
    """Append what arrives, and one poisoned message to each two hundred."""
    log: list[Message] = []
    for at_ms, _, batch in arrivals:
        value = encode_record(Topic.TELEMETRY, batch, SCHEMA_ID)
        contents: list[tuple[bytes, dict[str, Any] | str]] = [(value, batch)]
        if draw.random() < 0.005:
            contents.append(_poison(value, batch, draw))
        for content in contents:
            log.append(Message(topic, partition, STARTED_AT_MS + at_ms, len(log), *content))
    return log


def _poison(value: bytes, batch: dict[str, Any], draw: random.Random) -> tuple[bytes, str]:
    """Return a message that is refused, and why."""
    point = {"name": "m", "value": 1.0, "timestamp": 0, "tags": {}}
    many_tags = point | {"tags": {str(number): "" for number in range(17)}}
    broken = {
        "limit_exceeded": batch | {"tenant_id": "own", "points": [many_tags]},
        "identity_invalid": batch | {"tenant_id": "a/b"},
    }
    encoded = {
        reason: encode_record(Topic.TELEMETRY, record, SCHEMA_ID)
        for reason, record in broken.items()
    }
    encoded |= {"bad_magic": b"\x07junk", "avro_invalid": value + b"\0"}
    reason = draw.choice(list(encoded))
    return encoded[reason], reason


def _copies(messages: list[Message]) -> Iterator[str]:
    """Yield, for each batch that was there before, how long ago in sequences and in time."""
    first_ms: dict[Any, int] = {}
    highest: dict[Any, int] = {}
    for message in messages:
        batch = message.batch
        if isinstance(batch, str) or batch["sequence"] is None:
            continue
        boot, at_ms = (batch["device_id"], batch["boot_id"]), message.append_time_ms
        before_ms = first_ms.setdefault((boot, batch["sequence"]), at_ms)
        highest[boot] = max(highest.get(boot, 0), batch["sequence"])
        if before_ms < at_ms:
            is_far = highest[boot] - batch["sequence"] >= JUDGED_COUNT
            yield f"copy {'over' if is_far else 'within'} 1,024 sequences"
            yield f"copy {'over' if at_ms - before_ms > DAY_MS else 'within'} a day"


def _is_late(message: Message) -> bool:
    points = [] if isinstance(message.batch, str) else message.batch["points"]
    oldest_ms = message.append_time_ms - 24 * HOUR_MS
    return any(STARTED_AT_MS - 10**9 < point["timestamp"] < oldest_ms for point in points)
