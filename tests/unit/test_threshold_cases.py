"""Threshold rules on hand-written logs: the contract's cases 10, 11, 12, and 34 by analogy.

In the time lines: | = edges of windows of 5 min, b = in breach, g = good, F R = firing, resolved.
"""

from typing import Any

import pytest

from schemas.control import ThresholdRule
from tests.alert_logs import at
from tests.threshold_logs import Batch, ThresholdLog, rule, told

LATE = "late_data_correction"


def log_with(**fields: Any) -> ThresholdLog:
    return ThresholdLog().rule(rule(**fields))


def windows(log: ThresholdLog, *values: float | None, first: str = "12:00:00") -> ThresholdLog:
    """Write one point a window of 5 min, sent as it is measured; None leaves a window out."""
    for number, value in enumerate(values):
        time_ms = at(first) + number * 300_000 + 60_000
        if value is not None:
            log.batch("d", time_ms, [(time_ms, value)])
    return log


#  | b                | g                   arrives 12:40, normal at 12:16
#  12:10              12:15
def test_case_10_an_old_breach_that_is_over_is_one_resolved_event_that_notifies_nobody() -> None:
    log = log_with().batch("d", "12:40:00", [("12:10:00", 90), ("12:14:59", 95), ("12:16:00", 60)])
    (event,) = log.events("14:00:00")
    assert told([event]) == [("resolved", "12:10:00", "12:15:00", None)]
    assert (event["backfilled"], event["notify"], event["seq"]) == (True, False, 1)
    assert event["value"] == 92.5


def test_case_10_an_old_breach_that_lasts_fires_once_with_its_true_start() -> None:
    log = log_with().batch("d", "12:40:00", [("12:10:00", 90), ("12:14:00", 90), ("12:16:00", 90)])
    (event,) = log.events("14:00:00")
    assert told([event]) == [("firing", "12:10:00", None, None)]
    assert (event["backfilled"], event["notify"]) == (True, True)
    assert event["input_clock"] == at("12:40:00")


def test_case_10_a_breach_just_15_min_old_is_not_old() -> None:
    said = [("12:10:00", 90), ("12:15:00", 90)]
    assert log_with().batch("d", "12:30:00", said).events("12:35:00")[0]["backfilled"] is False
    assert log_with().batch("d", "12:30:01", said).events("12:35:00")[0]["backfilled"] is True


#  | 81               | ...       12:07: a late 77 makes it 79
#  12:00              12:05 F     R
def test_case_11_late_data_that_takes_a_breach_back_resolves_it() -> None:
    log = log_with().batch("d", "12:04:00", [("12:03:00", 81)])
    log.batch("d", "12:05:10", [("12:05:08", 81)]).batch("d", "12:07:00", [("12:04:00", 77)])
    fired, resolved = log.events("12:08:00")
    assert told([fired, resolved]) == [
        ("firing", "12:00:00", None, None),
        ("resolved", "12:00:00", "12:07:00", LATE),
    ]
    assert (fired["value"], resolved["value"]) == (81, 79)
    assert fired["input_clock"] == at("12:05:10")
    assert fired["episode_id"] == resolved["episode_id"]
    assert (fired["notify"], resolved["notify"]) == (True, True)


def test_case_11_late_data_that_makes_a_breach_fires() -> None:
    log = log_with().batch("d", "12:04:00", [("12:03:00", 70)])
    log.batch("d", "12:05:10", [("12:05:08", 90)]).batch("d", "12:07:00", [("12:04:00", 95)])
    assert told(log.events("12:08:00")) == [("firing", "12:00:00", None, None)]


def test_case_11_a_breach_that_had_ended_is_taken_back_by_an_info_and_may_come_again() -> None:
    log = windows(log_with(), 81, 70, 70)
    log.batch("d", "12:13:00", [("12:04:00", 77)]).batch("d", "12:14:00", [("12:04:10", 99)])
    events = log.events("12:14:30")
    assert told(events) == [
        ("firing", "12:00:00", None, None),
        ("resolved", "12:00:00", "12:05:00", None),
        ("info", "12:00:00", "12:05:00", LATE),
        ("resolved", "12:00:00", "12:05:00", LATE),
    ]
    assert [event["seq"] for event in events] == [1, 2, 3, 4]
    assert [event["notify"] for event in events] == [True, True, False, False]


