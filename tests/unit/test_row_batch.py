"""A batch knows its size, its age and what it has read."""

import pyarrow as pa
import pytest

from schemas.topics import Topic
from sinks.messages import Message
from sinks.row_batch import BatchPolicy, PendingBatch
from sinks.table_rows import Rows

POLICY = BatchPolicy(max_rows=10, max_bytes=1000, max_age_ms=500)


def rows(count):
    return Rows(pa.table({"x": pa.array([0] * count, pa.int64())}))


def read(batch, partition, offset, *, row_count=1, size_bytes=1, now_ms=0):
    message = Message(partition, offset, 0, b"", b"x" * size_bytes)
    batch.add(rows(row_count), [message], now_ms)


@pytest.fixture
def batch():
    return PendingBatch(Topic.WINDOWS, positions={0: 5, 1: 0})


def test_an_empty_batch_is_never_due(batch):
    assert not batch.is_due(POLICY, now_ms=10**9)


@pytest.mark.parametrize(
    ("row_count", "size_bytes", "now_ms", "is_due"),
    [
        (9, 999, 599, False),
        (10, 1, 100, True),
        (1, 1000, 100, True),
        (1, 1, 600, True),
    ],
    ids=["below each limit", "rows", "bytes", "age"],
)
def test_a_batch_is_due_at_its_first_limit(batch, row_count, size_bytes, now_ms, is_due):
    read(batch, 0, 5, row_count=row_count, size_bytes=size_bytes, now_ms=100)
    assert batch.is_due(POLICY, now_ms) is is_due


def test_the_age_counts_from_the_first_message(batch):
    read(batch, 0, 5, now_ms=1_000)
    read(batch, 0, 6, now_ms=1_400)
    assert not batch.is_due(POLICY, now_ms=1_499)
    assert batch.is_due(POLICY, now_ms=1_500)


def test_it_remembers_the_next_offset_of_each_partition_that_gave_something(batch):
    read(batch, 0, 5)
    read(batch, 0, 8)  # 6 and 7 are markers of a transaction
    assert batch.next_offsets == {0: 9}


def test_reading_backwards_is_a_defect(batch):
    read(batch, 0, 8)
    with pytest.raises(AssertionError, match="backwards"):
        read(batch, 0, 8)
    with pytest.raises(AssertionError, match="backwards"):
        read(PendingBatch(Topic.WINDOWS, positions={0: 5}), 0, 4)
