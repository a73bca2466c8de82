"""What the measurement of alerts believes, and what it refuses to."""

import pytest

from benchmarks.alert_arrivals import (
    Arrival,
    latency_figures,
    require_each_once,
    require_one_emergency,
)
from benchmarks.dying_fleet import WARM_UP_S, dying_device_ids
from benchmarks.measure_alerts import missed_goals
from jobs.settings import Settings
from schemas.severity import Severity
from udfs.alerts import Rule, Status

SILENT_MS = 1_767_268_800_000
THRESHOLD_MS = 120_000
DUE_MS = SILENT_MS + THRESHOLD_MS


def warning(device_id: str, **changes) -> Arrival:
    """A device's warning: due +0, input clock +1 s, emitted +3 s, sent +3.5 s, arrived +4 s."""
    seen = Arrival(
        event_id=f"id of {device_id}",
        rule=Rule.DEVICE_OFFLINE.value,
        subject=f"device/{device_id}",
        status=Status.FIRING.value,
        severity=Severity.WARNING.value,
        is_told=True,
        monitored_count=None,
        due_ms=DUE_MS,
        silent_since_ms=SILENT_MS,
        threshold_ms=THRESHOLD_MS,
        input_clock_ms=DUE_MS + 1_000,
        emitted_ms=DUE_MS + 3_000,
        sent_ms=DUE_MS + 3_500,
        arrived_ms=DUE_MS + 4_000,
    )
    return seen._replace(**changes)


def emergency(**changes) -> Arrival:
    return warning(
        "none",
        **{
            "rule": Rule.FLEET_OFFLINE.value,
            "subject": "tenant/demo",
            "severity": Severity.EMERGENCY.value,
            "monitored_count": 10,
        }
        | changes,
    )


def test_the_parts_of_a_latency_add_up_to_the_whole():
    figures = latency_figures([warning("a")])
    *parts, whole = [part["p50_s"] for part in figures["parts"].values()]
    assert parts == [1.0, 2.0, 0.5, 0.5]
    assert whole == sum(parts) == figures["latency"]["p50_s"]


def test_one_event_of_each_device_when_it_was_due_is_believed():
    require_each_once([warning("a"), warning("b")], ["a", "b"])


@pytest.mark.parametrize(
    ("arrivals", "complaint"),
    [
        ([warning("a")], "1 devices without an event"),
        ([warning("a"), warning("b"), warning("c")], "1 false events"),
        ([warning("a"), warning("b"), warning("b", event_id="other")], "1 devices more than once"),
        ([warning("a"), warning("b", due_ms=DUE_MS + 1)], "not when due"),
        ([warning("a"), warning("b", silent_since_ms=None)], "never seen"),
    ],
)
def test_events_missing_false_doubled_or_at_another_instant_are_refused(arrivals, complaint):
    with pytest.raises(AssertionError, match=complaint):
        require_each_once(arrivals, ["a", "b"])


def test_one_emergency_with_silent_devices_after_it_is_believed():
    hushed = warning("b", due_ms=DUE_MS + 1, is_told=False)
    assert require_one_emergency([warning("a"), emergency(), hushed], 10) == emergency()


@pytest.mark.parametrize(
    ("arrivals", "complaint"),
    [
        ([warning("a")], "0 emergencies"),
        ([emergency(), emergency()], "2 emergencies"),
        ([emergency(monitored_count=9)], "9 monitored"),
        ([emergency()], "nothing came after"),
        ([emergency(), warning("b", due_ms=DUE_MS + 1)], "1 events of devices are told"),
    ],
)
def test_a_second_emergency_or_a_device_told_of_during_it_is_refused(arrivals, complaint):
    with pytest.raises(AssertionError, match=complaint):
        require_one_emergency(arrivals, 10)


def test_the_devices_that_die_are_few_and_were_all_heard_before():
    settings = Settings(fleet={"device_count": 2_000, "seed": 1})
    dying = dying_device_ids(settings, 90.0)
    assert 10 <= len(dying) <= 30
    assert settings.fleet.batch_interval_s * 1000 / 5 <= WARM_UP_S * 1000


def test_every_missed_goal_has_a_line_of_its_own():
    slow = {"latency": {"p50_s": 3.1, "p99_s": 4.0, "max_s": 11.0}}
    figures = {
        "steady": slow,
        "storm": {"warnings": slow, "criticals": slow},
        "contacts": {"contacts_per_s": 59_999},
        "outage": {"hour_computed_s": 601.0},
    }
    missed = missed_goals(figures)
    assert [line.split(":")[0] for line in missed] == [
        "steady",
        "storm",
        "storm",
        "contacts",
        "outage",
    ]
