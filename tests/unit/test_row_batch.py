"""A batch knows its size, its age and what it has read."""

import pyarrow as pa
import pytest

from schemas.topics import Topic
from sinks.messages import Arrived, Message
from sinks.row_batch import BLOCK_MAX_BYTES, BatchPolicy, PendingBatch
from sinks.table_rows import Rows

POLICY = BatchPolicy(max_rows=10, max_bytes=1000, max_age_ms=500)


def rows(count):
    return Rows(pa.table({"x": pa.array([0] * count, pa.int64())}))


def arrived(message):
    found = Arrived()
    found.add([message], range(message.offset, message.offset + 1), message.partition, 1)
    return found


def read(batch, partition, offset, *, row_count=1, size_bytes=1, now_ms=0):
    batch.add(arrived(Message(partition, offset, 0, b"", b"x" * size_bytes)), now_ms)
    batch.add_decoded(rows(row_count))


@pytest.fixture
def batch():
    return PendingBatch(Topic.WINDOWS, positions={0: 5, 1: 0})


def test_an_empty_batch_is_never_due(batch):
    assert not batch.is_due(POLICY, now_ms=10**9, is_all_read=True)


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
    assert batch.is_due(POLICY, now_ms, is_all_read=False) is is_due


def test_the_age_counts_from_the_first_message(batch):
    read(batch, 0, 5, now_ms=1_000)
    read(batch, 0, 6, now_ms=1_400)
    assert not batch.is_due(POLICY, now_ms=1_499, is_all_read=False)
    assert batch.is_due(POLICY, now_ms=1_500, is_all_read=False)


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


def test_what_is_read_to_its_end_waits_only_for_the_insert_before_it():
    #  insert    message, and no more of them
    #  1000 ms   1200 ms   1500 ms   1700 ms
    #            not due   due: 500 ms after the insert
    batch = PendingBatch(Topic.WINDOWS, positions={0: 0}, opened_ms=1_000)
    read(batch, 0, 0, now_ms=1_200)
    assert not batch.is_due(POLICY, now_ms=1_499, is_all_read=True)
    assert batch.is_due(POLICY, now_ms=1_500, is_all_read=True)
    assert not batch.is_due(POLICY, now_ms=1_500, is_all_read=False)


def test_messages_are_decoded_together_until_they_are_a_block(batch):
    half = Message(0, 5, 0, b"", bytes(BLOCK_MAX_BYTES // 2))
    batch.add(arrived(half), now_ms=0)
    assert not batch.has_block
    batch.add(arrived(Message(0, 6, 0, b"", half.value)), now_ms=0)
    assert batch.has_block
    with pytest.raises(AssertionError, match="decode"):
        batch.rows()
    batch.add_decoded(rows(7))
    assert (batch.raw, batch.has_block, batch.row_count) == ([], False, 7)
    assert batch.size_bytes == BLOCK_MAX_BYTES


def test_messages_of_which_nothing_is_wanted_are_offsets_that_were_read(batch):
    heartbeats = Arrived()
    heartbeats.add([], range(5, 9), partition=0, count=4)
    batch.add(heartbeats, now_ms=100)
    assert (batch.next_offsets, batch.raw, batch.size_bytes) == ({0: 9}, [], 0)
    assert batch.is_due(POLICY, now_ms=600, is_all_read=False)
    with pytest.raises(AssertionError, match="backwards"):
        batch.add(heartbeats, now_ms=600)
