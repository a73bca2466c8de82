"""The error bound and the laws of the histogram layout."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from udfs.histogram import RELATIVE_ERROR, SMALLEST, bin_index, bin_value, quantile

values = st.floats(-1e12, 1e12, allow_nan=False)


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
    bins, counts = np.unique(bin_index(np.array(sample)), return_counts=True)
    exact = sorted(sample)[max(1, int(np.ceil(q * len(sample)))) - 1]
    found = quantile(bins.tolist(), counts.tolist(), q)
    assert abs(found - exact) <= max(abs(exact) * RELATIVE_ERROR, SMALLEST)


def test_an_empty_histogram_has_no_quantile():
    assert quantile([], [], 0.5) is None
