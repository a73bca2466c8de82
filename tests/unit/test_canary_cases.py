"""Verdicts on rollouts that others got wrong, and on what devices and their windows do."""

import numpy as np
import polars as pl
import pytest

from tests.canary_rows import LOOK, arm, both, due_ms, noise, outcome, policy_of, run
from udfs.drift.canary_policy import CanaryMetric, CanaryPolicy, Harm

LATENCY = CanaryMetric("latency", Harm.UP)
ERRORS = CanaryMetric("error_rate", Harm.UP)
TWO = policy_of(LATENCY, ERRORS)


# Kayenta #426, #799: a metric without data was left out of the score, and the rest passed.


def test_a_mandatory_metric_without_treatment_data_is_nodata_and_never_promote():
    good = both(noise(1, 150), noise(2, 150))
    only_control = arm(noise(3, 150), is_treatment=False, metric="error_rate")
    told, _ = run(pl.concat([good, only_control]), TWO)
    assert told["verdict"].to_list() == ["NODATA"] * 2
    assert told["metric_verdict"].to_list() == ["PROMOTE", "NODATA"]
    assert told["deciding_metric"][0] == "error_rate"
    assert told["reason"][0] == "metric_absent"


def test_a_mandatory_metric_that_nobody_sends_fails_the_rollout_at_the_horizon():
    good = both(noise(1, 150, 3 * LOOK), noise(2, 150, 3 * LOOK))
    told, _ = run(good, TWO, looks=3)
    assert set(told["verdict"]) == {"NODATA"}
    assert told["is_final"].to_list() == [False, False, True, True]


def test_a_metric_that_is_not_mandatory_may_be_absent():
    policy = policy_of(LATENCY, CanaryMetric("error_rate", Harm.UP, is_mandatory=False))
    assert outcome(both(noise(1, 150), noise(2, 150)), policy)[0] == "PROMOTE"


def test_a_rollout_without_any_window_is_nodata_by_the_clock_alone():
    told, _ = run(both(noise(1, 2), noise(2, 2)).clear(), looks=3)
    assert told["verdict"].to_list() == ["NODATA", "NODATA"]
    assert told["decided_at_ms"].to_list() == [due_ms(0), due_ms(2)]


# Kayenta #780: a test of means passed two distributions that had nothing in common.


def test_equal_means_with_wider_windows_are_rolled_back():
    treatment = 20 + noise(1, 120, rho=0.0) * np.sqrt(1.5)
    assert outcome(both(treatment, 20 + noise(2, 120, rho=0.0))) == ("ROLLBACK", "spread_within")


def test_equal_means_with_devices_that_part_are_rolled_back():
    treatment, control = noise(1, 300), noise(2, 300)
    treatment += np.where(np.arange(300) % 2 == 0, 2.0, -2.0)[:, None]
    verdict, reason = outcome(both(treatment, control))
    assert verdict == "ROLLBACK"
    assert reason in {"spread_between", "distribution"}


# Spinnaker #6278: without variance there was no score, and what had no score passed.


@pytest.mark.parametrize("wrong", [1.0, 0.2], ids=["every call fails", "a fifth fails"])
def test_a_canary_of_errors_against_a_control_without_variance_is_rolled_back(wrong):
    rows = both(np.full((20, LOOK), wrong), np.zeros((20, LOOK)), metric="error_rate")
    assert outcome(rows, policy_of(ERRORS)) == ("ROLLBACK", "level")


def test_a_canary_of_nan_against_a_healthy_control_is_rolled_back():
    rows = both(np.full((20, LOOK), np.nan), noise(1, 20))
    assert outcome(rows) == ("ROLLBACK", "validity")


def test_nan_in_both_arms_is_nodata():
    nothing = np.full((30, LOOK), np.nan)
    assert outcome(both(nothing, nothing)) == ("NODATA", "metric_absent")


# What is quiet.


def test_a_constant_metric_in_both_arms_is_promoted():
    steady = np.full((150, LOOK), 0.1)
    told, _ = run(both(steady, steady))
    assert (told["verdict"][0], told["effect_sigma"][0]) == ("PROMOTE", 0)
    assert told["log10_e"][0] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e9 / 7])
def test_a_constant_seen_less_often_by_the_treatment_is_still_the_same_constant(value):
    told, _ = run(both(np.full((150, 10), value), np.full((150, LOOK), value)))
    assert (told["verdict"][0], told["effect_sigma"][0]) == ("PROMOTE", 0)


def test_equal_arms_are_promoted_in_the_end():
    assert outcome(both(noise(1, 150), noise(2, 150))) == ("PROMOTE", "within_tolerance")


@pytest.mark.parametrize("sizes", [(150, 150), (100, 1900)], ids=["half", "one in twenty"])
@pytest.mark.parametrize(("harm", "sign"), [(Harm.UP, -1), (Harm.DOWN, 1)])
def test_a_better_canary_is_promoted(sizes, harm, sign):
    # What is better by much stands at one end of all devices, and often spreads wider.
    treatment = sign * (0.5 + np.abs(noise(1, sizes[0])) * 2)
    rows = both(treatment, noise(2, sizes[1]))
    assert outcome(rows, policy_of(CanaryMetric("latency", harm)))[0] == "PROMOTE"


def test_a_canary_that_is_better_by_far_stays_so_however_many_devices_show_it():
    assert outcome(both(noise(1, 4000) - 9, noise(2, 4000)))[0] == "PROMOTE"


