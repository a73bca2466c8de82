"""The bytes of rates and rules: those of each release restore and go on."""

from pathlib import Path

import numpy as np
import pytest

from tests.drift_windows import round_of
from udfs.drift.profiles import IS_STUCK, QUALITY_ROW, QualityPolicy, empty_quality, has_flag
from udfs.drift.quality import update_quality
from udfs.drift.quality_state import quality_bytes, quality_tables
from udfs.drift.rates import RATES_ROW, empty_rates, update_rates
from udfs.drift.row_tables import table_frame, table_of
from udfs.drift.shares import RatePolicy
from udfs.state_bytes import StateLayoutError, pack_state

FIXTURE = Path(__file__).parents[1] / "fixtures" / "state" / "quality_v1.bin"
RATES = RatePolicy(log_gamma=4.0, learn_windows=48, first_verdict_windows=24)
QUALITY = QualityPolicy(log_gamma=4.0, learn_windows=48, learn_ms=0, first_verdict_windows=24)
LEARNED = 60


def released_state():
    """Return what the fixture holds: streams 0 healthy, 1 stuck since window 60, 2 missing half."""
    rng = np.random.default_rng(1)
    rates, quality = empty_rates(3), empty_quality(3)
    for at in range(LEARNED + 10):
        values, is_sick = 20 + rng.normal(size=3), at >= LEARNED
        values[1] = 20.5 if is_sick else values[1]
        missing = np.array([0, 0, 4 * is_sick])
        seen = round_of(values, at, count=[4, 4, 4], missing_count=missing)
        update_rates(rates, seen, RATES)
        update_quality(quality, seen, QUALITY)
    return rates, quality


def next_turns(rates, quality):
    """Return what three calm windows say of the streams."""
    found = []
    for at in range(LEARNED + 10, LEARNED + 40):
        seen = round_of([20.0 + at / 7, 21.0 + at / 5, 19.0 + at / 3], at, count=[4, 4, 4])
        for turns in (update_rates(rates, seen, RATES), update_quality(quality, seen, QUALITY)):
            found += [(s, d) for s, d in zip(*_names(turns.ended), strict=True)]
    return found


def _names(alarms):
    return alarms.stream.tolist(), alarms.detector.tolist()


def test_the_released_bytes_restore_and_what_was_open_ends():
    rates, quality = quality_tables(FIXTURE.read_bytes())
    assert has_flag(quality, IS_STUCK).tolist() == [False, True, False]
    assert (rates["missing"]["calm_count"] > 0).tolist() == [False, False, True]
    found = next_turns(rates, quality)
    assert (1, "stuck") in found
    assert (2, "missing_rate") in found
    assert 0 not in {stream for stream, _ in found}


def test_the_released_bytes_are_what_is_written_today():
    assert quality_bytes(*quality_tables(FIXTURE.read_bytes())) == FIXTURE.read_bytes()
    rates, quality = quality_tables(FIXTURE.read_bytes())
    fresh = released_state()
    assert np.array_equal(rates["missing"]["bad_since"], fresh[0]["missing"]["bad_since"])
    assert np.array_equal(quality["run_count"], fresh[1]["run_count"])
    assert np.allclose(quality["mean"], fresh[1]["mean"])


def test_rows_of_another_layout_are_refused():
    with pytest.raises(StateLayoutError, match="rows of"):
        table_of(table_frame(empty_rates(1)), QUALITY_ROW)
    with pytest.raises(StateLayoutError, match="version 9"):
        quality_tables(pack_state(9, {}, {}))


def test_a_stream_takes_at_most_256_bytes():
    assert RATES_ROW.itemsize + QUALITY_ROW.itemsize <= 256
