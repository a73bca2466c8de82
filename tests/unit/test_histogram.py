"""The error bound of quantiles, measured; the laws of the histogram layout and of merging."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.telemetry import VALUE_MAX
from udfs.histogram import (
    RELATIVE_ERROR,
    SMALLEST,
    bin_index,
    bin_value,
    merge_histograms,
    quantile,
)

SEED = 20261122
PERCENTS = (50, 90, 95, 99)
SHAPES = {
    "normal": lambda draw, n: draw.normal(50, 10, n),
    "lognormal": lambda draw, n: draw.lognormal(3, 2, n),
    "exponential": lambda draw, n: draw.exponential(0.02, n),
    "heavy tail": lambda draw, n: np.minimum(1 + draw.pareto(0.5, n), VALUE_MAX),
    "negative": lambda draw, n: -draw.lognormal(1, 1, n),
    "mixed signs": lambda draw, n: draw.normal(0, 1, n),
    "two far modes": lambda draw, n: np.where(draw.random(n) < 0.9, 1e-3, 1e9),
    "largest": lambda draw, n: draw.uniform(0.9, 1, n) * VALUE_MAX,
    "constant": lambda draw, n: np.full(n, 41.7),
    "zero": lambda draw, n: np.zeros(n),
    "denormals": lambda draw, n: draw.random(n) * 1e-310,
    "around the least bin": lambda draw, n: draw.normal(0, 3 * SMALLEST, n),
}

values = st.floats(-1e12, 1e12, allow_nan=False)
histograms = st.dictionaries(st.integers(-3840, 3840), st.integers(1, 10**8), max_size=8)


def histogram_of(sample: np.ndarray) -> Counter[int]:
    return Counter(bin_index(sample).tolist())


def quantile_of(sample: np.ndarray, q: float) -> float:
    bins, counts = np.unique(bin_index(sample), return_counts=True)
    return quantile(
        bins.tolist(), counts.tolist(), q, smallest=float(sample.min()), largest=float(sample.max())
    )


@pytest.mark.parametrize("count", [1, 2, 7, 300, 20_000])
@pytest.mark.parametrize("shape", SHAPES)
def test_quantiles_of_every_shape_are_within_one_percent_and_within_the_window(shape, count):
    sample = SHAPES[shape](np.random.default_rng(SEED), count)
    ascending = np.sort(sample)
    for percent in PERCENTS:
        exact = ascending[-(-percent * count // 100) - 1]
        found = quantile_of(sample, percent / 100)
        assert ascending[0] <= found <= ascending[-1]
        # Below 2^-20 all is one bin: there the bound is absolute.
        limit = 0.01 * abs(exact) if abs(exact) >= SMALLEST else SMALLEST
        assert abs(found - exact) <= limit, (shape, count, percent, SEED)


def test_the_largest_error_is_as_large_as_the_docstring_says_and_no_larger():
    # The lower edge of the first bin of a power of two is the farthest from its middle.
    octaves = 2.0 ** np.arange(-20, 40)
    every = np.concatenate(
        [octaves, np.random.default_rng(SEED).uniform(1, 2, 100_000), np.nextafter(octaves, 0)[1:]]
    )
    error = np.abs(bin_value(bin_index(every)) - every) / every
    assert error.max() == RELATIVE_ERROR == 1 / 128


@pytest.mark.parametrize("shape", ["constant", "zero", "denormals"])
def test_a_window_of_one_value_has_exactly_that_quantile(shape):
    sample = SHAPES[shape](np.random.default_rng(SEED), 1)
    assert quantile_of(sample, 0.5) == sample[0]


@given(st.lists(values, min_size=1))
def test_the_middle_of_a_bin_is_within_the_relative_error_of_each_value_in_it(sample):
    exact = np.array(sample)
    error = np.abs(bin_value(bin_index(exact)) - exact)
    assert (error <= np.maximum(np.abs(exact) * RELATIVE_ERROR, SMALLEST)).all()


@given(st.lists(values, min_size=2))
def test_bins_are_ordered_as_the_values_are(sample):
    exact = np.sort(np.array(sample))
    assert (np.diff(bin_index(exact)) >= 0).all()


@pytest.mark.parametrize("q", [0.0, 0.5, 0.9, 0.95, 0.99, 1.0])
@given(st.lists(values, min_size=1, max_size=200))
def test_a_quantile_is_within_the_relative_error_of_the_exact_rank(q, sample):
    exact = sorted(sample)[max(1, math.ceil(q * len(sample))) - 1]
    found = quantile_of(np.array(sample), q)
    assert abs(found - exact) <= max(abs(exact) * RELATIVE_ERROR, SMALLEST)
    assert min(sample) <= found <= max(sample)


@given(st.lists(values, min_size=1, max_size=50))
def test_quantiles_rise_with_q(sample):
    found = [quantile_of(np.array(sample), q) for q in (0, 0.1, 0.5, 0.9, 0.95, 0.99, 1)]
    assert found == sorted(found)


@pytest.mark.parametrize("percent", PERCENTS)
def test_the_rank_of_a_quantile_is_exact_although_it_is_reckoned_in_floats(percent):
    counts = np.arange(1, 1_000_001)
    assert (np.ceil(percent / 100 * counts) == -(-percent * counts // 100)).all()


def test_an_empty_histogram_has_no_quantile():
    assert quantile([], [], 0.5, smallest=math.inf, largest=-math.inf) is None


@given(histograms, histograms, histograms)
def test_merging_is_commutative_and_associative_and_an_empty_histogram_changes_nothing(a, b, c):
    assert merge_histograms(a, b) == merge_histograms(b, a)
    assert merge_histograms(merge_histograms(a, b), c) == merge_histograms(
        a, merge_histograms(b, c)
    )
    assert merge_histograms(a, {}) == a


@given(st.lists(values, max_size=50), st.lists(values, max_size=50))
def test_the_merged_histogram_of_two_samples_is_that_of_both_together(left, right):
    parts = [histogram_of(np.array(sample, np.float64)) for sample in (left, right)]
    merged = merge_histograms(*parts)
    assert merged == histogram_of(np.array(left + right, np.float64))
    assert list(merged) == sorted(merged)
