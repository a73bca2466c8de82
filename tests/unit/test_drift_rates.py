"""Rates: what rises is found, what was learned or comes in bursts is not."""

import numpy as np
import pytest

from tests.drift_trials import beta_binomial, binomial, bursts, daily, judged_trials
from tests.drift_windows import WINDOW_MS, round_of, window_of
from udfs.drift.rates import empty_rates, update_rates
from udfs.drift.shares import RatePolicy, empty_shares, shares_learned

GAMMA_1E4 = RatePolicy(log_gamma=float(np.log(1e4)))
PAGE = RatePolicy()
LEARNED = PAGE.learn_windows
SEED = 20261123


def learned(drawn, streams, policy=PAGE):
    """Return the table of streams that have just learned, the alarms so far, and the dice."""
    rng, table = np.random.default_rng(SEED), empty_shares(streams)
    alarms = judged_trials(table, drawn, range(LEARNED), rng, policy).fired
    return table, alarms, rng


def test_five_points_a_window_of_which_5_percent_turn_nan_page_within_40_windows_on_average():
    #   1008 windows: 0 of 5 bad      then 5 % of points      alarm
    #   |--------- learned ----------||------ 34 on average ----|
    table, early, rng = learned((binomial(0.0, 5), 5), 100)
    alarms = judged_trials(
        table, (binomial(0.05, 5), 5), range(LEARNED, LEARNED + 150), rng, PAGE
    ).fired
    first = dict(zip(alarms.stream[::-1], alarms.detected_at_ms[::-1], strict=True))
    delay = [window_of(at) - LEARNED for at in first.values()]
    print(f"seed {SEED}: mean delay {np.mean(delay):.1f} of {len(delay)} of 100")
    assert len(early) == 0
    assert len(delay) == 100
    assert np.mean(delay) <= 40
    assert set(alarms.severity.tolist()) == {"minor"}
    assert alarms.log10_e.min() >= PAGE.log_gamma / np.log(10)
    began = [window_of(at) - LEARNED for at in alarms.first_seen_ms]
    assert min(began) >= 0
    assert 0.02 < np.mean(alarms.after) < 0.3


def test_all_points_missing_is_found_after_a_handful_of_windows_not_after_one():
    table, _, rng = learned((binomial(0.0, 300), 300), 3)
    one = judged_trials(
        table, (binomial(1.0, 300), 300), range(LEARNED, LEARNED + 2), rng, PAGE
    ).fired
    more = judged_trials(
        table, (binomial(1.0, 300), 300), range(LEARNED + 2, LEARNED + 4), rng, PAGE
    ).fired
    assert len(one) == 0
    assert more.stream.tolist() == [0, 1, 2]


NULLS = {
    "nothing_is_ever_bad": (binomial(0.0, 5), 5),
    "one_in_10000": (binomial(1e-4, 300), 300),
    "five_percent_of_one_point": (binomial(0.05, 1), 1),
    "five_percent_of_300": (binomial(0.05, 300), 300),
    "overdispersed": (beta_binomial(0.05, 300, 0.1), 300),
    "rare_and_overdispersed": (beta_binomial(1e-3, 60, 0.3), 60),
    "a_burst_a_day": (bursts(1 / 288, 60), 60),
    "two_hours_of_trouble_a_day": (daily(60), 60),
    "bursts_that_warm_up_may_not_have_seen": (bursts(1 / 2000, 300), 300),
}


@pytest.mark.parametrize("name", NULLS)
def test_false_alarms_of_a_share_that_stays_are_rarer_than_one_in_gamma_windows(name):
    # A short version of `benchmarks/measure_quality.py`: 150,000 windows; 15 alarms are the budget.
    table, early, rng = learned(NULLS[name], 300, GAMMA_1E4)
    alarms = judged_trials(table, NULLS[name], range(LEARNED, LEARNED + 500), rng, GAMMA_1E4).fired
    print(f"seed {SEED}: {name}: {len(early)} while learning, {len(alarms)} after")
    assert len(alarms) <= 15


