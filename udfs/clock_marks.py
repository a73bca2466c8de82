"""Marks: messages of the `windows` topic that say how far telemetry has been summed.

    telemetry 0   o o T o o T        T = a tick of the clock, appended at 12:00:05
                      └──────> windows 0, 1, ...: no rows, header `fleetpulse.clocks`

A reader of windows learns from them the time of telemetry itself (law L2): while the aggregate job
is down or behind, this time stands still, so nobody takes what was not summed yet for missing. They
travel in the transaction of the windows before them, to every partition.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import polars as pl

from schemas.dead_letter import Headers
from schemas.topics import CLOCK_TENANT_ID

MARK_HEADER = "fleetpulse.clocks"
KEY_TRIES_MAX_COUNT = 1_000_000
_MASK = 0xFFFFFFFF


@dataclass(frozen=True)
class Mark:
    """How far some partitions of telemetry have been summed.

    Args:
        clocks: append time of the last tick, UTC ms, by partition.
        source_count: partitions that telemetry has: all must be heard before anything is sure.
    """

    clocks: Mapping[int, int]
    source_count: int

    def headers(self) -> Headers:
        """Return the headers of a message that says it.

        >>> Mark({0: 7}, 2).headers()
        (('fleetpulse.clocks', b'{"of": 2, "clocks": {"0": 7}}'),)
        """
        said = {"of": self.source_count, "clocks": dict(self.clocks)}
        return ((MARK_HEADER, json.dumps(said).encode()),)


def mark_of(headers: Headers) -> Mark | None:
    """Return what a message's headers say, None if they are not those of a mark.

    >>> mark_of(Mark({0: 7, 1: 8}, 2).headers())
    Mark(clocks={0: 7, 1: 8}, source_count=2)
    """
    for name, content in headers:
        if name == MARK_HEADER:
            said = json.loads(content)
            clocks = {int(partition): at_ms for partition, at_ms in said["clocks"].items()}
            return Mark(clocks, said["of"])
    return None


def tick_clocks(ticks: Sequence[pl.DataFrame], topic: str) -> dict[int, int]:
    """Return the last tick of each partition of a topic.

    Args:
        ticks: columns topic, partition, clock_ms.
        topic: others are left out.
    """
    clocks: dict[int, int] = {}
    for name, partition, clock_ms in (row for frame in ticks for row in frame.iter_rows()):
        if name == topic:
            clocks[partition] = max(clock_ms, clocks.get(partition, clock_ms))
    return clocks


@cache
def partition_keys(partition_count: int) -> tuple[bytes, ...]:
    """Return for each partition a key that Kafka's own partitioner sends there.

    >>> partition_keys(2)
    (b'__clock__/0', b'__clock__/2')
    """
    found: dict[int, bytes] = {}
    for key in _keys():
        found.setdefault(key_partition(key, partition_count), key)
        if len(found) == partition_count:
            break
    return tuple(found[partition] for partition in range(partition_count))


def _keys() -> Iterator[bytes]:
    return (f"{CLOCK_TENANT_ID}/{number}".encode() for number in range(KEY_TRIES_MAX_COUNT))


def key_partition(key: bytes, partition_count: int) -> int:
    """Return the partition that the Java client chooses for a key.

    References:
        `BuiltInPartitioner.partitionForKey` of Apache Kafka.
    """
    return (murmur2(key) & 0x7FFFFFFF) % partition_count


def murmur2(key: bytes) -> int:
    """Return Kafka's 32-bit hash of a key, unsigned.

    >>> murmur2(b"21") == -973932308 & 0xFFFFFFFF  # from the tests of Apache Kafka
    True

    References:
        `Utils.murmur2` of Apache Kafka; Appleby, MurmurHash2.
    """
    factor = 0x5BD1E995
    found = 0x9747B28C ^ len(key)
    whole = len(key) & ~3
    for at in range(0, whole, 4):
        word = int.from_bytes(key[at : at + 4], "little") * factor & _MASK
        word = (word ^ word >> 24) * factor & _MASK
        found = found * factor & _MASK ^ word
    if whole < len(key):
        found = (found ^ int.from_bytes(key[whole:], "little")) * factor & _MASK
    found = (found ^ found >> 13) * factor & _MASK
    return found ^ found >> 15