def test_case_11_a_window_changes_no_more_when_nothing_came_for_30_min() -> None:
    log = windows(log_with(), 81, 81, 81, 81, 81, 81, 81, 81)
    kept = log.batch("d", "12:35:00", [("12:04:00", 20)])
    assert len(kept.events("12:40:00")) == 1, "the breach goes on with its next window"
    late = windows(log_with(), 81, 70, 70, 70, 70, 70, 70, 70)
    late.batch("d", "12:35:01", [("12:04:00", 20)])
    assert [event["reason"] for event in late.events("12:40:00")] == [None, None]


#  | b | g | b | g | b | g | b | g |        all in one batch at 14:00
def test_case_12_four_breaches_in_one_batch_come_in_the_order_of_their_times() -> None:
    clocks = ["12:21:00", "12:01:00", "12:31:00", "12:11:00"]
    good = ["12:06:00", "12:36:00", "12:16:00", "12:26:00"]
    said = [(clock, 90.0) for clock in clocks] + [(clock, 20.0) for clock in good]
    events = log_with().batch("d", "14:00:00", said).events("14:30:00")
    assert told(events) == [
        ("resolved", "12:00:00", "12:05:00", None),
        ("resolved", "12:10:00", "12:15:00", None),
        ("resolved", "12:20:00", "12:25:00", None),
        ("resolved", "12:30:00", "12:35:00", None),
    ]
    assert len({event["episode_id"] for event in events}) == 4


def test_case_12_breaches_of_four_metrics_in_one_batch_come_in_the_order_of_their_times() -> None:
    log, points = ThresholdLog(), []
    for number, metric in enumerate("dacb"):
        log.rule(rule(metric, metric=metric))
        points.append((metric, at("12:01:00") + number * 300_000, 90.0))
    log.add(Batch(at("12:21:00"), "d", (*points, ("x", at("12:20:00"), 0.0))))
    events = log.events("12:22:00")
    assert [event["labels"]["rule_id"] for event in events] == ["d", "a", "c", "b"]
    assert [event["status"] for event in events] == ["firing"] * 4


#  | b         12:06 new limit    | b             | b
#  12:00    12:05 F  R            12:10           12:15 F
def test_case_34_a_new_threshold_resolves_what_fires_and_judges_later_windows() -> None:
    log = windows(log_with().rule(rule(threshold=85.0), "12:06:30"), 90, 90, 90, 90)
    log.rule(rule("other"))
    events = log.events("12:17:00")
    of_rule = [event for event in events if event["labels"]["rule_id"] == "hot"]
    assert told(of_rule) == [
        ("firing", "12:00:00", None, None),
        ("resolved", "12:00:00", "12:06:30", "rule_changed"),
        ("firing", "12:10:00", None, None),
    ]
    assert of_rule[0]["episode_id"] != of_rule[2]["episode_id"]
    other = [event for event in events if event["labels"]["rule_id"] == "other"]
    assert told(other) == [("firing", "12:00:00", None, None)]


@pytest.mark.parametrize("change", [rule(enabled=False), None])
def test_case_34_a_rule_that_is_disabled_or_deleted_resolves_and_says_no_more(
    change: ThresholdRule | None,
) -> None:
    log = log_with()
    log = log.delete("hot", "12:08:00") if change is None else log.rule(change, "12:08:00")
    assert told(windows(log, 90, 90, 90).events("13:00:00")) == [
        ("firing", "12:00:00", None, None),
        ("resolved", "12:00:00", "12:08:00", "rule_changed"),
    ]


def test_case_34_a_new_severity_or_channel_leaves_what_fires_and_its_resolve_alone() -> None:
    log = log_with().rule(rule(severity="critical", channels=["pager"]), "12:08:00")
    events = windows(log, 90, 90, 70, 90, 90).events("12:22:00")
    assert [e["status"] for e in events] == ["firing", "resolved", "firing"]
    assert [e["severity"] for e in events] == ["warning", "warning", "critical"]
    assert [e["channels"] for e in events] == [["email"], ["email"], ["pager"]]