def test_a_change_in_either_direction_is_rolled_back_when_both_are_harmful():
    policy = policy_of(CanaryMetric("latency", Harm.BOTH))
    for shift in (-1.0, 1.0):
        assert outcome(both(noise(1, 100) + shift, noise(2, 100)), policy) == ("ROLLBACK", "level")


def test_harm_below_the_smallest_difference_that_matters_is_tolerated():
    rows = both(5.3 + noise(1, 100) / 1000, 5 + noise(2, 100) / 1000)
    assert outcome(rows) == ("ROLLBACK", "level")
    policy = policy_of(CanaryMetric("latency", Harm.UP, min_difference=0.5))
    assert outcome(rows, policy)[0] != "ROLLBACK"
    assert outcome(rows, policy_of(CanaryMetric("latency", Harm.UP, min_difference=0.1)))[0] == (
        "ROLLBACK"
    )


def test_a_sure_but_small_effect_is_no_rollback_below_the_smallest_that_matters():
    rows = both(noise(1, 1500) + 0.2, noise(2, 1500))
    assert outcome(rows) == ("ROLLBACK", "level")
    assert outcome(rows, policy_of(min_effect_sigma=0.49, tolerance_sigma=0.5))[0] == "PROMOTE"


# Devices.


def test_ten_devices_are_nodata_with_the_count_that_is_needed():
    told, _ = run(both(5 + noise(1, 10), noise(2, 40)))
    assert (told["verdict"][0], told["reason"][0]) == ("NODATA", "too_few_devices")
    expected = "needs 20 devices a version with 10 windows; treatment has 10, control 40"
    assert told["metric_detail"][0] == expected


def test_devices_with_too_few_windows_are_no_units():
    rows = both(5 + noise(1, 40, windows=9), noise(2, 40))
    assert outcome(rows) == ("NODATA", "metric_absent")


def test_a_device_that_changes_arms_within_a_look_is_in_neither():
    moves = pl.concat(
        [
            arm(noise(3, 5) + 100, is_treatment=True, name="m"),
            arm(noise(4, 5), is_treatment=False, name="m"),
        ]
    )
    told, _ = run(pl.concat([both(noise(1, 150), noise(2, 150)), moves]))
    row = told.row(0, named=True)
    assert (row["verdict"], row["moved_devices"]) == ("PROMOTE", 5)
    assert (row["treatment_devices"], row["control_devices"]) == (150, 150)


def test_a_device_that_changes_arms_between_looks_counts_in_each():
    first = both(noise(1, 30), noise(2, 60))
    second = both(noise(3, 60), noise(4, 30), first=LOOK)  # t30-t59 are new, c0-c29 stay
    told, _ = run(pl.concat([first, second]), policy_of(horizon_looks=2), looks=2)
    assert told["moved_devices"].to_list() == [0, 0]
    assert told["treatment_devices"].to_list() == [30, 60]


def test_an_arm_that_shrinks_is_a_sample_ratio_mismatch():
    whole = both(noise(1, 150), noise(2, 150))
    half = both(noise(3, 60), noise(4, 150), first=LOOK)
    policy = policy_of(promote_after_looks=2)
    told, _ = run(pl.concat([whole, half]), policy, looks=2, share=0.5)
    assert told["reason"].to_list() == ["collecting", "sample_ratio_mismatch"]
    assert told["verdict"].to_list() == ["CONTINUE", "NODATA"]


def test_a_mismatch_does_not_hide_harm():
    rows = both(noise(1, 60) + 3, noise(2, 240))
    assert outcome(rows, share=0.5) == ("ROLLBACK", "level")


def test_strata_without_control_are_left_out():
    rows = pl.concat(
        [
            both(noise(1, 150), noise(2, 150)),
            arm(noise(3, 50) + 100, is_treatment=True, stratum="new board", name="n"),
        ]
    )
    told, _ = run(rows)
    assert (told["verdict"][0], told["treatment_devices"][0]) == ("PROMOTE", 150)


def test_a_rollout_of_strata_that_all_lack_a_control_is_nodata():
    rows = pl.concat(
        [
            arm(noise(1, 30), is_treatment=True, stratum="a"),
            arm(noise(2, 30), is_treatment=False, stratum="b"),
        ]
    )
    assert outcome(rows) == ("NODATA", "no_control_in_stratum")


def test_strata_that_differ_by_much_are_compared_within():
    # Four fifths of the treatment are on the slow board: pooled, it would look far slower.
    slow = both(100 + noise(1, 200), 100 + noise(2, 50), stratum="slow")
    fast = both(noise(3, 50), noise(4, 200), stratum="fast")
    names = pl.concat_str("device_id", "stratum")
    told, _ = run(pl.concat([slow, fast]).with_columns(device_id=names))
    assert told["verdict"][0] == "PROMOTE"
    assert abs(told["treatment_mean"][0] - told["control_mean"][0]) < 1


def test_a_policy_that_makes_no_sense_is_refused_by_the_name_of_the_field():
    for field, numbers in {
        "alpha": {"alpha": 0.0},
        "min_windows": {"min_windows": 61},
        "min_effect_sigma": {"min_effect_sigma": 1.0},
        "promote_after_looks": {"promote_after_looks": 9},
    }.items():
        with pytest.raises(ValueError, match=f"^{field} "):
            CanaryPolicy((LATENCY,), **numbers)
    with pytest.raises(ValueError, match=r"^metrics "):
        CanaryPolicy((CanaryMetric("latency", is_mandatory=False),))
