"""Laws of the duplicate bitmap, against a plain set."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from udfs.dedup import (
    BITMAP_BITS,
    NO_SEQUENCE,
    DedupShard,
    dedup_from_bytes,
    empty_dedup,
    mark_duplicates,
)

batches = st.lists(
    st.tuples(st.integers(0, 3), st.integers(NO_SEQUENCE, BITMAP_BITS - 1)), max_size=60
)


def mark(state: DedupShard, block: list[tuple[int, int]]) -> tuple[DedupShard, list[bool]]:
    keys = np.array([key for key, _ in block], np.uint64)
    sequences = np.array([sequence for _, sequence in block], np.int64)
    state, flags = mark_duplicates(state, keys, sequences, np.full(len(block), 1_000, np.int64))
    return state, flags.tolist()


@given(batches, st.integers(0, 60))
def test_a_batch_counts_once_however_the_log_is_cut_into_blocks(log, cut):
    seen, expected = set(), []
    for batch in log:
        expected.append(batch in seen)
        if batch[1] != NO_SEQUENCE:
            seen.add(batch)
    state, first = mark(empty_dedup(), log[:cut])
    state, second = mark(dedup_from_bytes(state.to_bytes()), log[cut:])
    assert first + second == expected


@given(st.lists(st.integers(0, 10 * BITMAP_BITS), min_size=1, max_size=40))
def test_sequences_far_apart_shift_the_bitmap_exactly(sequences):
    state, seen, highest = empty_dedup(), set(), -1
    for sequence in sequences:
        state, flags = mark(state, [(7, sequence)])
        is_judged = highest - sequence < BITMAP_BITS
        assert flags == [sequence in seen and is_judged]
        seen.add(sequence)
        highest = max(highest, sequence)


def test_a_sequence_below_the_bitmap_is_accepted_and_leaves_no_mark():
    state, _ = mark(empty_dedup(), [(1, 5_000)])
    for _ in range(2):
        state, flags = mark(state, [(1, 5_000 - BITMAP_BITS)])
        assert flags == [False]


def test_boots_not_heard_for_a_day_are_forgotten():
    day_ms = 24 * 60 * 60 * 1000
    one = np.array([1], np.uint64), np.array([0], np.int64)
    state, _ = mark_duplicates(empty_dedup(), *one, np.array([0]))
    state, _ = mark_duplicates(
        state, np.array([2], np.uint64), np.array([0]), np.array([day_ms + 1])
    )
    assert state.keys.tolist() == [2]
