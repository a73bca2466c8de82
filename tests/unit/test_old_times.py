"""Seconds, milliseconds and text told apart, at the edges of each."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.old_times import LONG_MAX, SECONDS_BELOW, NotATime, time_ms, times_ms

TIMES = {
    # numbers nearer to 0 than 10^11 are seconds, all others ms
    0: 0,
    1: 1000,
    -1: -1000,
    1_790_000_000: 1_790_000_000_000,
    SECONDS_BELOW - 1: (SECONDS_BELOW - 1) * 1000,
    SECONDS_BELOW: SECONDS_BELOW,
    -SECONDS_BELOW + 1: (-SECONDS_BELOW + 1) * 1000,
    -SECONDS_BELOW: -SECONDS_BELOW,
    1_790_000_000_123: 1_790_000_000_123,
    LONG_MAX: LONG_MAX,
    -LONG_MAX - 1: -LONG_MAX - 1,
    0.0015: 2,
    1_790_000_000.1234: 1_790_000_000_123,
    1_790_000_000_123.6: 1_790_000_000_124,
    99_999_999_999.5: 99_999_999_999_500,
    1e11: 10**11,
    -(2.0**63): -(2**63),
    "1970-01-01T00:00:00Z": 0,
    "1969-12-31T23:59:59.999Z": -1,
    "2026-09-21T14:13:20Z": 1_790_000_000_000,
    "2026-09-21t14:13:20.1z": 1_790_000_000_100,
    "2026-09-21 14:13:20.123999999Z": 1_790_000_000_123,
    "2026-09-21T16:13:20.5+02:00": 1_790_000_000_500,
    "2026-09-21T14:13:20-00:00": 1_790_000_000_000,
    "0001-01-01T00:00:00+23:59": -62_135_683_140_000,
}
NO_TIMES = [
    True,
    [],
    {},
    LONG_MAX + 1,
    -LONG_MAX - 2,
    2**64,
    2.0**63,
    1e300,
    math.inf,
    math.nan,
    "",
    "1790000000",
    "2026-09-21",
    "2026-09-21T14:13:20",
    "2026-09-21T14:13:20+0200",
    "2026-02-30T00:00:00Z",
    "2026-09-21T14:13:60Z",
    "2026-09-21T24:00:00Z",
    "\uff12026-09-21T14:13:20Z",
    " 2026-09-21T14:13:20Z",
    "2026-09-21T14:13:20Z\n",
    "2026-W39-1T14:13:20Z",
]


@pytest.mark.parametrize("written", TIMES)
def test_a_time_is_read_by_its_type_and_magnitude(written):
    assert time_ms(written) == TIMES[written]
    assert type(time_ms(written)) is int


@pytest.mark.parametrize("written", NO_TIMES)
def test_what_is_no_time_is_refused_without_showing_it(written):
    with pytest.raises(NotATime) as refusal:
        time_ms(written)
    assert not written or str(written) not in str(refusal.value) or written is True


@given(st.lists(st.floats() | st.floats(-2e12, 2e12), min_size=1))
def test_many_floats_at_once_are_read_as_one_by_one(written):
    try:
        expected = [time_ms(time) for time in written]
    except NotATime:
        with pytest.raises(NotATime):
            times_ms(written)
    else:
        assert times_ms(written) == expected


def test_mixed_and_missing_times_are_read_each_by_its_own_rule():
    assert times_ms([None, 1, 1.5, "1970-01-01T00:00:02Z"]) == [None, 1000, 1500, 2000]
    assert times_ms([]) == []
