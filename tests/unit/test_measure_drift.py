"""The benchmark of D1: how figures are judged against goals, and that its counting counts."""

import json
import math

import numpy as np
import pytest

from benchmarks.drift_goals import DELAYS, Line
from benchmarks.drift_judges import (
    Always,
    Never,
    delays,
    false_alarms,
    learned,
    mean_between,
    mean_delay,
    policy_of,
)
from benchmarks.drift_peers import peer_lines
from benchmarks.drift_series import CHANGES, NORMAL, WINDOW_MS, windows_of
from benchmarks.measure_drift import Size, shams

SEED = 20_261_123


@pytest.mark.parametrize(("measured", "error", "word"), [
    (20.9, 0.5, "met"),
    (21.0, 0.0, "met"),
    (21.4, 0.5, "missed by 2 %, within noise"),
    (42.0, 0.5, "missed by 100 %"),
    (math.inf, 0.0, "missed: never"),
])  # fmt: skip
def test_a_delay_is_judged_by_its_ceiling(measured, error, word):
    assert Line("delay", measured, error, high=21.0).word == word


@pytest.mark.parametrize(("measured", "word"), [
    (9_950.0, "missed by 0.5 %"),
    (5_000.0, "missed by 50 %"),
    (1e4, "met"),
    (4e4, "met"),
    (5e4, "missed by 25 %"),
    (math.inf, "missed: never"),
])  # fmt: skip
def test_a_time_between_false_alarms_has_a_floor_and_a_ceiling(measured, word):
    assert Line("ARL", measured, 0.0, 1e4, 4e4).word == word


def test_a_detector_that_never_fires_meets_no_goal_even_without_a_ceiling():
    assert Line("ARL", math.inf, low=8e3).word == "missed: never"


def test_a_figure_without_a_goal_is_not_judged():
    line = Line("bytes", 5.0)
    assert (line.word, line.goal, line.is_met) == ("", "", None)


def test_a_line_is_stored_as_json_that_others_can_read():
    line = Line("delay", math.inf, math.inf, high=21.0)
    stored = json.loads(json.dumps(line.columns(), allow_nan=False))
    assert stored["measured"] is None
    assert stored["word"] == "missed: never"


def test_each_detector_that_does_not_look_misses_one_half_of_the_goals():
    lines = {line.name: line for line in shams(Size(streams=5, windows=200), SEED)}
    assert lines["always fires: ARL, normal"].measured == 1
    assert not lines["always fires: ARL, normal"].is_met
    assert lines["always fires: delay, shift 1"].is_met
    assert not lines["never fires: ARL, normal"].is_met
    assert not lines["never fires: delay, shift 1"].is_met


def test_alarms_and_delays_are_counted_from_what_came_out():
    class EveryTenth:
        def alarms(self, values, first, streams):
            windows = first + np.arange(values.shape[1])
            place = np.flatnonzero(windows % 10 == 9)
            return np.repeat(streams, len(place)), np.tile(place, len(streams))

    draw = NORMAL(np.random.default_rng(SEED), 3)
    counts = false_alarms(EveryTenth(), draw, 0, (3, 200))
    assert counts.tolist() == [20, 20, 20]
    assert mean_between(counts, 200).mean == 10
    found = delays(EveryTenth(), CHANGES["shift 1"], np.random.default_rng(SEED), 5, 3)
    assert found.tolist() == [5, 5, 5]
    assert mean_delay(lambda: found, 1).mean == 5
    never = delays(Never(), CHANGES["shift 1"], np.random.default_rng(SEED), 0, 3)
    assert mean_delay(lambda: never, 1).mean == math.inf
    assert delays(Always(), CHANGES["shift 1"], np.random.default_rng(SEED), 0, 3).max() == 1


def test_each_try_begins_from_the_same_baselines_without_evidence():
    draw = NORMAL(np.random.default_rng(SEED), 20)
    judge = learned(draw, 20, policy_of(1e4, 300))
    before = judge.streams.table.tobytes()
    first, second = (
        delays(judge.again(1e4), CHANGES["shift 3"], np.random.default_rng(SEED), 300, 20)
        for _ in range(2)
    )
    print(f"seed {SEED}: {first.mean():.1f} windows")
    assert first.tolist() == second.tolist()
    assert 1 <= first.mean() <= 2 * DELAYS[1e4, "shift 3"]
    assert judge.streams.table.tobytes() == before


def test_windows_of_a_series_lie_by_stream_and_then_by_time():
    seen = windows_of(np.array([[1.0, 2.0], [3.0, 4.0]]), 7, np.array([5, 9]))
    assert seen.stream.tolist() == [5, 5, 9, 9]
    assert (seen.start_ms // WINDOW_MS).tolist() == [7, 8, 7, 8]
    assert seen.value.tolist() == [1, 2, 3, 4]


def test_a_peer_that_failed_is_said_to_be_not_run():
    (line,) = peer_lines("ADWIN", None)
    assert "not run" in line.name
