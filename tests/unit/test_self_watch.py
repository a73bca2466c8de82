"""The engine's own pulse: a watchdog each 30 s of input, and one pair of events about its lag."""

from hypothesis import given
from hypothesis import strategies as st

from udfs.offline_policy import OfflinePolicy
from udfs.self_watch import BEAT_EVERY_MS, SelfWatch, on_progress

NOON_MS = 1_790_000_100_000
POLICY = OfflinePolicy()


def run(steps, watch=None):
    """Apply (clock, wall clock) pairs, with the state through its bytes each time."""
    watch, events = watch or SelfWatch(), []
    for clock_ms, now_ms in steps:
        watch, found = on_progress(SelfWatch.from_bytes(watch.to_bytes()), clock_ms, now_ms, POLICY)
        events += found
    return watch, events


def of_rule(events, rule):
    return [event for event in events if event["labels"]["rule"] == rule]


def minutes(count, *, lag_ms, begin_ms=NOON_MS):
    """Return a step each second, at one lag."""
    return [(begin_ms + s * 1000 - lag_ms, begin_ms + s * 1000) for s in range(count * 60 + 1)]


def test_a_watchdog_comes_with_each_half_minute_of_input_and_says_how_far_it_lags():
    _, events = run(minutes(2, lag_ms=3_000))
    beats = of_rule(events, "watchdog")
    assert [beat["time"] % BEAT_EVERY_MS for beat in beats] == [0] * 5
    assert len({beat["id"] for beat in beats}) == 5
    assert {(b["status"], b["notify"], b["value"]) for b in beats} == {("info", False, 3.0)}


def test_a_stuck_input_sends_no_watchdog():
    watch, _ = run([(NOON_MS, NOON_MS)])
    _, events = run([(NOON_MS, NOON_MS + s * 1000) for s in range(600)], watch)
    assert of_rule(events, "watchdog") == []


def test_a_backlog_beats_once_for_each_step_and_a_replay_gives_the_same_ids():
    steps = [(NOON_MS, NOON_MS), (NOON_MS + 3_600_000, NOON_MS + 10)]
    first, again = run(steps)[1], run(steps)[1]
    assert len(of_rule(first, "watchdog")) == 2
    assert [event["id"] for event in first] == [event["id"] for event in again]


# lag     3 s    |   70 s for 59 s  |  3 s
def test_a_lag_shorter_than_a_minute_is_not_told():
    steps = minutes(1, lag_ms=70_000)[:-1] + minutes(2, lag_ms=3_000, begin_ms=NOON_MS + 60_000)
    assert of_rule(run(steps)[1], "monitor-lagging") == []


# lag     600 s for 3 min                   |  30 s for 2 min  |  3 s for 2 min
# E:      firing after 1 min                                      resolved after 1 min
def test_case_25_a_lag_is_told_once_and_resolved_once_when_it_has_been_small_for_a_minute():
    steps = minutes(3, lag_ms=600_000)
    steps += minutes(2, lag_ms=30_000, begin_ms=NOON_MS + 180_000)
    steps += minutes(2, lag_ms=3_000, begin_ms=NOON_MS + 300_000)
    firing, resolved = of_rule(run(steps)[1], "monitor-lagging")
    assert (firing["status"], resolved["status"]) == ("firing", "resolved")
    assert firing["episode_id"] == resolved["episode_id"]
    assert firing["starts_at"] == resolved["starts_at"] == NOON_MS + 60_000 - 600_000
    assert resolved["ends_at"] == NOON_MS + 360_000 - 3_000
    assert (firing["value"], resolved["value"]) == (600.0, 3.0)
    assert firing["notify"]
    assert resolved["notify"]


def test_a_lag_that_swings_around_the_limit_is_not_told():
    steps = [
        (NOON_MS + s * 1000 - (70_000 if s % 50 else 0), NOON_MS + s * 1000) for s in range(600)
    ]
    assert of_rule(run(steps)[1], "monitor-lagging") == []


def test_nothing_is_said_before_any_input():
    assert run([(-1, NOON_MS), (-1, NOON_MS + 600_000)]) == (SelfWatch(), [])


@given(st.lists(st.tuples(st.integers(0, 90_000), st.integers(0, 200_000)), max_size=60))
def test_firing_and_resolved_alternate_and_share_their_episode(steps):
    now_ms, walk = NOON_MS, []
    for step_ms, lag_ms in steps:
        now_ms += step_ms
        walk.append((now_ms - lag_ms, now_ms))
    told = of_rule(run(walk)[1], "monitor-lagging")
    assert [event["seq"] for event in told] == [1 + place % 2 for place in range(len(told))]
    for firing, resolved in zip(told[::2], told[1::2], strict=False):
        assert firing["episode_id"] == resolved["episode_id"]
