"""Short versions of `benchmarks/measure_canary.py`: what must hold at any length, seeded."""

from dataclasses import replace

import pytest

from benchmarks.canary_fleet import LAWS, CanaryFleet
from benchmarks.canary_trials import (
    BOTH_WAYS,
    ONE_WAY,
    Effect,
    devices_to_rollback,
    judged_cohorts,
    naive_rollback_share,
    run_rollouts,
    share_told,
    unpromoted,
    verdict_share,
)
from udfs.drift.canary_metric import Verdict

SEED = 20_261_124
SHORT = replace(unpromoted(BOTH_WAYS, 2), look_windows=12, min_windows=10)
ROLLOUTS = 150


@pytest.mark.parametrize("law", LAWS)
def test_equal_versions_are_seldom_rolled_back_however_often_one_looks(law):
    fleet = CanaryFleet(rollouts=ROLLOUTS, treatment=25, control=25, law=law)
    _, told = run_rollouts(fleet, SHORT, SEED, 2)
    assert told["rollout_id"].n_unique() == ROLLOUTS
    assert share_told(told, Verdict.ROLLBACK, ROLLOUTS) <= 0.02  # at most 3 of 150


def test_the_same_rollouts_alarm_a_test_on_windows_most_of_the_time():
    fleet = CanaryFleet(rollouts=ROLLOUTS, treatment=25, control=25)
    assert naive_rollback_share(fleet, SHORT, SEED) > 0.3


def test_a_shift_of_half_a_sigma_takes_about_120_devices_a_version():
    mean, share = devices_to_rollback(500, Effect(0.5), SEED, 100)
    assert share == 1
    assert 90 < mean < 135  # 117 in the long run, its standard error 5


def test_a_shift_of_a_fifth_of_a_sigma_takes_about_600_devices_a_version():
    mean, share = devices_to_rollback(2500, Effect(0.2), SEED, 30)
    assert share == 1
    assert 400 < mean < 700  # 597 in the long run, its standard error 45


def test_harm_as_large_as_the_tolerance_is_seldom_promoted():
    found = list(judged_cohorts(110, Effect(0.5), "normal", SEED, 200, ONE_WAY))
    assert verdict_share(found, Verdict.PROMOTE) <= 0.05
    assert verdict_share(found, Verdict.ROLLBACK) > 0.3
