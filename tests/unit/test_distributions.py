"""D2, case by case: what pages, what is shown, what is said of it, and what says nothing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.measure_bad_predictions import run
from benchmarks.prediction_series import (
    CALM,
    START_MS,
    WEEK_HOURS,
    hour_of,
    lower,
    points_of,
    to_class,
)
from jobs.explain_page import page_of
from schemas.control import parse_control
from tests.distribution_logs import Subject, frame, row, said, small_member, values_of
from udfs.drift.distribution_alarms import DistributionTurn
from udfs.drift.distribution_findings import DistributionName, finding_of_turn
from udfs.drift.distribution_member import POLICY, DistributionMember
from udfs.drift.distributions import Distributions
from udfs.drift.findings import DriftFinding, Severity, State
from udfs.offline_policy import DAY_MS, HOUR_MS

SEED = 20_261_123
CLASSES = CALM["class mix, independent points"]
CONFIDENCE = CALM["confidence, independent points"]
STORED = Path(__file__).parents[1] / "fixtures" / "state" / "distributions_v1.bin"
"""Written by the first release with this layout, from `before_the_cut`; never written again."""


def told(kind, hours, change=None, at=0, streams=1) -> list[DistributionTurn]:
    print("seed", SEED)
    return run(kind, hours, streams, np.random.default_rng(SEED), change, at)


def pages(turns: list[DistributionTurn]) -> list[DistributionTurn]:
    return [t for t in turns if Severity(t.severity).does_page and not t.is_over]


def hour_number(turn: DistributionTurn) -> float:
    return (turn.detected_at_ms - START_MS) / HOUR_MS


def finding(turn: DistributionTurn, metric: str) -> DriftFinding:
    return finding_of_turn(turn, DistributionName("acme", "group", "g", metric, "g", "v1"))


# hours   0 .. 167 a week | 180 the rare class takes 30 % .. 191 | as before
def test_a_class_mix_that_moves_pages_after_two_hours_once_and_ends_when_it_is_back():
    def change(shares):
        return to_class(0.3)(shares)

    first = told(CLASSES, 182, change, 180)
    assert told(CLASSES, 181, change, 180) == [], "an hour ends with a window of the next"
    assert [(t.severity, hour_number(t)) for t in first] == [("watch", 181)]
    whole = _there_and_back(change, 180, 192)
    assert [(t.severity, t.is_over, hour_number(t)) for t in whole] == [
        ("watch", False, 181),
        ("major", False, 182),
        ("major", True, 194),
    ]
    assert {t.opened_ms for t in whole} == {START_MS + 181 * HOUR_MS}
    assert {t.first_seen_ms for t in whole[:2]} == {START_MS + 180 * HOUR_MS}


def _there_and_back(change, first: int, last: int) -> list[DistributionTurn]:
    rng, known = np.random.default_rng(SEED), Distributions(POLICY)
    known.grow(np.array([True]))
    turns = []
    for hour in range(last + 40):
        shares = CLASSES.law(rng, 1, hour, {})
        shares = change(shares) if first <= hour < last else shares
        turns += known.observe(hour_of(points_of(rng, CLASSES, shares), CLASSES.levels, hour))
    return turns


def test_a_lone_odd_hour_is_shown_and_wakes_nobody():
    turns = _there_and_back(to_class(0.5), 180, 181)
    assert [(t.severity, t.is_over) for t in turns] == [("watch", False), ("watch", True)]


def test_in_the_first_week_only_a_major_shift_pages():
    assert {t.severity for t in told(CONFIDENCE, 110, lower(0.6), 100)} == {"watch"}
    (major,) = pages(told(CONFIDENCE, 110, lower(1.5), 100))
    assert major.severity == "major"


def test_a_group_of_which_devices_are_missing_pages_nobody():
    half = replace(CLASSES, points=CLASSES.points * 2)
    rng, known = np.random.default_rng(SEED), Distributions(POLICY)
    known.grow(np.array([True]))
    turns = []
    for hour in range(200):
        is_late = hour >= 180
        shares = CLASSES.law(rng, 1, hour, {})
        drawn = points_of(rng, CLASSES if is_late else half, to_class(0.4 * is_late)(shares))
        turns += known.observe(hour_of(drawn, CLASSES.levels, hour))
    assert [t.severity for t in turns] == ["watch"]
    assert finding(turns[0], "predicted_class").coverage == pytest.approx(0.5, abs=0.1)


def test_a_daily_season_hides_a_shift_from_hours_but_not_from_days():
    kind = CALM["confidence, daily swing of 1 sigma"]
    (page,) = pages(told(kind, WEEK_HOURS + 48, lower(1.0), WEEK_HOURS))
    assert page.block_ms == DAY_MS
    assert hour_number(page) <= WEEK_HOURS + 24


def test_a_metric_that_never_changes_and_one_with_few_points_say_nothing():
    constant = replace(CONFIDENCE, levels=np.full(len(CONFIDENCE.levels), 0.9))
    assert told(constant, WEEK_HOURS + 24) == []
    rare = replace(CLASSES, points=2)
    assert told(rare, WEEK_HOURS, to_class(0.9), WEEK_HOURS - 12) == []


def test_a_finding_of_confidence_says_before_and_after_and_from_how_much():
    turn = told(CONFIDENCE, 184, lower(1.0), 180)[-1]
    found = finding(turn, "prediction_confidence_ratio")
    assert (found.detector, found.state, found.direction) == ("psi", State.FIRING, "down")
    assert found.psi == turn.psi > 0.5
    assert found.shift_sigma == pytest.approx(-1.1, abs=0.4)
    assert abs(found.shift_sigma) - 0.1 <= found.w1_sigma
    before, after = found.before, found.after
    assert before.count == pytest.approx(24 * 600, rel=0.02)
    assert after.count == pytest.approx(600, rel=0.2)
    assert after.p05 < before.p05
    assert after.p50 < before.p50
    assert sum(before.counts) == before.count
    assert sum(after.counts) == after.count
    assert list(before.edges) == sorted(set(before.edges))
    assert len(before.edges) == len(before.counts) + 1 == len(after.counts) + 1
    assert found.baseline.window_count == 24
    assert (found.baseline.from_ms, found.baseline.until_ms) == (START_MS, START_MS + DAY_MS)
    assert "acme/group/g/prediction_confidence_ratio/g/v1/" in found.baseline.baseline_id
    assert found.log10_e >= 8
    assert "600 points" in found.reason.replace(f"{after.count}", "600")
    assert "low confidence" in found.suggested_action


def test_a_finding_of_classes_names_the_class_that_moved_most():
    (found,) = [finding(t, "predicted_class") for t in told(CLASSES, 182, to_class(0.3), 180)][:1]
    assert found.reason.startswith("class 8 1.")
    assert "% of points (PSI" in found.reason
    assert found.shift_sigma is None
    assert found.direction == ""
    assert found.before.mean is None, "names have no mean"
    assert found.before.edges == (0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5)
    assert sum(found.after.counts) == found.after.count
    page = page_of(found)
    assert "is distributed differently since" in page
    assert "class 8 1." in page
    assert "points whose value is" in page


def test_what_is_accepted_ends_its_incident_and_is_learned_anew():
    subject = Subject("group", "g", "predicted_class")
    rng = np.random.default_rng(SEED)
    rows = [
        row(subject, START_MS + n * HOUR_MS, values_of(rng, subject, 80, odd=n >= 60), HOUR_MS)
        for n in range(70)
    ]
    member = small_member()
    assert [f.severity.does_page for f in said(member, [rows])] == [False, True]
    scope = {"tenant_id": "acme", "deployment_group": "g"}
    event = parse_control({"type": "accept_new_normal", "metric": subject.metric, "scope": scope})
    (ended,) = member.accept([event], START_MS + 71 * HOUR_MS)
    assert (ended.state, ended.reason) == (State.RESOLVED, "accepted_new_normal")
    assert member.distributions.table["category_count"].tolist() == [0]
    assert len(member.distributions.cells) == 0
    assert member.accept([event], START_MS + 72 * HOUR_MS) == []


def before_the_cut() -> tuple[DistributionMember, list]:
    """Return the member whose bytes are the fixture, and the windows that come after."""
    rng, rows = np.random.default_rng(SEED), []
    for number in range(WEEK_HOURS + 12):
        for metric in ("predicted_class", "prediction_confidence_ratio"):
            subject, is_odd = Subject("group", "g", metric), number >= WEEK_HOURS + 6
            values = values_of(rng, subject, 300, odd=is_odd)
            rows.append(row(subject, START_MS + number * HOUR_MS, values, HOUR_MS))
    member = DistributionMember()
    cut = 2 * (WEEK_HOURS + 7)
    member.observe(frame(rows[:cut]), 0)
    return member, rows[cut:]


def test_a_state_of_the_first_release_restores_and_goes_on():
    packed = STORED.read_bytes()
    member = DistributionMember.from_bytes(packed)
    assert member.to_bytes() == packed
    _, rest = before_the_cut()
    found = said(member, [rest])
    assert {f.metric for f in found if f.notify} == {
        "predicted_class",
        "prediction_confidence_ratio",
    }
