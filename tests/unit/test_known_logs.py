"""Partitions of several topics: one code each, whoever computes it, in whatever order they come."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from udfs.known_logs import KnownLogs, log_codes, log_names

TOPICS = ("x.telemetry", "x.telemetry.acme", "x.telemetry.zeta", "x.telemetry.b_c")
places = st.lists(st.tuples(st.sampled_from(TOPICS), st.integers(0, 7)), min_size=1, max_size=30)


def codes_and_names(drawn):
    topics = [topic for topic, _ in drawn]
    partitions = np.array([number for _, number in drawn], np.int32)
    codes = log_codes(topics, partitions, "x.")
    names = log_names(topics, codes, "x.")
    return codes, [names.get(code, str(code)) for code in codes.tolist()]


@given(places)
def test_two_records_have_one_code_and_one_name_exactly_if_they_share_their_partition(drawn):
    codes, names = codes_and_names(drawn)
    assert len(set(zip(codes.tolist(), names, strict=True))) == len(set(drawn))
    assert len(set(names)) == len(set(drawn))


def test_the_shared_topic_is_named_by_number_a_tenants_own_by_topic():
    drawn = [("x.telemetry", 3), ("x.telemetry.acme", 3)]
    codes, names = codes_and_names(drawn)
    assert codes[0] == 3
    assert names == ["3", "telemetry.acme/3"]


@given(st.lists(places, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_what_was_met_stays_where_it_is_and_comes_back_as_it_was(blocks, chance):
    logs = KnownLogs()
    for drawn in blocks:
        codes, names = codes_and_names(drawn)
        after = logs.with_logs(codes.tolist(), names)
        assert after.codes[: len(logs.codes)] == logs.codes
        assert after.with_logs(codes.tolist(), names) is after
        assert after.codes_at(after.indexes(codes)).tolist() == codes.tolist()
        logs = KnownLogs.from_values(after.to_values())
        assert logs == after
    assert logs.codes_at(np.array([-1])).tolist() == [-1]
    assert len(set(logs.codes)) == len(logs.codes)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=9))
def test_with_the_shared_topic_alone_every_partition_is_kept_at_its_number(numbers):
    logs = KnownLogs()
    for number in numbers:
        logs = logs.with_logs([number], [str(number)])
    assert logs == KnownLogs.shared(max(numbers) + 1)


def test_a_partition_that_was_never_met_is_a_defect():
    with pytest.raises(KeyError, match="7"):
        KnownLogs.shared(2).indexes(np.array([7]))
