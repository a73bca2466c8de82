"""A rule about silence and the registry both change while a device's partition is blind (C8)."""

from typing import Any

import pytest

from jobs.backtest_log import LineType, LogLine
from tests.alert_logs import TENANT, Event
from tests.alert_reference import comparable, reference_events
from tests.strategies import NOON_MS
from tests.unit.test_liveness_laws import run_in_blocks

DEVICE = {"tenant_id": TENANT, "device_id": "d"}


def line(at_s: float, type_: LineType, partition: int = 0, **fields: Any) -> LogLine:
    return LogLine(NOON_MS + round(at_s * 1000), type_, partition, fields)


def registered(at_s: float, **record: Any) -> LogLine:
    return line(at_s, LineType.DEVICE, record=DEVICE | {"status": "active"} | record)


def rule(at_s: float, scope: dict[str, str], **after: int) -> LogLine:
    said = {"type": "rule", "rule_id": str(after), "scope": {"tenant_id": TENANT} | scope}
    return line(at_s, LineType.CONTROL, event=said | after)


def ticks(partition: int, from_s: int, until_s: int) -> list[LogLine]:
    return [line(s, LineType.TICK, partition) for s in range(from_s, until_s, 25)]


def told(lines: list[LogLine], cuts: list[int]) -> list[Event]:
    """Return the events of devices, which are those of the reference, however it is cut."""
    lines = sorted(lines, key=lambda each: each.at_ms)
    events = [e for e in run_in_blocks(lines, cuts, 1) if e["subject"] == "device/d"]
    expected = [like for like in reference_events(lines) if "counts" not in like]
    assert [comparable(e, like) for e, like in zip(events, expected, strict=True)] == expected
    return events


EVERY_LINE = list(range(1, 130))


@pytest.mark.parametrize("cuts", [[], EVERY_LINE])
def test_the_registry_takes_an_alert_back_before_a_rule_of_the_same_blind_time(cuts):
    """It is known at once who is on site s; of whom nobody hears, the rule of g waits.

    p0  d at 10 s | warning 310 s, critical 1810 s | 2000 s ...... blind ...... 3000 s
                                                       rule of g  2100 s
                                                       rule of s  2200 s
                                                       d is on s  2300 s: taken back at 2300 s
    """
    lines = [
        registered(-1, report_interval_s=60),
        line(10.001, LineType.CONTACT, **DEVICE, deployment_group="g"),
        rule(2100.5, {"deployment_group": "g"}, critical_after_s=2400),
        rule(2200.5, {"site": "s"}, warning_after_s=2400, critical_after_s=3000),
        registered(2300.5, report_interval_s=60, site="s"),
        *ticks(0, 0, 2001),
        *ticks(0, 3000, 3040),
    ]
    events = told(lines, cuts)
    assert [e["reason"] for e in events] == [None, None, "rule_changed"]
    assert events[-1]["time"] == NOON_MS + 2_300_500
    # Heard last at 2000 s.
    assert events[-1]["blind_seconds"] == 300.5


@pytest.mark.parametrize("cuts", [[], EVERY_LINE])
def test_of_two_changes_while_blind_the_second_makes_nobody_offline(cuts):
    """The first takes a critical back; the rule's warning was overdue before the silence.

    p0  d at 10 s | warning 310 s, critical 1810 s | 2000 s ............ blind .............
    p1                                 tick each 25 s
    registry                                         on s 2200 s: taken back | maintenance 2300 s
    """
    lines = [
        registered(-1, report_interval_s=60),
        line(10.001, LineType.CONTACT, **DEVICE),
        rule(2100.5, {"site": "s"}, warning_after_s=650, critical_after_s=3000),
        registered(2200.5, report_interval_s=60, site="s"),
        registered(2300.5, report_interval_s=60, site="s", status="maintenance"),
        *ticks(0, 0, 2001),
        *ticks(1, 2000, 2500),
    ]
    events = told(lines, cuts)
    assert [e["reason"] for e in events] == [None, None, "rule_changed"]
    assert [e["blind_seconds"] for e in events] == [0, 0, 200.5]


@pytest.mark.xfail(strict=True, reason="who moves while a record of the registry waits: cuts count")
def test_a_change_before_a_move_away_from_blindness_is_told_alike_however_the_log_is_cut():
    """The record falls on the clock of the partition that comes next, or of the one before.

    p0  d at 100 s | 500 s ..... blind ..... 1500 s
    p1                                 d at 700 s
    registry    every hour 1 s | every minute 600 s
    """
    lines = [
        registered(1.001, report_interval_s=3600),
        line(100.001, LineType.CONTACT, **DEVICE),
        registered(600.001, report_interval_s=60),
        line(700.003, LineType.CONTACT, 1, **DEVICE),
        *ticks(0, 0, 501),
        *ticks(0, 1500, 2000),
        *ticks(1, 0, 2000),
    ]
    lines.sort(key=lambda each: each.at_ms)
    found = [
        [e["time"] for e in run_in_blocks(lines, cuts, 1) if e["subject"] == "device/d"]
        for cuts in ([], EVERY_LINE)
    ]
    assert found[0] == found[1]