def test_a_rule_judges_no_window_that_began_before_it_could_see_all_points() -> None:
    log = windows(ThresholdLog().rule(rule(), "12:03:01"), 90, 90, 90, 90)
    assert told(log.events("12:17:00")) == [("firing", "12:10:00", None, None)]


def test_a_window_of_a_silent_device_is_judged_10_min_after_its_end() -> None:
    log = log_with().batch("d", "12:01:00", [("12:01:00", 90)])
    assert log.events(at("12:15:00")) == []
    (event,) = log.events(at("12:15:00") + 1)
    assert event["input_clock"] == at("12:15:00")
    assert event["backfilled"] is False


def test_windows_must_breach_in_a_row_and_a_window_without_points_breaks_it() -> None:
    assert told(windows(log_with(for_windows=2), 90, None, 90, 90, 70).events("12:22:00")) == [
        ("firing", "12:10:00", None, None)
    ]
    assert windows(log_with(for_windows=2), 90, 70, 90, 70).events("12:22:00") == []


def test_a_window_without_points_ends_no_breach() -> None:
    assert told(windows(log_with(), 90, None, None, 90, 70, 70).events("12:27:00")) == [
        ("firing", "12:00:00", None, None),
        ("resolved", "12:00:00", "12:20:00", None),
    ]


def test_a_breach_ends_on_the_good_side_of_clear_threshold_alone() -> None:
    events = windows(log_with(clear_threshold=75.0), 90, 78, 75.5, 75, 70).events("12:22:00")
    assert told(events) == [
        ("firing", "12:00:00", None, None),
        ("resolved", "12:00:00", "12:15:00", None),
    ]


@pytest.mark.parametrize(
    ("scope", "is_in"),
    [
        ({"device_id": "d"}, True), ({"device_id": "e"}, False),
        ({"deployment_group": "g"}, True), ({"deployment_group": "h"}, False),
        ({"site": "s"}, True), ({"site": "t"}, False), ({}, True),
    ],
)  # fmt: skip
def test_a_rule_looks_at_its_scope_alone(scope: dict[str, str], is_in: bool) -> None:  # noqa: FBT001 - given
    log = log_with(scope={"tenant_id": "acme"} | scope)
    log.batch("d", "12:01:00", [("12:01:00", 90)], site="s")
    log.batch("d", "12:06:00", [("12:06:00", 90)], site="s")
    log.batch("d", "12:06:01", [("12:01:00", 90)], site="s", tenant_id="bree")
    assert len(log.events("12:10:00")) == is_in


def test_a_device_that_leaves_the_scope_resolves_and_fires_on_when_it_is_back() -> None:
    log = log_with(scope={"tenant_id": "acme", "deployment_group": "g"})
    for number, group in enumerate("gghhgg"):
        time_ms = at("12:01:00") + number * 300_000
        log.batch("d", time_ms, [(time_ms, 90)], group=group)
    events = log.events("12:27:00")
    assert told(events)[:2] == [
        ("firing", "12:00:00", None, None),
        ("resolved", "12:00:00", "12:11:00", "left_scope"),
    ]
    assert [event["seq"] for event in events] == [1, 2, 3]
    assert len({event["id"] for event in events}) == 3


def test_a_group_is_all_its_devices_of_all_models_and_waits_for_the_slow_ones() -> None:
    log = log_with(per="group", aggregate="sum", threshold=150.0)
    log.batch("d", "12:00:30", [("12:00:30", 90)], model="a")
    log.batch("e", "12:03:59", [("12:00:40", 90)], model="b")
    log.batch("d", "12:04:10", [("12:04:10", 0)], model="a")
    (event,) = log.events("12:10:00")
    assert (event["subject"], event["value"]) == ("group/g", 180)
    assert event["input_clock"] == at("12:04:10")


def test_a_subject_silent_for_7_days_is_forgotten_and_what_fires_resolves() -> None:
    log = windows(log_with(), 90, 90)
    events = log.events(at("12:30:00") + 7 * 86_400_000)
    assert [event["reason"] for event in events] == [None, "no_data"]
    assert events[1]["time"] == at("12:06:00") + 7 * 86_400_000
