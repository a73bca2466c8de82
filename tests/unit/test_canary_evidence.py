"""The arithmetic of canary evidence, against brute force, exact enumeration and simulation."""

import itertools
import math
from statistics import NormalDist

import numpy as np
import pytest

from udfs.drift.canary_ranks import Row, joined, row_of, sequential_counts
from udfs.drift.confidence_sequence import (
    distance_above,
    log_distance_evidence,
    log_mismatch_evidence,
    log_shift_evidence,
    log_spread_evidence,
    shift_margin,
    spending_share,
)

TAU = 0.2


def evidence_of(row: Row):
    excess, information = np.cumsum(row.weight * row.scores()), np.cumsum(row.weight**2)
    return log_shift_evidence(excess, information, TAU)


def test_counts_before_each_value_are_those_of_brute_force():
    chance = np.random.default_rng(1)
    for size in (1, 7, 256, 257, 700):
        values = chance.integers(0, max(size // 3, 2), size).astype(float)
        below, equal = sequential_counts(values)
        assert below.tolist() == [(values[:i] < values[i]).sum() for i in range(size)]
        assert equal.tolist() == [(values[:i] == values[i]).sum() for i in range(size)]


def test_scores_are_means_of_a_normal_variable_over_the_share_of_the_rank():
    low, high = np.array([0.0, 0.25, 0.9]), np.array([0.25, 0.6, 1.0])
    row = Row(low, high, np.ones(3), np.zeros(3))
    grid = (np.arange(200_000) + 0.5) / 200_000
    normal = np.array([NormalDist().inv_cdf(p) for p in grid])
    for i in range(3):
        inside = normal[(grid > low[i]) & (grid < high[i])]
        assert row.scores()[i] == pytest.approx(inside.mean(), abs=1e-4)
        expected = (inside**2 - 1).mean() / math.sqrt(2)
        assert row.square_scores()[i] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("values", [[1, 2, 3, 4, 5], [1, 1, 2, 2, 3], [0, 0, 0, 0, 9]])
@pytest.mark.parametrize("arms", [[1, 0, 1, 0, 1], [0, 0, 1, 0, 0]])
def test_over_all_orders_of_the_devices_both_e_processes_are_at_most_one_in_the_mean(values, arms):
    # The null is that any order of these values is as likely: 120 orders are all there is to know.
    is_treatment, hashes = np.array(arms, dtype=bool), np.arange(5)
    shift, spread = [], []
    for order in itertools.permutations(values):
        row = row_of(np.array(order, dtype=float), is_treatment, hashes)
        shift.append(np.exp(evidence_of(row)))
        spread.append(np.exp(log_spread_evidence(row.square_scores(), row.weight)))
    assert np.mean(shift, axis=0).max() <= 1 + 1e-12
    assert np.mean(spread, axis=0).max() <= 1 + 1e-12
    assert np.mean(shift, axis=0).min() > 0.5  # and not by saying nothing


def test_scores_know_only_the_order_of_values():
    chance = np.random.default_rng(2)
    values, arms = chance.standard_normal(60), np.arange(60) % 3 == 0
    row = row_of(values, arms, np.arange(60))
    other = row_of(1e6 * np.exp(values) - 7, arms, np.arange(60))
    assert row.scores().tolist() == other.scores().tolist()


def test_a_row_takes_turns_in_proportion_and_does_not_know_the_order_it_was_given():
    chance = np.random.default_rng(3)
    values, arms = chance.standard_normal(40), np.arange(40) < 8
    hashes = chance.permutation(40)
    row = row_of(values, arms, hashes)
    again = chance.permutation(40)
    other = row_of(values[again], arms[again], hashes[again])
    assert [a.tolist() for a in vars(row).values()] == [a.tolist() for a in vars(other).values()]
    turns = np.flatnonzero(row.weight > 0)  # of the treatment; the first may have no weight
    assert max(np.diff(turns)) <= 6


@pytest.mark.parametrize(("treatment", "control"), [(300, 300), (20, 380), (380, 20)])
def test_information_is_that_of_a_difference_of_two_means(treatment, control):
    size = treatment + control
    values = np.random.default_rng(7).standard_normal(size)
    row = row_of(values, np.arange(size) < treatment, np.arange(size))
    expected = 1 / (1 / treatment + 1 / control)
    assert (row.weight**2).sum() == pytest.approx(expected, rel=0.15)


def test_a_stratum_of_one_version_says_nothing():
    row = row_of(np.arange(9.0), np.ones(9, dtype=bool), np.arange(9))
    assert not row.weight.any()


def test_rows_of_strata_add_their_information():
    chance = np.random.default_rng(4)
    rows = [row_of(chance.standard_normal(n), np.arange(n) % 2 == 0, np.arange(n)) for n in (9, 30)]
    both = joined(rows)
    assert (both.weight**2).sum() == pytest.approx(sum((row.weight**2).sum() for row in rows))
    assert np.all(np.diff(both.place) >= 0)


def test_evidence_is_the_mixture_that_numerical_integration_gives():
    excess, information = np.array([-3000.0, -20.0, 0.0, 30.0, 60.0]), np.full(5, 150.0)
    step = 2e-5
    slope = (np.arange(400_000) + 0.5) * step
    for s, log_e in zip(excess, log_shift_evidence(excess, information, TAU), strict=True):
        total = 0.0
        for weight, tau in ((0.8, TAU), (0.2, 4 * TAU)):
            density = 2 * np.exp(-((slope / tau) ** 2) / 2) / (tau * math.sqrt(2 * math.pi))
            total += weight * (density * np.exp(slope * s - slope**2 * 75)).sum() * step
        assert math.exp(log_e) == pytest.approx(total, rel=1e-3)


def test_evidence_grows_with_the_excess_everywhere():
    excess = np.linspace(-5000, 5000, 4001)
    for information in (0.5, 30.0, 4000.0):
        log_e = log_shift_evidence(excess, np.full(4001, information), TAU)
        assert np.all(np.diff(log_e) > 0)


def test_the_bound_is_where_the_evidence_reaches_one_over_alpha():
    for information in (10.0, 300.0, 1e5):
        margin = shift_margin(information, 0.01, TAU)
        at = np.array([margin * information])
        log_e = log_shift_evidence(at, np.array([information]), TAU)[0]
        assert log_e == pytest.approx(math.log(100), abs=1e-6)


def test_hardly_any_information_bounds_nothing():
    assert shift_margin(0.0, 0.01, TAU) == math.inf
    assert shift_margin(1e-6, 1e-9, TAU) == math.inf


def test_all_looks_together_spend_alpha_once():
    assert sum(spending_share(look) for look in range(100_000)) == pytest.approx(1, abs=1e-5)


def test_the_distance_is_one_sided_and_its_evidence_is_never_above_its_chance():
    control = np.arange(10.0)
    assert distance_above(control - 5, control) == 0
    assert distance_above(control + 5, control) == pytest.approx(0.5)
    chance = np.random.default_rng(5)
    found = 0
    for _ in range(2000):
        distance = distance_above(chance.standard_normal(40), chance.standard_normal(60))
        found += log_distance_evidence(distance, 40, 60) >= math.log(20)
    assert found <= 2000 / 20


def test_counts_as_planned_are_seldom_a_mismatch_and_half_the_share_is_one():
    chance = np.random.default_rng(6)
    counts = chance.binomial(200, 0.3, 5000)
    wrong = sum(log_mismatch_evidence(int(n), 200 - int(n), 0.3) >= math.log(100) for n in counts)
    assert wrong <= 50
    assert log_mismatch_evidence(60, 340, 0.3) > math.log(1000)
    assert math.isfinite(log_mismatch_evidence(0, 0, 0.3))