def test_correlated_points_count_for_less():
    free, _, _ = learned((binomial(0.05, 300), 300), 20)
    alike, _, _ = learned((beta_binomial(0.05, 300, 0.1), 300), 20)
    assert np.median(shares_learned(free)[2]) < 1.5
    assert np.median(shares_learned(alike)[2]) > 25  # 1 + 299 x 0.1 is the truth


def test_before_240_windows_there_is_no_verdict_and_until_1008_none_that_pages():
    rng, table = np.random.default_rng(SEED), empty_shares(1)
    early = judged_trials(table, (binomial(1.0, 5), 5), range(200), rng, PAGE).fired
    assert len(early) == 0
    table = empty_shares(1)
    judged_trials(table, (binomial(0.0, 5), 5), range(300), rng, PAGE)
    alarms = judged_trials(table, (binomial(1.0, 5), 5), range(300, 320), rng, PAGE).fired
    assert len(alarms) >= 1
    assert set(alarms.severity.tolist()) == {"watch"}


def test_a_baseline_does_not_learn_the_fault_that_it_is_about_to_find():
    rng, table = np.random.default_rng(SEED), empty_shares(1)
    judged_trials(table, (binomial(0.0, 5), 5), range(480), rng, PAGE)
    judged_trials(table, (binomial(1.0, 5), 5), range(480, 486), rng, PAGE)
    assert table["window_count"][0] <= 483


def test_a_rise_is_told_once_and_ends_after_24_calm_windows():
    #   0 % bad | 50 % bad for 60 windows | 0 % bad
    #             fires once                24 windows of a CUSUM of 0 end it
    table, _, rng = learned((binomial(0.0, 5), 5), 4)
    rise = judged_trials(table, (binomial(0.5, 5), 5), range(LEARNED, LEARNED + 60), rng, PAGE)
    after = range(LEARNED + 60, LEARNED + 1500)
    calm = judged_trials(table, (binomial(0.0, 5), 5), after, rng, PAGE)
    assert sorted(rise.fired.stream.tolist()) == [0, 1, 2, 3]
    assert len(rise.ended) == 0
    assert len(calm.fired) == 0
    assert sorted(calm.ended.stream.tolist()) == [0, 1, 2, 3]
    began = dict(zip(rise.fired.stream, rise.fired.first_seen_ms, strict=True))
    ended = dict(zip(calm.ended.stream, calm.ended.first_seen_ms, strict=True))
    assert began == ended
    assert (calm.ended.detected_at_ms >= 24 * WINDOW_MS + max(began.values())).all()


def test_each_of_the_three_rates_is_told_by_its_name_and_their_trials_are_all_points():
    table = empty_rates(4)
    bad = {"missing_count": [4, 0, 0, 0], "nan_count": [0, 4, 0, 0]}
    bad |= {"out_of_range_count": [0, 0, 4, 0]}
    healthy = np.full(4, 4)
    for at in range(LEARNED):
        update_rates(table, round_of(np.zeros(4), at, count=healthy), PAGE)
    found = []
    for at in range(LEARNED, LEARNED + 9):
        sick = round_of([np.nan] * 3 + [0.0], at, count=[0, 0, 0, 4], **bad)
        found += [
            (s, d) for s, d in zip(*_names(update_rates(table, sick, PAGE).fired), strict=True)
        ]
    assert sorted(set(found)) == [(0, "missing_rate"), (1, "nan_rate"), (2, "out_of_range_rate")]


def _names(alarms):
    return alarms.stream.tolist(), alarms.detector.tolist()


def test_a_window_of_which_no_point_was_expected_says_nothing():
    table = empty_rates(1)
    update_rates(table, round_of([np.nan], 0, count=[0]), PAGE)
    assert table.tobytes() == empty_rates(1).tobytes()
