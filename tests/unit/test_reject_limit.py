"""The reject limit against a plain reading of its rule, however the log is cut."""

import itertools
import random
from collections import Counter, defaultdict

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from udfs.reject_limit import (
    JUDGED_SCHEMA,
    Excess,
    RejectLimitState,
    on_judged,
)
from udfs.reject_policy import RejectPolicy
from udfs.state_bytes import StateLayoutError, pack_state

BAD = "avro_invalid"


def frame(rows) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=JUDGED_SCHEMA, orient="row")


def log_of(verdicts, *, partition=0, topic="telemetry", sender=None):
    """Lay out messages: each verdict is a reason or None; senders differ unless one is given."""
    return [
        (topic, partition, offset, offset if sender is None else sender, reason)
        for offset, reason in enumerate(verdicts)
    ]


def excess_by_rule(rows, policy) -> dict:
    """Judge every prefix of every partition by the rule as it is written; return the first."""
    logs, found = defaultdict(list), {}
    for topic, partition, offset, sender, reason in rows:
        log = logs[topic, partition]
        log.append((sender, reason))
        window = log[-policy.window_count :]
        run = next((i for i, (_, bad) in enumerate(reversed(log)) if bad is None), len(log))
        bad = [reason for _, reason in window if reason is not None]
        sent, refused = Counter(s for s, _ in window), Counter(s for s, bad in window if bad)
        bad_senders = sum(refused[s] > policy.max_ratio * n for s, n in sent.items())
        is_large = (
            len(window) >= policy.min_count
            and len(bad) > policy.max_ratio * len(window)
            and bad_senders > policy.max_ratio * len(sent)
        )
        if is_large or 0 < policy.max_run_count < run:
            found.setdefault((topic, partition), offset)
    return found


def judged(rows, policy, cuts=()):
    """Run blocks with a restart between any two; return (block, excess) of the first."""
    state = RejectLimitState.empty().to_bytes()
    borders = [0, *sorted(cuts), len(rows)]
    for start, stop in itertools.pairwise(borders):
        step = on_judged(RejectLimitState.from_bytes(state), frame(rows[start:stop]), policy)
        if step.excess is not None:
            return step.excess
        state = step.state.to_bytes()
    return None


LOGS = st.lists(
    st.tuples(
        st.sampled_from([0, 1]),
        st.integers(0, 3),
        st.sampled_from([None, None, None, BAD, BAD, BAD, "bad_magic"]),
    ),
    max_size=60,
)
POLICIES = st.builds(
    lambda ratio, window, share, run: RejectPolicy(ratio, window, max(1, window * share // 4), run),
    st.sampled_from([0.25, 0.5, 0.75, 1.0]),
    st.integers(4, 20),
    st.integers(1, 4),
    st.sampled_from([0, 3, 8]),
)


@settings(max_examples=300, deadline=None)
@given(LOGS, POLICIES, st.lists(st.integers(0, 60), max_size=6))
def test_the_verdict_is_that_of_the_rule_for_any_cut_and_restart(log, policy, cuts):
    rows = [
        ("telemetry", partition, offset, sender, reason)
        for offset, (partition, sender, reason) in enumerate(log)
    ]
    expected = excess_by_rule(rows, policy)
    found = judged(rows, policy, {min(cut, len(rows)) for cut in cuts})
    assert (found is None) == (not expected)
    if found is not None:
        assert expected[found.topic, found.partition] == found.offset
    if len(expected) == 1:
        assert (found.topic, found.partition) in expected


def test_a_restart_gives_the_same_verdict_on_the_same_message():
    policy = RejectPolicy(window_count=20, min_count=10)
    rows = log_of([None] * 30 + [BAD] * 30)
    offsets = {judged(rows, policy, {cut}).offset for cut in range(1, 40)}
    assert offsets == {40}  # the eleventh of the last twenty


def test_a_flood_of_one_device_among_others_stops_nothing():
    # good  g0 g1 g2 ... g19, each once; between any two of them nine bad ones of one device
    rows = [
        ("telemetry", 0, offset, 7 if offset % 10 else 100 + offset, BAD if offset % 10 else None)
        for offset in range(2_000)
    ]
    assert judged(rows, RejectPolicy()) is None
    every_sender = [(*row[:3], row[2], row[4]) for row in rows]
    assert judged(every_sender, RejectPolicy()).offset == 99


def test_a_broken_schema_stops_the_partition_and_names_the_most_common_reason():
    reasons = [None] * 50 + ["bad_magic"] * 20 + [BAD] * 60
    excess = judged(log_of(reasons, partition=3), RejectPolicy())
    assert excess == Excess("telemetry", 3, 100, 51, 101, BAD)


def test_exactly_the_ratio_is_allowed_and_one_more_is_not():
    policy = RejectPolicy(max_ratio=0.5, window_count=10, min_count=10)
    assert judged(log_of([BAD, None] * 30), policy) is None
    assert judged(log_of([BAD, None] * 30 + [BAD, BAD]), policy).offset == 61


def test_few_messages_say_nothing():
    policy = RejectPolicy(min_count=100)
    assert judged(log_of([BAD] * 99), policy) is None
    assert judged(log_of([BAD] * 100), policy).offset == 99


def test_too_many_in_a_row_stop_even_when_they_are_of_one_device():
    policy = RejectPolicy(max_run_count=50)
    rows = log_of([None] * 500) + [("telemetry", 0, 500 + i, 7, BAD) for i in range(60)]
    assert judged(rows, policy, {520}) == Excess("telemetry", 0, 550, 51, 51, BAD)
    assert judged(rows, RejectPolicy(max_run_count=0)) is None


def test_ratio_1_switches_the_shares_off():
    assert judged(log_of([BAD] * 3_000), RejectPolicy(max_ratio=1.0)) is None


def test_only_the_topics_of_the_policy_are_judged():
    policy = RejectPolicy(topics=("telemetry",))
    assert judged(log_of([BAD] * 300, topic="telemetry.acme"), policy) is None
    assert judged(log_of([BAD] * 300), policy) is not None


def test_state_stays_as_large_as_the_window():
    policy = RejectPolicy(window_count=100, min_count=10)
    state = RejectLimitState.empty()
    chance = random.Random(3)
    sizes = []
    for block in range(20):
        rows = [("telemetry", 0, 500 * block + i, chance.getrandbits(32), None) for i in range(500)]
        state = on_judged(state, frame(rows), policy).state
        sizes.append(len(state.to_bytes()))
    assert len(set(sizes)) == 1
    (window,) = state.windows.values()
    assert np.array_equal(window.codes, np.zeros(100))


def test_state_of_an_unknown_version_is_refused():
    with pytest.raises(StateLayoutError, match="version 99"):
        RejectLimitState.from_bytes(pack_state(99, {}, {}))
