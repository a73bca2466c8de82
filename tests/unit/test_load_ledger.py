"""The ledger says where to go on, and refuses a log that is not the one it knows."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import SettingsError
from sinks.load_ledger import (
    LedgerEntry,
    LedgerRow,
    OffsetRange,
    batch_ranges,
    check_positions,
    plan_topic,
)


def row(partition, batch_number, first, last, *, is_done, topic="windows"):
    return LedgerRow(topic, partition, batch_number, first, last, is_done, 10)


def test_an_empty_ledger_starts_with_the_first_batch():
    plan = plan_topic("windows", [row(0, 4, 0, 9, is_done=True, topic="alerts")])
    assert (plan.next_batch_number, plan.next_offsets, plan.in_flight) == (1, {}, None)


#   partition 0:  [0 ..... 9] batch 3 done
#   partition 1:  [5 .. 7]    batch 4 begun ── crash
#   partition 2:  [2 2]       batch 4 begun ──/
def test_the_batch_that_was_under_way_is_found_whole_and_nothing_else():
    rows = [
        row(2, 4, 2, 2, is_done=False),
        row(0, 3, 0, 9, is_done=True),
        row(1, 4, 5, 7, is_done=False),
    ]
    plan = plan_topic("windows", rows)
    assert plan.in_flight == LedgerEntry(
        "windows", 4, (OffsetRange(1, 5, 7), OffsetRange(2, 2, 2)), 10
    )
    assert plan.next_offsets == {0: 10, 1: 8, 2: 3}
    assert plan.next_batch_number == 5


def test_a_done_batch_is_not_sent_again():
    plan = plan_topic("windows", [row(0, 4, 0, 9, is_done=True)])
    assert plan.in_flight is None
    assert plan.next_offsets == {0: 10}


ranges = st.builds(OffsetRange, st.integers(0, 9), st.integers(0, 99), st.integers(100, 199))


@given(st.lists(ranges, min_size=1, max_size=5, unique=True))
def test_the_token_depends_on_nothing_but_the_batch(found):
    entry = LedgerEntry("windows", 3, tuple(sorted(found)), 10)
    assert entry.token == dataclasses.replace(entry, row_count=99).token
    assert entry.token != dataclasses.replace(entry, batch_number=4).token
    assert entry.token != dataclasses.replace(entry, topic="alerts").token
    longer = (*entry.ranges[:-1], dataclasses.replace(entry.ranges[-1], last_offset=200))
    assert entry.token != dataclasses.replace(entry, ranges=longer).token


def test_ranges_begin_where_the_last_batch_ended_even_when_offsets_are_missing():
    found = batch_ranges({0: 5, 1: 7, 2: 0}, {1: 12, 0: 6})
    assert found == (OffsetRange(0, 5, 5), OffsetRange(1, 7, 11))


def test_a_ledger_that_is_ahead_of_the_log_refuses_to_start():
    check_positions("windows", {0: 10}, {0: 10})
    with pytest.raises(SettingsError, match="created anew"):
        check_positions("windows", {0: 11}, {0: 10})
    with pytest.raises(SettingsError, match="partition 1"):
        check_positions("windows", {1: 1}, {0: 10})
