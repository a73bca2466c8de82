"""Mutes, maintenance and acknowledgements of threshold breaches (C6, C11, C13), as of the log."""

import random
from typing import Any

import polars as pl
from hypothesis import given, note, settings
from hypothesis import strategies as st

from schemas.control import control_fields, parse_control
from schemas.control_records import CONTROL_SCHEMA
from tests.alert_logs import TENANT, Event, at, clock_of
from tests.threshold_logs import ThresholdLog, rule
from udfs.threshold_notices import ThresholdNotices

UNTIL_MS = at("13:30:00")
MINUTE_MS = 60_000


# 12:00 hot 12:10 good | windows of 5 min: fires 12:05, judged 12:06; ends 12:10, judged 12:16
def a_breach() -> list[Event]:
    log = ThresholdLog().rule(rule(severity="critical"))
    for minute in range(40):
        time_ms = at("12:00:30") + minute * MINUTE_MS
        log.batch("d", time_ms, [(time_ms, 90.0 if minute < 10 else 60.0)], group="edge")
    return log.events(UNTIL_MS)


def controls(*said: tuple[str, dict[str, Any]]) -> pl.DataFrame:
    rows = [
        (
            at(when),
            offset,
            pl.Series([control_fields(parse_control(fields))]).struct.json_encode()[0],
        )
        for offset, (when, fields) in enumerate(said)
    ]
    return pl.DataFrame(rows, schema=CONTROL_SCHEMA, orient="row")


def span(kind: str, begin: str, end: str, **narrow: str) -> dict[str, Any]:
    scope = {"tenant_id": TENANT} | narrow
    return {"type": kind, "scope": scope, "from": at(begin), "until": at(end)}


def story(*said: tuple[str, dict[str, Any]]) -> list[tuple[Any, ...]]:
    notices = ThresholdNotices()
    notices.announce(controls(*said))
    return [
        (clock_of(e["input_clock"]), e["seq"], e["status"], e["reason"], e["notify"],
         e["suppressed_by"])
        for e in notices.pass_on(a_breach(), UNTIL_MS)
    ]  # fmt: skip


FIRED, ENDED = a_breach()
FIRED_AT, ENDED_AT = clock_of(FIRED["input_clock"]), clock_of(ENDED["input_clock"])


def test_without_a_word_of_operators_events_are_as_they_were() -> None:
    assert ThresholdNotices().pass_on([FIRED, ENDED], UNTIL_MS) == [FIRED, ENDED]


def test_a_breach_that_is_muted_to_its_end_is_told_to_nobody_and_neither_is_its_end() -> None:
    assert story(("11:50:00", span("mute", "12:00:00", "12:30:00", device_id="d"))) == [
        (FIRED_AT, 1, "firing", None, False, ["mute"]),
        (ENDED_AT, 2, "resolved", None, False, ["mute"]),
    ]


def test_when_a_mute_ends_what_still_fires_is_told_once_and_later_events_are_numbered_on() -> None:
    assert story(("11:50:00", span("mute", "12:00:00", "12:08:00"))) == [
        (FIRED_AT, 1, "firing", None, False, ["mute"]),
        ("12:08:00", 2, "firing", "mute_ended", True, []),
        (ENDED_AT, 3, "resolved", None, True, []),
    ]


def test_case_50_the_end_of_what_was_told_is_told_although_muted_by_then() -> None:
    told = story(("12:07:00", span("mute", "12:07:00", "12:30:00")))
    assert told == [
        (FIRED_AT, 1, "firing", None, True, []),
        (ENDED_AT, 2, "resolved", None, True, []),
    ]


def test_maintenance_hides_and_what_outlasts_it_is_told() -> None:
    planned = span("maintenance", "12:00:00", "12:09:00", deployment_group="edge")
    assert story(("11:50:00", planned)) == [
        (FIRED_AT, 1, "firing", None, False, ["maintenance"]),
        ("12:09:00", 2, "firing", "maintenance_ended", True, []),
        (ENDED_AT, 3, "resolved", None, True, []),
    ]


def test_what_two_hide_is_told_when_the_second_ends() -> None:
    muted = ("11:50:00", span("mute", "12:00:00", "12:07:00"))
    planned = ("11:51:00", span("maintenance", "12:00:00", "12:09:00"))
    assert story(muted, planned)[1] == ("12:09:00", 2, "firing", "mute_ended", True, [])


def test_a_mute_that_is_cut_short_ends_where_it_was_cut() -> None:
    muted = ("11:50:00", span("mute", "12:00:00", "12:30:00"))
    cut = ("12:08:00", span("mute", "12:07:59", "12:08:00"))
    assert story(muted, cut)[1] == ("12:08:00", 2, "firing", "mute_ended", True, [])


def test_a_mute_of_others_hides_nothing() -> None:
    others = [
        ("11:50:00", span("mute", "12:00:00", "12:30:00", device_id="other")),
        ("11:51:00", span("mute", "12:00:00", "12:30:00") | {"scope": {"tenant_id": "beta"}}),
    ]
    assert [told for *_, told, _ in story(*others)] == [True, True]


def test_an_acknowledged_episode_says_so_and_is_resolved_for_all() -> None:
    ack = {"type": "ack", "episode_id": FIRED["episode_id"]}
    notices = ThresholdNotices()
    notices.announce(controls(("12:07:00", ack)))
    events = notices.pass_on([FIRED, ENDED], UNTIL_MS)
    assert [(e["acked"], e["notify"]) for e in events] == [(False, True), (True, True)]
    again = FIRED | {"seq": 3, "input_clock": at("12:08:00"), "reason": "late_data_correction"}
    notices = ThresholdNotices()
    notices.announce(controls(("12:07:00", ack)))
    (told,) = notices.pass_on([again], UNTIL_MS)
    assert (told["acked"], told["notify"], told["suppressed_by"]) == (True, False, ["ack"])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_what_is_told_depends_on_no_cut_or_restart(seed: int) -> None:
    note(f"seed {seed}")
    chance = random.Random(seed)

    def clock(minute: int) -> str:
        return str(clock_of(at("11:55:00") + minute * MINUTE_MS))

    said = []
    for minute in sorted(chance.sample(range(30), 4)):
        begin, length = chance.randrange(minute, 40), chance.randrange(1, 15)
        kind = chance.choice(["mute", "maintenance"])
        said.append((clock(minute), span(kind, clock(begin), clock(begin + length))))
    whole = ThresholdNotices()
    whole.announce(controls(*said))
    expected = whole.pass_on([FIRED, ENDED], UNTIL_MS)
    cut, found = ThresholdNotices(), []
    ends = sorted({*(at("11:50:00") + 1_000 * chance.randrange(3_600) for _ in range(8)), UNTIL_MS})
    begin_ms = 0
    for end_ms in ends:
        cut.announce(controls(*(each for each in said if begin_ms <= at(each[0]) < end_ms)))
        events = [e for e in (FIRED, ENDED) if begin_ms <= e["input_clock"] < end_ms]
        found += cut.pass_on(events, end_ms)
        cut = ThresholdNotices.from_values(cut.to_values())
        begin_ms = end_ms
    assert found == expected
    assert len({e["id"] for e in found}) == len(found)
