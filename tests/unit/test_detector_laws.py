"""The laws of `detector_laws.py`, for each detector."""

from collections import Counter

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from tests.unit.detector_laws import LAWS, Detector, random_rounds, replay
from udfs.drift.profiles import QualityPolicy, empty_quality
from udfs.drift.quality import update_quality
from udfs.drift.rates import empty_rates, update_rates
from udfs.drift.shares import RatePolicy

RATES = RatePolicy(log_gamma=3.0, learn_windows=24, first_verdict_windows=24)
QUALITY = QualityPolicy(log_gamma=3.0, learn_windows=24, learn_ms=0, first_verdict_windows=24)
DETECTORS = (
    Detector(
        "rates",
        empty_rates,
        lambda table, seen: update_rates(table, seen, RATES),
        keeps=[(-3.7, 11.0), (1e-9, 0.0)],
    ),
    Detector(
        "quality",
        empty_quality,
        lambda table, seen: update_quality(table, seen, QUALITY),
        # Repeats have an absolute step of 1e-8, and units are no matter of scale.
        keeps=[(4.0, 0.0), (-0.5, 0.0)],
        kept=frozenset({"stuck", "saturation", "resolution"}),
    ),
)


@pytest.mark.parametrize("law", [pytest.param(law, id=law.__name__) for law in LAWS])
@pytest.mark.parametrize("detector", [pytest.param(it, id=it.name) for it in DETECTORS])
def test_every_detector_keeps_every_law(detector, law):
    @settings(max_examples=3)
    @given(st.integers(0, 2**32))
    def kept(seed):
        note(f"seed {seed}")
        law(detector, seed)

    kept()


def test_the_random_windows_raise_alarms_of_every_kind_that_they_can():
    found = Counter()
    for seed in range(12):
        for detector in DETECTORS:
            found.update(replay(detector, random_rounds(seed))[1].detector.tolist())
    print(f"seeds 0..11: {dict(found)}")
    wanted = {"missing_rate", "nan_rate", "out_of_range_rate", "stuck", "unit_change"}
    assert wanted | {"saturation"} <= set(found)
