"""Shares of errors and of points without confidence: on by default, one incident, told as drift."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from schemas.control import parse_control
from tests.distribution_logs import START_MS, Subject, frame, in_order, row
from tests.drift_windows import round_of
from udfs.drift.budget import USUAL
from udfs.drift.findings import Rule, State
from udfs.drift.prediction_member import PredictionMember, bad_points
from udfs.drift.stream_detectors import StreamDetectors
from udfs.drift.stream_findings import StreamName, accepted_findings, findings_of
from udfs.drift.stream_member import device_policy

SEED = 20_261_123
STORED = Path(__file__).parents[1] / "fixtures" / "state" / "predictions_v1.bin"
"""Written by the first release with this layout, from `before_the_cut`; never written again."""
WINDOW_MS = 300_000
ERRORS = Subject("device", "d1", "is_error")
CONFIDENCE = Subject("device", "d2", "prediction_confidence_ratio")
OF_MODEL = Subject("model_version", "v1", "error_rate")
NAMES = [StreamName("acme", "device", "d1", "temp")]
SUBJECTS = (ERRORS, CONFIDENCE, OF_MODEL)


def small_member() -> PredictionMember:
    member = PredictionMember()
    for streams in (member.devices, member.groups):
        streams.policy = replace(streams.policy, learn_windows=240, first_verdict_windows=240)
    return member


def windows_of(seed: int, count: int = 700, first: int = 400, last: int = 500) -> list[dict]:
    """Windows of 25 points: 2 % are bad, from `first` to `last` 40 %; every 30th is missing."""
    print("seed", seed)
    rng, rows = np.random.default_rng(seed), []
    for number in range(count):
        share = 0.4 if first <= number < last else 0.02
        for subject in SUBJECTS:
            is_bad = rng.random(25) < share
            values = is_bad * 1.0 if subject is not CONFIDENCE else np.where(is_bad, 0.3, 0.9)
            if rng.random() > 1 / 30:
                rows.append(row(subject, START_MS + number * WINDOW_MS, values, WINDOW_MS))
    return rows


def found_by(member: PredictionMember, rows: list[dict]) -> list:
    return in_order(member.observe(frame(rows), 0))


def test_errors_and_low_confidence_are_told_without_configuration_and_end():
    found = found_by(small_member(), windows_of(SEED))
    told = {(f.subject, f.scope, f.detector, f.rule, f.state, f.severity.does_page) for f in found}
    names = (("d1", "device", "error_rate"), ("d2", "device", "low_confidence_rate"))
    names += (("v1", "model_version", "error_rate"),)
    states = ((State.FIRING, True), (State.RESOLVED, False))
    assert told == {(*name, Rule.DRIFT, *state) for name in names for state in states}
    assert len(found) == 6
    for incident in {f.incident_id for f in found}:
        assert [f.state for f in found if f.incident_id == incident] == ["firing", "resolved"]
    first = found[0]
    assert abs((first.first_seen_ms - START_MS) // WINDOW_MS - 400) <= 2
    assert first.delay_windows <= 15
    assert first.reason.startswith("share of points 0.0")
    assert first.suggested_action


@pytest.mark.parametrize("seed", [1, 2])
def test_neither_cuts_nor_restarts_change_what_is_told(seed):
    rows, chance = windows_of(seed), random.Random(seed)
    whole = found_by(small_member(), rows)
    assert whole
    member, found = small_member(), []
    ends = sorted(chance.sample(range(700), 15))
    for first, last in zip([0, *ends], [*ends, 700], strict=True):
        is_mine = range(START_MS + first * WINDOW_MS, START_MS + last * WINDOW_MS, WINDOW_MS)
        found += member.observe(frame([r for r in rows if r["window_start"] in is_mine]), 0)
        packed = member.to_bytes()
        restored = PredictionMember.from_bytes(packed)
        assert restored.to_bytes() == packed
        for streams, other in zip(_both(restored), _both(member), strict=True):
            streams.policy = other.policy
        member = restored
    assert in_order(found) == whole


def _both(member: PredictionMember) -> tuple:
    return member.devices, member.groups


def test_bad_points_are_counted_from_the_bins():
    low = row(CONFIDENCE, START_MS, np.array([0.1, 0.49, 0.5, 0.9]), WINDOW_MS)
    wrong = row(ERRORS, START_MS, np.array([0.0, 1.0, 1.0, 0.0, 0.0]), WINDOW_MS)
    percent = replace(CONFIDENCE, metric="confidence_percent")
    half = row(percent, START_MS, np.array([10.0, 49.0, 51.0]), WINDOW_MS)
    windows = frame([low, wrong, half])
    counted = bad_points(windows, np.arange(3))
    told = dict(zip(windows["metric"].to_list(), counted.nan_count.tolist(), strict=True))
    assert told == {"is_error": 2, CONFIDENCE.metric: 2, "confidence_percent": 2}
    assert sorted(counted.count.tolist()) == [3, 4, 5]


def before_the_cut() -> PredictionMember:
    """Return the member whose bytes are the fixture: it has seen 420 windows, 20 of them bad."""
    member = small_member()
    found_by(member, windows_of(SEED, count=420))
    return member


def test_a_state_of_the_first_release_restores_and_goes_on():
    packed = STORED.read_bytes()
    member = PredictionMember.from_bytes(packed)
    assert member.to_bytes() == packed
    for streams, other in zip(_both(member), _both(small_member()), strict=True):
        streams.policy = other.policy
    rest = [r for r in windows_of(SEED) if r["window_start"] >= START_MS + 420 * WINDOW_MS]
    ended = [f for f in found_by(member, rest) if f.state is State.RESOLVED]
    assert {f.subject for f in ended} == {"d1", "d2", "v1"}


def test_other_metrics_and_windows_without_bins_say_nothing():
    member = small_member()
    bare = row(ERRORS, START_MS, np.array([1.0]), WINDOW_MS) | {"bins": [], "bin_counts": []}
    other = row(Subject("group", "g", "temp"), START_MS, np.array([1.0]), WINDOW_MS)
    assert member.observe(frame([bare, other]), 0) == []
    assert len(member.devices.book) == len(member.groups.book) == 0


def test_what_is_accepted_ends_and_is_learned_anew():
    member, rows = small_member(), windows_of(SEED, count=430)
    fired = [f for f in found_by(member, rows) if f.subject == "d1"]
    assert [f.state for f in fired] == [State.FIRING]
    scope = {"tenant_id": "acme", "device_id": "d1"}
    event = parse_control({"type": "accept_new_normal", "metric": "is_error", "scope": scope})
    (ended,) = member.accept([event], START_MS + 431 * WINDOW_MS)
    assert (ended.state, ended.reason) == (State.RESOLVED, "accepted_new_normal")
    assert (ended.incident_id, ended.rule) == (fired[0].incident_id, Rule.DRIFT)
    assert member.accept([event], START_MS + 432 * WINDOW_MS) == []


# windows  0 .. 1,099 as usual | 80 of them missing, stuck, or x1000 | as usual
def told_of(fault: str, count: int) -> tuple[StreamDetectors, list]:
    """Run one stream through a fault; return the detectors, and the findings of that name."""
    rng, detectors = np.random.default_rng(SEED), StreamDetectors(device_policy(USUAL))
    detectors.grow(1)
    found = []
    for at in range(count):
        value, is_odd = 20 + rng.normal(), 1_100 <= at < 1_180
        missing = 5 * (is_odd and fault == "missing_rate")
        value = 20.0 if is_odd and fault == "stuck" else value
        value = value * 1000 if is_odd and fault == "unit_change" else value
        seen = round_of([value], at, count=np.array([5]), missing_count=np.array([missing]))
        found += list(findings_of(detectors.observe(seen), NAMES, detectors.window_ms))
    return detectors, [f for f in found if f.detector == fault]


FAULTS = pytest.mark.parametrize("fault", ["missing_rate", "stuck", "unit_change"])


@FAULTS
def test_the_end_of_an_incident_of_rates_and_rules_names_the_incident(fault):
    mine = told_of(fault, 1_600)[1]
    assert [f.state for f in mine] == [State.FIRING, State.RESOLVED]
    assert len({f.incident_id for f in mine}) == 1


@FAULTS
def test_what_is_accepted_ends_incidents_of_rates_and_rules_too(fault):
    detectors, (fired,) = told_of(fault, 1_170)
    ended = accepted_findings(np.array([0]), NAMES, detectors, START_MS)
    (mine,) = [f for f in ended if f.detector == fault]
    assert (mine.state, mine.reason) == (State.RESOLVED, "accepted_new_normal")
    assert mine.incident_id == fired.incident_id
    detectors.forget(np.array([0]))
    assert accepted_findings(np.array([0]), NAMES, detectors, START_MS) == []
