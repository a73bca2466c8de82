"""Laws of point duplicates, against a dictionary that takes the log point by point."""

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import udfs.point_dedup
from udfs.point_dedup import (
    HOUR_S,
    REMEMBER_S,
    Bucket,
    SentPoints,
    mark_points,
)

PARTITION_COUNT = 3


@dataclass(frozen=True)
class Sent:
    """One point of the log; a hash stays in its partition, as a device does."""

    hash: int
    at_ms: int

    @property
    def partition(self) -> int:
        return self.hash % PARTITION_COUNT


def oracle(log: list[Sent]) -> list[bool]:
    counted_s: dict[int, int] = {}
    flags = []
    for sent in log:
        at_s = sent.at_ms // 1000
        is_copy = sent.hash in counted_s and at_s - counted_s[sent.hash] <= REMEMBER_S
        flags.append(is_copy)
        if not is_copy:
            counted_s[sent.hash] = at_s
    return flags


def mark(buckets, log):
    points = SentPoints(
        np.array([sent.hash for sent in log], np.uint64),
        np.array([sent.at_ms for sent in log], np.int64),
        np.array([sent.partition for sent in log], np.int32),
    )
    step = mark_points(buckets, points)
    after = {**buckets, **step.changed}
    for place in step.forgotten:
        after.pop(place, None)
    stored = {place: Bucket.from_bytes(bucket.to_bytes()) for place, bucket in after.items()}
    return stored, step.is_duplicate.tolist()


steps_ms = st.sampled_from([0, 0, 1, 999, 1000, 60_000, HOUR_S * 1000, 23 * HOUR_S * 1000]) | (
    st.sampled_from([REMEMBER_S * 1000, REMEMBER_S * 1000 + 1000, 3 * REMEMBER_S * 1000])
)


@st.composite
def logs(draw):
    at_ms, log = dict.fromkeys(range(PARTITION_COUNT), 1_790_000_000_000), []
    for _ in range(draw(st.integers(0, 50))):
        number = draw(st.integers(0, 7))
        at_ms[number % PARTITION_COUNT] += draw(steps_ms)
        log.append(Sent(number, at_ms[number % PARTITION_COUNT]))
    return log


@given(logs(), st.lists(st.integers(0, 50), max_size=6))
@settings(max_examples=300)
def test_every_verdict_is_a_function_of_the_log_however_it_is_cut_into_blocks(log, cuts):
    buckets, flags = {}, []
    edges = [0, *sorted(min(cut, len(log)) for cut in cuts), len(log)]
    for start, stop in itertools.pairwise(edges):
        buckets, marked = mark(buckets, log[start:stop])
        flags += marked
    assert flags == oracle(log)


def test_a_superset_sent_again_and_again_counts_each_point_once():
    #  1 2 3      fails, so
    #  1 2 3 4    is sent, fails, and
    #  1 2 3 4 5  comes twice
    log = [Sent(n, 1000 * i) for i, n in enumerate([1, 2, 3, 1, 2, 3, 4, *[1, 2, 3, 4, 5] * 2])]
    _, flags = mark({}, log)
    assert flags.count(False) == 5


def test_buckets_no_later_point_can_meet_are_forgotten():
    buckets, _ = mark({}, [Sent(3, 0), Sent(1, 0)])
    buckets, _ = mark(buckets, [Sent(0, 1000 * (REMEMBER_S + HOUR_S))])
    # Partition 1 was not heard again: its clock stands still, and its point may come again.
    assert sorted(place.partition for place in buckets) == [0, 1]
    assert {place.hour for place in buckets} == {0, 25}


def test_with_too_many_points_the_oldest_hours_are_forgotten_first(monkeypatch):
    monkeypatch.setattr(udfs.point_dedup, "POINTS_MAX_COUNT", 25)
    buckets = {}
    for hour in range(4):
        log = [Sent(3 * (10 * hour + n), 1000 * HOUR_S * hour) for n in range(10)]
        buckets, _ = mark(buckets, log)
    assert [place.hour for place in sorted(buckets)] == [2, 3]
    _, flags = mark(buckets, [Sent(30 * 3, 3_600_000 * 3), Sent(0, 3_600_000 * 3)])
    assert flags == [True, False]


@pytest.mark.parametrize("copies", [1, 10_000])
def test_a_hostile_batch_of_one_point_many_times_takes_one_round(copies):
    _, flags = mark({}, [Sent(9, 5)] * copies)
    assert flags == [False] + [True] * (copies - 1)
