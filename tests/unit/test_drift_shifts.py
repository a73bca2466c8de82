"""D1: delays and false alarms on simulated streams, and the life of an alarm."""

from dataclasses import replace

import numpy as np
import pytest

from tests.drift_streams import WINDOW_MS, observations, stream_values
from udfs.drift.budget import Budget
from udfs.drift.shift_policy import ShiftPolicy
from udfs.drift.shift_table import Phase
from udfs.drift.shifts import ShiftStreams
from udfs.drift.stream_member import group_policy
from udfs.drift.value_codes import Y_OF_CODE, codes_of

BASELINE = 1_000
SEED = 20_261_123


def learned(values, gamma, **settings):
    """Streams that have learned from `values`, shape (n_streams, n_windows)."""
    policy = ShiftPolicy(
        gamma_page=gamma,
        gamma_watch=gamma,
        provisional_count=values.shape[1],
        window_count=values.shape[1],
        does_provisional_page=True,
        **settings,
    )
    streams = ShiftStreams(policy)
    streams.grow(len(values))
    streams.observe(observations(values))
    assert (streams.table["phase"] == Phase.FROZEN).all()
    return streams


def first_alarms(streams, values, first):
    """Windows until the first alarm of each stream; all of them when there is none."""
    fired = streams.observe(observations(values, first)).fired
    found = np.full(len(values), values.shape[1])
    windows = (fired.detected_at_ms // WINDOW_MS) - first
    for stream, window in zip(fired.stream[::-1], windows[::-1], strict=True):
        found[stream] = window
    return found


@pytest.mark.parametrize(("gamma", "shift", "goal"), [
    (1e4, 1, 21.5), (1e4, 2, 7), (1e4, 3, 4.5),
    (1e8, 1, 43), (1e8, 2, 13), (1e8, 3, 7.5),
])  # fmt: skip
def test_a_shift_is_found_within_the_delay_of_the_contract(gamma, shift, goal):
    random = np.random.default_rng(SEED)
    streams = learned(random.standard_normal((150, 4_000)), gamma)
    delays = first_alarms(streams, random.standard_normal((150, 300)) + shift, 4_000)
    error = delays.std() / np.sqrt(len(delays))
    print(f"seed {SEED}: {delays.mean():.1f} +- {error:.1f} windows, goal {goal}")
    assert delays.mean() <= goal + 2 * error


@pytest.mark.parametrize(
    "law", ["normal", "t3", "lognormal", "exponential", "bernoulli", "five levels", "ar 0.6"]
)
def test_the_mean_time_between_false_alarms_is_at_least_gamma_whatever_the_law(law):
    random = np.random.default_rng(SEED)
    values = stream_values(law, (200, BASELINE + 1_000), random)
    streams = learned(values[:, :BASELINE], 300, clear_windows=1)
    fired = streams.observe(observations(values[:, BASELINE:], BASELINE)).fired
    updates = 200 * 1_000
    print(f"seed {SEED}: {len(fired)} alarms in {updates} windows of {law}")
    assert len(fired) <= updates / 300


def test_a_change_of_spread_with_the_same_mean_is_found():
    random = np.random.default_rng(SEED)
    streams = learned(random.standard_normal((200, BASELINE)), 1e4)
    delays = first_alarms(streams, 1.5 * random.standard_normal((200, 300)), BASELINE)
    assert delays.mean() <= 70
    assert (delays < 300).mean() > 0.99


def test_a_daily_cycle_is_learned_and_is_no_drift():
    random = np.random.default_rng(SEED)
    hours = np.arange(3_000) * WINDOW_MS / 3_600_000
    values = random.standard_normal((10, 3_000)) + np.sin(2 * np.pi * hours / 24)
    streams = learned(values[:, :BASELINE], 1e4, has_season=True)
    fired = streams.observe(observations(values[:, BASELINE:], BASELINE)).fired
    assert len(fired) <= 10 * 2_000 / 8e3


def test_a_cycle_that_is_not_learned_would_be_called_drift():
    random = np.random.default_rng(SEED)
    hours = np.arange(3_000) * WINDOW_MS / 3_600_000
    values = random.standard_normal((10, 3_000)) + np.sin(2 * np.pi * hours / 24)
    streams = learned(values[:, :120], 1e4)
    assert len(streams.observe(observations(values[:, 120:], 120)).fired) > 10


def test_an_alarm_fires_once_names_its_start_and_ends_when_the_shift_does():
    #  baseline ........ | as before, 100 | shifted by 4, 300 | as before, 600
    random = np.random.default_rng(SEED)
    values = random.standard_normal((1, BASELINE + 1_000))
    values[:, BASELINE + 100 : BASELINE + 400] += 4
    streams = learned(values[:, :BASELINE], 1e6)
    step = streams.observe(observations(values[:, BASELINE:], BASELINE))
    assert len(step.fired) == len(step.ended) == 1
    first = step.fired.first_seen_ms[0] // WINDOW_MS - BASELINE
    assert abs(first - 100) <= 2
    assert step.fired.direction[0] == "up"
    assert step.pictures[0].before.p50 == pytest.approx(0, abs=0.15)
    assert step.pictures[0].after.p50 == pytest.approx(4, abs=1.2)
    ended = step.ended.detected_at_ms[0] // WINDOW_MS - BASELINE
    assert 400 < ended < 600


def test_a_permanent_shift_is_one_alarm_for_ever():
    random = np.random.default_rng(SEED)
    values = random.standard_normal((20, BASELINE + 3_000))
    values[:, BASELINE:] += 1
    streams = learned(values[:, :BASELINE], 1e6)
    step = streams.observe(observations(values[:, BASELINE:], BASELINE))
    paging = [word for word in step.fired.severity if word not in {"info", "watch"}]
    assert len(step.ended) == 0
    assert 20 <= len(paging) <= 40, "each may become worse, at most once"


def test_a_constant_metric_is_quiet_and_its_first_change_is_not():
    values = np.full((1, BASELINE + 200), 5.0)
    values[:, BASELINE + 100 :] = 6.0
    streams = learned(values[:, :BASELINE], 1e6)
    fired = streams.observe(observations(values[:, BASELINE:], BASELINE)).fired
    assert (fired.detected_at_ms[0] // WINDOW_MS - BASELINE) <= 105
    assert (fired.first_seen_ms[0] // WINDOW_MS - BASELINE) == 100


def test_a_baseline_that_is_too_small_never_pages():
    random = np.random.default_rng(SEED)
    policy = ShiftPolicy(gamma_page=1e4, gamma_watch=1e3)
    streams = ShiftStreams(policy)
    streams.grow(50)
    values = random.standard_normal((50, 500))
    values[:, 300:] += 3
    step = streams.observe(observations(values))
    assert (streams.table["phase"] == Phase.PROVISIONAL).all()
    assert set(step.fired.severity) == {"watch"}


def test_a_sample_that_was_no_sample_of_the_stream_is_taken_anew():
    # The first 100 windows are of a device that is not at work yet.
    random = np.random.default_rng(SEED)
    values = np.concatenate([np.zeros(100), 50 + 5 * random.standard_normal(2_000)])[None]
    policy = ShiftPolicy(gamma_page=1e6, window_count=500, provisional_count=500)
    streams = ShiftStreams(policy)
    streams.grow(1)
    step = streams.observe(observations(values))
    assert len(step.fired) == 0
    assert streams.table["location"][0] == pytest.approx(50, abs=3)


@pytest.mark.parametrize("scale", [1e-300, 1e-12, 1.0, 1e300])
def test_the_verdict_does_not_depend_on_the_unit_of_the_metric(scale):
    random = np.random.default_rng(SEED)
    values = random.standard_normal((3, 700))
    values[:, 500:] += 2
    plain, scaled = learned(values[:, :400], 1e4), learned(scale * values[:, :400], 1e4)
    one = plain.observe(observations(values[:, 400:], 400))
    other = scaled.observe(observations(scale * values[:, 400:], 400))
    assert np.allclose(one.log10_e, other.log10_e, atol=0.5)
    assert one.fired.stream.tolist() == other.fired.stream.tolist()


def test_streams_that_all_have_their_baselines_need_no_slot_to_go_on():
    # As after a restore: nobody learns any more, so no slot was ever taken.
    random = np.random.default_rng(SEED)
    values = random.standard_normal((3, 700))
    values[:, 500:] += 3
    streams = learned(values[:, :400], 1e4)
    again = ShiftStreams(streams.policy)
    again.table = streams.table.copy()
    step = again.observe(observations(values[:, 400:], 400))
    same = streams.observe(observations(values[:, 400:], 400))
    assert step.log10_e.tolist() == same.log10_e.tolist()
    assert step.fired.stream.tolist() == same.fired.stream.tolist() != []


def test_the_first_window_after_a_baseline_follows_the_last_window_of_the_baseline():
    values = np.random.default_rng(SEED).standard_normal((5, BASELINE)).cumsum(axis=1)
    streams = learned(values, 1e4)
    last = (values[:, -1] - streams.table["location"]) / streams.table["scale"]
    assert streams.table["before_y"].tolist() == Y_OF_CODE[codes_of(last)].tolist()


def minutes(values, first=0):
    """The same windows, of one minute each."""
    seen = observations(values, first)
    ratio = WINDOW_MS // 60_000
    return replace(seen, start_ms=seen.start_ms // ratio, window_ms=seen.window_ms // ratio)


def test_a_stream_with_a_daily_cycle_learns_it_though_its_first_hours_are_unlike_the_day():
    random = np.random.default_rng(SEED)
    days = np.arange(5 * 1_440) / 1_440
    values = 2 * np.sin(2 * np.pi * days) + random.standard_normal((5, len(days)))
    streams = ShiftStreams(group_policy(Budget()).shifts)
    streams.grow(len(values))
    fired = streams.observe(minutes(values)).fired
    print(f"seed {SEED}: {fired.severity.tolist()}")
    assert set(fired.severity.tolist()) == {"watch"}, "the first hours were unlike, and shown"
    assert (streams.table["phase"] == Phase.FROZEN).all()
    assert (streams.table["opened_rank"] == 0).all(), "and the watches are over"
    fired = streams.observe(minutes(values[:, :300] + 3, len(days))).fired
    assert set(fired.stream[fired.severity != "watch"].tolist()) == set(range(5))
