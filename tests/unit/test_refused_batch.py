"""Shares of a refused batch: what they cover, and that the ledger can tell at any crash."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import RejectLimitExceeded
from sinks.load_ledger import LedgerEntry, LedgerRow, OffsetRange, plan_topic
from sinks.messages import Message
from sinks.refused_batch import check_refused, halves, waiting, whole

TOPIC = "alerts"


@st.composite
def batches(draw):
    """Draw messages with gaps between their offsets, and the ranges that a batch has of them."""
    ranges, messages = [], []
    for partition in draw(st.sets(st.integers(0, 5), min_size=1)):
        first = draw(st.integers(0, 50))
        offsets = sorted(draw(st.sets(st.integers(first, first + 30), max_size=8)))
        last = max([first, *offsets]) + draw(st.integers(0, 3))
        ranges.append(OffsetRange(partition, first, last))
        messages += [Message(partition, offset, 0, b"k", b"v") for offset in offsets]
    return LedgerEntry(TOPIC, 7, tuple(sorted(ranges)), 1), messages


def rows_of(entry, *, is_done):
    return [
        LedgerRow(TOPIC, r.partition, entry.batch_number, r.first_offset, r.last_offset, is_done, 1)
        for r in entry.ranges
    ]


class Ledger(dict):
    """The latest row of each partition, as the engine keeps it: the larger version stays."""

    def write(self, rows):
        for row in rows:
            old = self.get(row.partition)
            if old is None or version(row) >= version(old):
                self[row.partition] = row


def version(row):
    return row.batch_number * 2 + row.is_done


@given(batches(), st.data())
def test_at_every_crash_the_ledger_says_what_is_open_and_where_to_read_on(batch, data):
    """Each message is settled once: nothing that is settled is read again, nothing is left out."""
    entry, messages = batch
    bad = data.draw(st.sets(st.sampled_from(messages))) if messages else set()
    ledger, number, settled = Ledger(), entry.batch_number, []
    ledger.write(rows_of(entry, is_done=False))
    stack = [whole(entry, messages)]
    while stack:
        share = stack.pop()
        if share.ranges != entry.ranges or number > entry.batch_number:
            number += 1
        own = share.entry(TOPIC, number, 1)
        if number > entry.batch_number:
            rest = LedgerEntry(TOPIC, number, waiting(share, stack), 0)
            ledger.write(rows_of(own, is_done=False) + rows_of(rest, is_done=True))
        plan = plan_topic(TOPIC, ledger.values())
        assert plan.in_flight is not None
        assert plan.in_flight.ranges == own.ranges
        assert plan.in_flight.token == own.token
        assert plan.next_batch_number == number + 1
        assert_read_on_after(plan, [*settled, *share.messages], messages)
        if bad & set(share.messages) and len(share.messages) > 1:
            stack += reversed(halves(share))
            continue
        settled += share.messages
        ledger.write(rows_of(own, is_done=True))
        plan = plan_topic(TOPIC, ledger.values())
        assert plan.in_flight is None
        assert_read_on_after(plan, settled, messages)
    assert sorted(settled, key=str) == sorted(messages, key=str)
    assert plan.next_offsets == {r.partition: r.last_offset + 1 for r in entry.ranges}


def assert_read_on_after(plan, settled, messages):
    """Check that just the messages that are not settled lie behind the offsets to read on from."""
    again = [m for m in messages if m.offset >= plan.next_offsets[m.partition]]
    assert sorted([*settled, *again], key=str) == sorted(messages, key=str)


@given(batches())
def test_halves_cover_the_share_and_do_not_overlap(batch):
    entry, messages = batch
    if len(messages) < 2:
        return
    left, right = halves(whole(entry, messages))
    covered = sorted(
        (r.partition, offset)
        for share in (left, right)
        for r in share.ranges
        for offset in range(r.first_offset, r.last_offset + 1)
    )
    assert covered == [
        (r.partition, offset)
        for r in entry.ranges
        for offset in range(r.first_offset, r.last_offset + 1)
    ]
    assert abs(len(left.messages) - len(right.messages)) <= 1


def test_a_table_that_refuses_everything_stops_before_the_topic_is_drained():
    check_refused(TOPIC, 10, 10, "code 117")
    check_refused(TOPIC, 50, 100, "code 117")
    with pytest.raises(RejectLimitExceeded, match="11 of 11 messages"):
        check_refused(TOPIC, 11, 11, "code 117")
