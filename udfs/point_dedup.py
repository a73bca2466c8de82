"""Duplicate points: what a device without sequences sends again counts once.

Old firmware does not number its batches, and after a failed upload it sends a superset of them. So
its points are told apart by themselves: device, name, tags and time, as one 64-bit hash. A point is
a duplicate when the same one has counted within the 24 hours before it, by append time.

    partition 3   hour 495,312: hashes, seconds     one bucket for each hour in which points counted
                  hour 495,313: hashes, seconds     only the newest one changes

Buckets are kept by partition: its append times rise, so what is forgotten depends on the log alone,
however it is cut into blocks. A shard keeps a bounded number of points; with more of them the
oldest hours are forgotten early.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

HOUR_S = 3600
REMEMBER_S = 24 * HOUR_S
POINTS_MAX_COUNT = 4_000_000
"""Of one shard: 40 MB. Unknown senders must not fill the memory."""
NEVER_S = -(2**40)

Hashes: TypeAlias = npt.NDArray[np.uint64]
Longs: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]


class Place(NamedTuple):
    """Where points counted: in which partition, and in which hour since 1970.

    The partition's number is unique over all topics.
    """

    partition: int
    hour: int

    @property
    def key(self) -> int:
        """Return the place as one integer, under which state keeps its bucket.

        >>> Place.of_key(Place(3, 495_312).key)
        Place(partition=3, hour=495312)
        """
        return self.partition << 32 | self.hour

    @classmethod
    def of_key(cls, key: int) -> "Place":
        """Return the place of a key."""
        return cls(key >> 32, key & 0xFFFFFFFF)


@dataclass(frozen=True)
class Bucket:
    """The points that counted in one hour of one partition.

    Args:
        hashes: of the points, ascending, shape (n,).
        seconds: at which second of the hour each counted, shape (n,).
    """

    hashes: Hashes
    seconds: npt.NDArray[np.uint16]

    def to_bytes(self) -> bytes:
        """Return 10 bytes a point: all hashes (u64), then all seconds (u16), little-endian."""
        return self.hashes.astype("<u8").tobytes() + self.seconds.astype("<u2").tobytes()

    @classmethod
    def from_bytes(cls, stored: bytes) -> "Bucket":
        """Restore what `to_bytes` wrote."""
        count, rest = divmod(len(stored), 10)
        assert rest == 0, "a bucket has 10 bytes a point"
        return cls(
            np.frombuffer(stored, "<u8", count), np.frombuffer(stored, "<u2", count, 8 * count)
        )

    def with_points(self, hashes: Hashes, seconds: Longs) -> "Bucket":
        """Return the bucket with points that it does not have yet."""
        joined = np.concatenate([self.hashes, hashes])
        order = np.argsort(joined, kind="stable")
        both = np.concatenate([self.seconds, seconds.astype(np.uint16)])
        return Bucket(joined[order], both[order])


Buckets: TypeAlias = Mapping[Place, Bucket]
NO_POINTS = Bucket(np.empty(0, np.uint64), np.empty(0, np.uint16))


@dataclass(frozen=True)
class SentPoints:
    """Points of batches without a sequence, in the order of their partition's log.

    Args:
        hashes: identity of each point, shape (n,).
        append_time_ms: of its message, UTC ms, shape (n,).
        partitions: of its message, by a number that is unique over all topics, shape (n,).
    """

    hashes: Hashes
    append_time_ms: Longs
    partitions: npt.NDArray[np.int32]


@dataclass(frozen=True)
class PointStep:
    """What a block did: the verdicts, the buckets that changed, and those that are forgotten."""

    is_duplicate: Flags
    changed: dict[Place, Bucket]
    forgotten: list[Place]

    @classmethod
    def nothing(cls) -> "PointStep":
        """Return the step of a block without such points."""
        return cls(np.zeros(0, np.bool_), {}, [])

    def applied_to(self, buckets: Buckets) -> Buckets:
        """Return the buckets as the block leaves them."""
        gone = set(self.forgotten)
        after = {**buckets, **self.changed}
        return {place: bucket for place, bucket in after.items() if place not in gone}


def mark_points(buckets: Buckets, points: SentPoints) -> PointStep:
    """Tell which points have counted before, in this block or an earlier one.

    Args:
        buckets: of the shard; not changed.
        points: of the block, shape (n,).
    """
    is_duplicate = np.zeros(len(points.hashes), np.bool_)
    changed: dict[Place, Bucket] = {}
    clocks_s: dict[int, int] = {}
    for partition in np.unique(points.partitions).tolist():
        rows = np.flatnonzero(points.partitions == partition)
        at_s = np.maximum.accumulate(points.append_time_ms[rows] // 1000)
        clocks_s[partition] = int(at_s[-1])
        own = {place: bucket for place, bucket in buckets.items() if place.partition == partition}
        counted = _count_once(own, points.hashes[rows], at_s)
        is_duplicate[rows] = ~counted
        for hour in np.unique(at_s[counted] // HOUR_S).tolist():
            now = counted & (at_s // HOUR_S == hour)
            place = Place(partition, hour)
            grown = own.get(place, NO_POINTS).with_points(
                points.hashes[rows][now], at_s[now] % HOUR_S
            )
            changed[place] = grown
    forgotten = list(_forgotten({**buckets, **changed}, clocks_s))
    for place in forgotten:
        changed.pop(place, None)
    return PointStep(is_duplicate, changed, forgotten)


def _count_once(own: Buckets, hashes: Hashes, at_s: Longs) -> Flags:
    """Tell which points of one partition count.

    Each round settles, for every hash, the next time that it counts and all copies of the 24 hours
    after it; so there are as many rounds as days in the block.
    """
    distinct, which = np.unique(hashes, return_inverse=True)
    counted_s = _last_counted(own, distinct)
    counts = np.zeros(len(hashes), np.bool_)
    left = np.arange(len(hashes))
    while True:
        left = left[at_s[left] - counted_s[which[left]] > REMEMBER_S]
        if len(left) == 0:
            return counts
        first = left[np.unique(which[left], return_index=True)[1]]
        counts[first] = True
        counted_s[which[first]] = at_s[first]


def _last_counted(own: Buckets, distinct: Hashes) -> Longs:
    """Return the second at which each hash last counted."""
    counted_s = np.full(len(distinct), NEVER_S, np.int64)
    for place, bucket in own.items():
        at = np.searchsorted(bucket.hashes, distinct)
        is_there = at < len(bucket.hashes)
        is_there[is_there] = bucket.hashes[at[is_there]] == distinct[is_there]
        found_s = place.hour * HOUR_S + bucket.seconds[at[is_there]].astype(np.int64)
        counted_s[is_there] = np.maximum(counted_s[is_there], found_s)
    return counted_s


def _forgotten(buckets: Buckets, clocks_s: Mapping[int, int]) -> Iterator[Place]:
    """Yield the buckets that no later point can meet, then the oldest that are too many."""
    kept = []
    for place in sorted(buckets, key=lambda place: place.hour, reverse=True):
        clock_s = clocks_s.get(place.partition)
        end_s = (place.hour + 1) * HOUR_S - 1
        if clock_s is not None and clock_s - end_s > REMEMBER_S:
            yield place
        else:
            kept.append(place)
    yield from _beyond(kept, (len(buckets[place].hashes) for place in kept))


def _beyond(places: Iterable[Place], counts: Iterable[int]) -> Iterator[Place]:
    total = 0
    for place, count in zip(places, counts, strict=True):
        total += count
        # The newest hour of all stays: something must be remembered.
        if total > POINTS_MAX_COUNT and total > count:
            yield place
