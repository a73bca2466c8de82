"""Stuck sensors, other units, clipping and coarser grains: found; and what only looks like them."""

from functools import cache

import numpy as np
import pytest

from tests.drift_windows import judged, round_of, window_of
from udfs.drift.profiles import QualityPolicy, empty_quality
from udfs.drift.quality import update_quality
from udfs.drift.stuck import run_needed

PAGE = QualityPolicy()
GAMMA_1E4 = QualityPolicy(log_gamma=float(np.log(1e4)))
LEARNED = PAGE.learn_windows
FAULT = LEARNED + 20
SEED = 20261123
RNG_STREAMS = 60


def normal(rng, windows, streams=RNG_STREAMS):
    return 20 + 0.2 * rng.normal(size=(windows, streams))


def chain(rng, windows, streams, memory):
    """Return values of N(0, 1) with a serial correlation."""
    values = rng.normal(size=(windows, streams))
    for at in range(1, windows):
        values[at] = memory * values[at - 1] + np.sqrt(1 - memory**2) * values[at]
    return values


def told(values, policy=PAGE):
    """Return the alarms about values, shape (windows, streams), and the table after them."""
    table = empty_quality(np.shape(values)[1])
    return judged(update_quality, table, values, policy).fired, table


@cache
def healthy():
    """Return the table of streams that were healthy for FAULT windows; to be copied."""
    alarms, table = told(normal(np.random.default_rng(SEED), FAULT))
    assert len(alarms) == 0
    return table


def told_after(change, windows=30):
    """Return the alarms that fire when healthy sensors are changed from window FAULT on."""
    return turns_after(change, windows).fired


def turns_after(change, windows=30):
    """Return what fires and what ends then."""
    values = change(normal(np.random.default_rng(SEED + 1), windows))
    return judged(update_quality, healthy().copy(), values, PAGE, first=FAULT)


def names(alarms):
    return sorted(set(alarms.detector.tolist()))


def first_windows(alarms, detector):
    """Return how many windows after FAULT each stream was first told of."""
    mine = alarms.take(alarms.detector == detector)
    first = dict(zip(mine.stream[::-1], mine.detected_at_ms[::-1], strict=True))
    return np.array([window_of(at) - FAULT for at in first.values()])


def test_the_length_of_a_run_follows_how_often_a_metric_repeats():
    needed = run_needed(np.array([0.0, 0.5, 0.9]), float(np.log(1.15e8)))
    assert needed.tolist() == [6, 27, 177]


def test_a_sensor_that_never_repeats_is_stuck_after_six_repeats_and_told_once():
    #   20.1 19.8 20.3 | 20.1 20.1 20.1 20.1 20.1 20.1 20.1 20.1 ...
    #                    0    1    2    3    4    5    6 = alarm, and no other
    alarms = told_after(lambda values: values * 0 + 20.1)
    assert names(alarms) == ["stuck"]
    assert sorted(alarms.stream.tolist()) == list(range(RNG_STREAMS))
    assert first_windows(alarms, "stuck").tolist() == [7] * RNG_STREAMS
    assert {window_of(at) for at in alarms.first_seen_ms} == {FAULT}
    assert set(alarms.severity.tolist()) == {"minor"}


def test_a_metric_that_repeats_half_of_the_time_is_stuck_after_27_repeats_at_least():
    values = (np.random.default_rng(SEED).random((FAULT, 20)) < 0.5) * 1.0
    values[-1] = 0.0
    table = told(values)[1]
    alarms = judged(update_quality, table, np.ones((60, 20)), PAGE, first=FAULT).fired
    after = first_windows(alarms, "stuck")
    print(f"seed {SEED}: {sorted(after)}")
    assert len(after) == 20
    assert after.min() >= 28  # the first window is no repeat
    assert np.median(after) <= 35


def test_a_gap_neither_lengthens_a_run_nor_ends_it():
    def with_gaps(values):
        values[:] = 20.1
        values[1::2] = np.nan
        return values

    alarms = told_after(with_gaps)
    assert first_windows(alarms, "stuck").tolist() == [13] * RNG_STREAMS


def test_a_second_run_is_told_again():
    def twice(values):
        values[:10] = 20.1
        values[20:] = 19.9
        return values

    assert len(told_after(twice)) == 2 * RNG_STREAMS


def test_a_sensor_that_moves_again_or_has_its_old_unit_again_is_over():
    #   20.1 20.1 ... 20.1 | 20.3          x1000 ... | as before
    #   fires, window 6      ends, 10      fires, 0     ends, 10
    def at_first(fault):
        return lambda values: np.where(np.arange(len(values))[:, None] < 10, fault(values), values)

    for name, fault in {"stuck": lambda v: v * 0 + 20.1, "unit_change": lambda v: v * 1000}.items():
        turns = turns_after(at_first(fault))
        assert names(turns.ended) == [name]
        assert sorted(turns.ended.stream.tolist()) == list(range(RNG_STREAMS))
        assert {window_of(at) for at in turns.ended.first_seen_ms} == {FAULT}
        assert first_windows(turns.ended, name).tolist() == [11] * RNG_STREAMS
        assert set(turns.ended.severity.tolist()) == {"info"}


def test_a_slow_ramp_of_steps_below_the_tolerance_is_no_run():
    ramp = 1e6 + 5.0 * np.arange(FAULT + 30)[:, None] + np.zeros(4)
    assert len(told(ramp)[0]) == 0


def constant(rng):
    return np.full((FAULT + 400, 4), 5.0)


def night_zeros(rng):
    at = np.arange(FAULT + 400)[:, None] % 288
    return np.where(at < 144, 0, 50 + rng.normal(size=(FAULT + 400, 150)))


def five_levels(rng):
    return np.clip(np.round(rng.normal(size=(FAULT + 400, 150))), -2, 2)


