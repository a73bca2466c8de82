"""Laws of the duplicate bitmap, against plain sets that take the log message by message."""

import itertools
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from udfs.dedup import FORGET_AFTER_MS, NO_SEQUENCE, SentBatches, mark_duplicates
from udfs.dedup_state import (
    BITMAP_BITS,
    GAPS_MAX_COUNT,
    DedupShard,
    dedup_from_bytes,
    empty_dedup,
)

HOUR_MS = 60 * 60 * 1000


@dataclass(frozen=True)
class Sent:
    """One message of the log."""

    key: int
    sequence: int
    at_ms: int = 1_000

    @property
    def partition(self) -> int:
        return self.key % 3


@dataclass
class Boot:
    """The slow and obvious memory of one boot."""

    heard_ms: int
    highest: int = -1
    seen: set[int] = field(default_factory=set)


def oracle(log: list[Sent]) -> list[bool]:
    boots: dict[int, Boot] = {}
    flags = []
    for sent in log:
        if sent.sequence == NO_SEQUENCE:
            flags.append(False)
            continue
        boot = boots.get(sent.key)
        if boot is None or sent.at_ms - boot.heard_ms > FORGET_AFTER_MS:
            boot = boots[sent.key] = Boot(sent.at_ms)
        is_judged = sent.sequence > boot.highest - BITMAP_BITS
        flags.append(is_judged and sent.sequence in boot.seen)
        if is_judged:
            boot.seen.add(sent.sequence)
        boot.highest = max(boot.highest, sent.sequence)
        boot.heard_ms = max(boot.heard_ms, sent.at_ms)
    return flags


def mark(state: DedupShard, block: list[Sent]) -> tuple[DedupShard, list[bool]]:
    batches = SentBatches(
        np.array([sent.key for sent in block], np.uint64),
        np.array([sent.sequence for sent in block], np.int64),
        np.array([sent.at_ms for sent in block], np.int64),
        np.array([sent.partition for sent in block], np.int32),
    )
    state, flags = mark_duplicates(state, batches)
    return state, flags.tolist()


def mark_in_blocks(log: list[Sent], cuts: list[int]) -> list[bool]:
    """Mark block by block, with the state stored in between."""
    state, flags = empty_dedup(), []
    edges = [0, *sorted(min(cut, len(log)) for cut in cuts), len(log)]
    for start, stop in itertools.pairwise(edges):
        state, marked = mark(dedup_from_bytes(state.to_bytes()), log[start:stop])
        flags += marked
    return flags


@st.composite
def logs(draw, steps, sequences):
    """Draw a log whose append times rise in each partition."""
    at_ms, log = dict.fromkeys(range(3), 1_000), []
    for _ in range(draw(st.integers(0, 60))):
        sent = Sent(draw(st.integers(0, 5)), draw(sequences))
        at_ms[sent.partition] += draw(steps)
        log.append(Sent(sent.key, sent.sequence, at_ms[sent.partition]))
    return log


seconds = st.integers(0, 1_000)
hours = st.sampled_from([0, 0, HOUR_MS, 13 * HOUR_MS, FORGET_AFTER_MS, FORGET_AFTER_MS + 1])
near = st.integers(NO_SEQUENCE, 40)
far = near | st.integers(0, 3 * BITMAP_BITS) | st.sampled_from([1023, 1024, 1025, 2**62, 2**63 - 1])
blocks = st.lists(st.integers(0, 60), max_size=6)


@given(logs(seconds, near) | logs(hours, near) | logs(seconds, far) | logs(hours, far), blocks)
@settings(max_examples=300)
def test_every_verdict_is_a_function_of_the_log_however_it_is_cut_into_blocks(log, cuts):
    assert mark_in_blocks(log, cuts) == oracle(log)


def test_a_sequence_below_the_bitmap_is_accepted_and_leaves_no_mark():
    #  5000 arrives, then twice what lies just below the 1,024 that are remembered
    state, _ = mark(empty_dedup(), [Sent(1, 5_000)])
    for _ in range(2):
        state, flags = mark(state, [Sent(1, 5_000 - BITMAP_BITS)])
        assert flags == [False]


def test_a_boot_not_heard_for_over_a_day_begins_anew_and_one_of_a_day_does_not():
    for silence_ms, is_duplicate in ((FORGET_AFTER_MS, True), (FORGET_AFTER_MS + 1, False)):
        state, _ = mark(empty_dedup(), [Sent(1, 7, 0)])
        _, flags = mark(state, [Sent(1, 7, silence_ms)])
        assert flags == [is_duplicate]


def test_boots_are_dropped_by_the_clock_of_their_own_partition():
    # Key 3 lies in partition 0, key 1 in partition 1, whose clock alone goes on.
    state, _ = mark(empty_dedup(), [Sent(3, 0, 0), Sent(1, 0, 0)])
    state, _ = mark(state, [Sent(4, 0, FORGET_AFTER_MS + 1)])
    assert state.keys.tolist() == [3, 4]


@pytest.mark.parametrize("lost_count", [0, 1, GAPS_MAX_COUNT, GAPS_MAX_COUNT + 1, 500])
def test_a_boot_with_gaps_is_stored_and_told_apart_exactly(lost_count):
    every = np.random.default_rng(lost_count).permutation(BITMAP_BITS)
    sent, lost = every[lost_count:], set(every[:lost_count].tolist())
    state, _ = mark(empty_dedup(), [Sent(1, int(sequence)) for sequence in sent])
    _, flags = mark(
        dedup_from_bytes(state.to_bytes()), [Sent(1, number) for number in range(BITMAP_BITS)]
    )
    top = max(set(range(BITMAP_BITS)) - lost)
    assert [number for number, seen in enumerate(flags) if not seen and number <= top] == sorted(
        number for number in lost if number <= top
    )


def test_a_device_takes_at_most_64_bytes_of_state():
    # One in a hundred batches never arrives; the others come in order, many devices to a shard.
    draw, device_count = np.random.default_rng(5), 2_000
    state = empty_dedup()
    for start in range(0, BITMAP_BITS, 64):
        log = [
            Sent(key, sequence)
            for sequence in range(start, start + 64)
            for key in range(device_count)
            if draw.random() > 0.01
        ]
        state, flags = mark(state, log)
        assert not any(flags)
    assert len(state.keys) == device_count
    assert len(state.to_bytes()) / device_count <= 64
