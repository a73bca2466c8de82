"""Shards: how devices are spread, and the container in which a block travels to its shards.

A shard is a stable hash of tenant and device modulo `shard_count`, so it survives releases,
restarts and more Kafka partitions. One container holds what one Arrow batch of messages has for
every shard:

    | kind u8 | shard i32 | size u32 | payload | kind ...      little-endian
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt
import xxhash

NO_SHARD = -1
EVERY_SHARD = -2
"""Of a section that is the same for all: it travels once."""
_HEADER = struct.Struct("<BiI")


class SectionKind(IntEnum):
    """What a section of a container carries."""

    BATCHES = 1
    CONTACTS = 2
    DEVICES = 3
    DEAD_LETTERS = 4
    ACCOUNT = 5
    CONTROLS = 6
    WINDOWS = 7
    REPORT = 8


@dataclass(frozen=True)
class Section:
    """What a container has for one shard."""

    kind: SectionKind
    shard: int
    payload: bytes


def device_hashes(tenant_ids: Sequence[str], device_ids: Sequence[str]) -> npt.NDArray[np.uint64]:
    """Return a hash of each device's identity that is stable across releases.

    >>> int(device_hashes(["acme"], ["cam-7"])[0])
    16902980527473540076
    """
    digest = xxhash.xxh3_64_intdigest
    pairs = zip(tenant_ids, device_ids, strict=True)
    return np.fromiter(
        (digest(f"{tenant}/{device}".encode()) for tenant, device in pairs), np.uint64
    )


def boot_hashes(
    device_hashes: Sequence[int], boot_ids: Sequence[str | None]
) -> npt.NDArray[np.uint64]:
    """Return a hash of each device's boot that is stable across releases.

    The device's hash seeds that of its boot. No boot id and an empty one are two.
    """
    digest = xxhash.xxh3_64_intdigest
    pairs = zip(device_hashes, boot_ids, strict=True)
    return np.fromiter(
        (
            digest(b"" if boot is None else b"=" + boot.encode(), seed=device)
            for device, boot in pairs
        ),
        np.uint64,
        len(boot_ids),
    )


def sender_hashes(
    keys: Sequence[bytes | None], offsets: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint32]:
    """Return a hash of each message's key that is stable across releases.

    Nobody knows who sent a message without a key: each counts as a sender of its own.
    """
    digest = xxhash.xxh32_intdigest
    pairs = zip(keys, offsets.tolist(), strict=True)
    return np.fromiter(
        (digest(b"%d" % offset if key is None else key) for key, offset in pairs), np.uint32
    )


def log_hashes(topics: Sequence[str], partitions: Sequence[int]) -> npt.NDArray[np.int32]:
    """Return a number of each message's log, 0 to 2^31 - 1, that is stable across releases.

    Partitions of two topics have the same numbers but not the same clock. Two of 1,000 logs have
    the same hash once in 4,000 times.

    >>> log_hashes(["telemetry", "telemetry.acme"], [0, 0]).tolist()
    [1459218195, 2009970426]
    """
    places = list(zip(topics, partitions, strict=True))
    digest = xxhash.xxh32_intdigest
    known = {place: digest(f"{place[0]}/{place[1]}".encode()) >> 1 for place in set(places)}
    return np.fromiter((known[place] for place in places), np.int32, len(places))


def shard_of(hashes: npt.NDArray[np.uint64], shard_count: int) -> npt.NDArray[np.int32]:
    """Return the shard of each device, 0 to shard_count - 1."""
    return (hashes % np.uint64(shard_count)).astype(np.int32)


def pack_sections(sections: Sequence[Section]) -> bytes:
    """Write sections as one container.

    >>> list(split_sections(pack_sections([Section(SectionKind.BATCHES, 3, b"x")])))
    [Section(kind=<SectionKind.BATCHES: 1>, shard=3, payload=b'x')]
    """
    parts: list[bytes] = []
    for section in sections:
        parts.append(_HEADER.pack(section.kind, section.shard, len(section.payload)))
        parts.append(section.payload)
    return b"".join(parts)


def split_sections(container: bytes) -> Iterator[Section]:
    """Read what `pack_sections` wrote."""
    at = 0
    while at < len(container):
        kind, shard, size = _HEADER.unpack_from(container, at)
        at += _HEADER.size
        yield Section(SectionKind(kind), shard, container[at : at + size])
        at += size