def five_levels_with_memory(rng):
    return np.clip(np.round(chain(rng, FAULT + 400, 150, 0.9)), -2, 2)


def rare_events(rng):
    return (rng.random((FAULT + 400, 150)) < 0.05) * 1.0


def rounded_day(rng):
    at = np.arange(FAULT + 400)[:, None]
    wave = 20 + 5 * np.sin(at / 288 * 2 * np.pi)
    return np.round(wave + 0.3 * rng.normal(size=(len(at), 150)), 1)


def heavy_tails(rng):
    return rng.standard_cauchy((FAULT + 400, 150))


def noise_around_zero(rng):
    values = rng.normal(size=(FAULT + 300, 100))
    values[FAULT:] *= 60
    return values


@pytest.mark.parametrize(
    "make",
    [
        constant,
        night_zeros,
        five_levels,
        five_levels_with_memory,
        rare_events,
        rounded_day,
        heavy_tails,
    ],
)
def test_what_only_looks_sick_does_not_page(make):
    # At gamma = 1e4 the budget of 60,000 windows is 6 alarms of each kind.
    alarms, _ = told(make(np.random.default_rng(SEED)), GAMMA_1E4)
    paging = alarms.take(alarms.severity == "minor")
    counts = {name: int((paging.detector == name).sum()) for name in names(paging)}
    print(f"seed {SEED}: {make.__name__}: {counts}")
    assert all(count <= 6 for count in counts.values()), counts


def test_noise_around_zero_that_grows_has_no_new_unit():
    alarms, _ = told(noise_around_zero(np.random.default_rng(SEED)))
    assert names(alarms) == []


@pytest.mark.parametrize("factor", [1000, 1 / 1000, 1024, 1 / 1024, 3600, 1 / 3600, 1e6])
def test_a_far_factor_is_told_with_its_first_window(factor):
    alarms = told_after(lambda values: values * factor)
    assert names(alarms) == ["unit_change"]
    assert first_windows(alarms, "unit_change").tolist() == [1] * RNG_STREAMS
    assert len(alarms) == RNG_STREAMS
    name = f"x{factor:.0f}" if factor > 1 else f"/{1 / factor:.0f}"
    name = name.replace("x1e+06", "x1000000")
    assert all(name in note.split(" or ") for note in alarms.note.tolist())


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda values: values * 60, "x60"),
        (lambda values: values / 60, "/60"),
        (lambda values: values * 1.8 + 32, "Celsius to Fahrenheit"),
        (lambda values: (values - 32) / 1.8, "Fahrenheit to Celsius"),
        (lambda values: values + 273.15, "Celsius to Kelvin"),
        (lambda values: values - 273.15, "Kelvin to Celsius"),
    ],
)
def test_a_near_map_is_told_with_its_fifth_window_of_nineteen_streams_in_twenty(change, name):
    alarms = told_after(change)
    assert names(alarms) == ["unit_change"]
    assert set(first_windows(alarms, "unit_change").tolist()) == {5}
    assert set(alarms.note.tolist()) == {name}
    assert len(alarms) >= 0.9 * RNG_STREAMS
    assert {window_of(at) for at in alarms.first_seen_ms} == {FAULT}


@pytest.mark.parametrize("spread", [0.1, 10.0])
def test_a_jump_to_60_times_the_mean_with_another_spread_is_no_unit(spread):
    def jump(values):
        return (20 + (values - 20) * spread) * 60

    alarms = told_after(jump, windows=60)
    assert len(alarms.take(alarms.detector == "unit_change")) <= 1  # of 60


def test_a_jump_by_a_factor_that_no_unit_has_is_no_unit():
    assert names(told_after(lambda values: values * 37)) == []


def test_values_that_are_cut_off_pile_up_at_the_edge():
    alarms = told_after(lambda values: np.minimum(values, 20.15), windows=400)
    saturated = first_windows(alarms, "saturation")
    print(f"seed {SEED}: saturation after {np.median(saturated)} windows")
    assert len(saturated) == RNG_STREAMS


def test_a_metric_that_becomes_coarser_is_watched_and_no_longer_stuck():
    alarms = told_after(lambda values: np.round(values * 5) / 5, windows=600)
    grains = alarms.take(alarms.detector == "resolution")
    assert set(grains.severity.tolist()) == {"watch"}
    assert set(grains.note.tolist()) == {"coarser"}
    assert len(set(grains.stream.tolist())) == RNG_STREAMS
    late = alarms.take(
        (alarms.detector == "stuck") & (alarms.first_seen_ms > grains.detected_at_ms.max())
    )
    assert len(late) == 0


def test_too_few_windows_give_no_verdict():
    alarms = judged(update_quality, empty_quality(1), [[7.0]] * 200, PAGE).fired
    rng = np.random.default_rng(SEED)
    values = np.vstack([normal(rng, 200, 1), normal(rng, 39, 1) * 1000])
    assert len(alarms) == 0
    assert len(told(values)[0]) == 0


def test_a_provisional_baseline_does_not_page():
    rng = np.random.default_rng(SEED)
    alarms, _ = told(np.vstack([normal(rng, 300, 5), normal(rng, 3, 5) * 1000]))
    assert set(alarms.severity.tolist()) == {"watch"}
    assert len(alarms) == 5


def test_short_windows_learn_for_a_day():
    rng, table = np.random.default_rng(SEED), empty_quality(1)
    for at in range(1440):
        update_quality(table, round_of(normal(rng, 1, 1)[0], at, window_ms=[60_000]), PAGE)
    assert table["window_count"][0] == 1440
    update_quality(table, round_of([20.0], 1440, window_ms=[60_000]), PAGE)
    assert table["window_count"][0] == 1440
