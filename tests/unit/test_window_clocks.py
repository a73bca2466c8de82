"""The time of `windows`, against the slow and obvious way; marks and the keys that carry them."""

import itertools
import random

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from udfs.clock_marks import (
    Mark,
    key_partition,
    mark_of,
    murmur2,
    partition_keys,
    tick_clocks,
)
from udfs.partition_clocks import UNKNOWN_MS
from udfs.window_clocks import MARK_SCHEMA, WindowClocks

SOURCE_COUNT = 3
MarkRow = tuple[int, int, int, int, int]


def obvious_time(marks: list[MarkRow], partition: int, offset: int) -> int:
    """Return the time at an offset: after each mark the lowest of all sources, never back."""
    sources: dict[int, int] = {}
    time_ms = UNKNOWN_MS
    for number, at, source, count, clock_ms in marks:
        if number == partition and at < offset:
            sources[source] = max(clock_ms, sources.get(source, clock_ms))
            if len(sources) >= count:
                time_ms = max(time_ms, min(sources.values()))
    return time_ms


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_times_are_those_of_the_obvious_way_however_the_log_is_cut_and_restored(seed: int) -> None:
    chance = random.Random(seed)
    # One source a mark: a mark of many is read at once, so there is no time within it.
    marks = [
        (chance.randrange(2), offset, chance.randrange(SOURCE_COUNT), SOURCE_COUNT,
         chance.randrange(1_000))
        for offset in range(60)
    ]  # fmt: skip
    rows = [(chance.randrange(2), chance.randrange(61)) for _ in range(30)]
    cuts = sorted({0, 61, *(chance.randrange(61) for _ in range(4))})
    clocks = WindowClocks()
    for begin, end in itertools.pairwise(cuts):
        part = [mark for mark in marks if begin <= mark[1] < end]
        own = [row for row in rows if begin <= row[1] < end]
        found = clocks.times_of(
            pl.DataFrame(part, schema=MARK_SCHEMA, orient="row"),
            np.array([partition for partition, _ in own], np.int64),
            np.array([offset for _, offset in own], np.int64),
        )
        assert found.tolist() == [obvious_time(marks, *row) for row in own]
        clocks = WindowClocks.from_values(clocks.to_values(), clocks.timeless_count)
    ends = [obvious_time(marks, partition, 61) for partition in range(2)]
    assert clocks.clock_ms(2) == min(ends)


def test_a_partition_that_was_never_marked_holds_the_clock_only_if_it_is_waited_for() -> None:
    marks = pl.DataFrame([(0, 1, 0, 1, 500)], schema=MARK_SCHEMA, orient="row")
    clocks = WindowClocks()
    rows = clocks.times_of(marks, np.array([0, 0, 1]), np.array([0, 2, 7]))
    assert rows.tolist() == [UNKNOWN_MS, 500, UNKNOWN_MS]
    assert (clocks.clock_ms(1), clocks.clock_ms(2)) == (500, UNKNOWN_MS)


def test_what_has_no_header_of_a_mark_is_none() -> None:
    assert mark_of((("other", b"x"),)) is None
    mark = Mark({3: 9}, 4)
    assert mark_of((("other", b"x"), *mark.headers())) == mark


def test_ticks_of_a_tenant_s_own_topic_do_not_count() -> None:
    rows = [("telemetry", 0, 5), ("telemetry.acme", 0, 900), ("telemetry", 1, 7)]
    names = {"topic": pl.String, "partition": pl.Int32, "clock_ms": pl.Int64}
    frames = [pl.DataFrame(rows, schema=names, orient="row")]
    assert tick_clocks([*frames, *frames], "telemetry") == {0: 5, 1: 7}


@pytest.mark.parametrize("partition_count", [1, 2, 3, 8, 64])
def test_each_partition_has_a_key_of_its_own(partition_count: int) -> None:
    keys = partition_keys(partition_count)
    found = [key_partition(key, partition_count) for key in keys]
    assert found == list(range(partition_count))


def test_keys_are_hashed_as_the_java_client_does() -> None:
    # From `UtilsTest.testMurmur2` of Apache Kafka, as signed integers.
    expected = {
        b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536,
        b"a-little-bit-longer-string": -1486304829, b"abc": 479470107,
    }  # fmt: skip
    assert {key: murmur2(key) for key in expected} == {
        key: signed & 0xFFFFFFFF for key, signed in expected.items()
    }
