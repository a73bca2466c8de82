"""Which table answers, by the length of a stretch and by what is kept.

    points     |--1 h--|
    windows    |------ 24 h ------|                        (groups: 3 h)
    hours      |------------- 14 d -------------|
    days       |---------------------------------------->

What is finer is deleted sooner; the coarser one answers then.
"""

import pytest

from jobs.query_range import (
    DAY_MS,
    Span,
    choose_resolution,
    device_resolutions,
    group_resolutions,
)
from schemas.errors import SettingsError
from schemas.tables import HOUR_MS, MINUTE_MS

NOW_MS = 1_767_225_600_000  # 2026-01-01
DEVICE, GROUP = device_resolutions(300_000), group_resolutions(60_000)
KEPT = {"telemetry_runs": 30, "windows": 90, "windows_1h": 365, "windows_1d": 1826}
WITHOUT_POINTS = {table: days for table, days in KEPT.items() if table != "telemetry_runs"}


def chosen(resolutions, length_ms, kept=KEPT, *, until_ms=NOW_MS):
    return choose_resolution(resolutions, Span(until_ms - length_ms, until_ms), kept, NOW_MS)


@pytest.mark.parametrize(
    ("resolutions", "length_ms", "title"),
    [
        (DEVICE, MINUTE_MS, "raw points"),
        (DEVICE, HOUR_MS, "raw points"),
        (DEVICE, HOUR_MS + 1, "windows of 5m"),
        (DEVICE, DAY_MS, "windows of 5m"),
        (DEVICE, DAY_MS + 1, "hours"),
        (DEVICE, 14 * DAY_MS, "hours"),
        (DEVICE, 14 * DAY_MS + 1, "days"),
        (DEVICE, 1000 * DAY_MS, "days"),
        (GROUP, MINUTE_MS, "windows of 1m"),
        (GROUP, 3 * HOUR_MS, "windows of 1m"),
        (GROUP, 3 * HOUR_MS + 1, "hours"),
        (GROUP, 15 * DAY_MS, "days"),
    ],
)
def test_the_length_of_a_stretch_picks_the_resolution_and_nothing_more_is_said(
    resolutions, length_ms, title
):
    choice = chosen(resolutions, length_ms)
    assert (choice.resolution.title, choice.said) == (title, ())


def test_without_a_table_of_points_windows_answer_the_shortest_stretch():
    assert chosen(DEVICE, MINUTE_MS, WITHOUT_POINTS).resolution.table == "windows"


@pytest.mark.parametrize(
    ("age_days", "table", "said"),
    [
        (29, "telemetry_runs", ()),
        (31, "windows", ("raw points are kept for 30 days only",)),
        (91, "windows_1h", ("raw points are kept for 30 days only",)),
        (366, "windows_1d", ("raw points are kept for 30 days only",)),
    ],
)
def test_what_is_deleted_already_is_answered_by_what_is_kept_longer(age_days, table, said):
    choice = chosen(DEVICE, HOUR_MS, until_ms=NOW_MS - age_days * DAY_MS + HOUR_MS)
    assert (choice.resolution.table, choice.said) == (table, said)


def test_a_stretch_beyond_everything_that_is_kept_says_since_when_it_is_whole():
    choice = chosen(DEVICE, 2000 * DAY_MS)
    assert choice.resolution.table == "windows_1d"
    assert choice.said == ("what is older than 2021-01-01 00:00 UTC may be deleted already",)


def test_what_is_kept_for_ever_is_never_missing():
    for_ever = dict.fromkeys(KEPT, 0)
    choice = chosen(DEVICE, HOUR_MS, for_ever, until_ms=HOUR_MS)
    assert (choice.resolution.table, choice.said) == ("telemetry_runs", ())


def test_a_stretch_begins_with_the_row_that_its_first_instant_lies_in():
    choice = chosen(DEVICE, 2 * DAY_MS, until_ms=NOW_MS - 1)
    assert choice.span == Span(NOW_MS - 2 * DAY_MS - HOUR_MS, NOW_MS - 1)
    points = chosen(DEVICE, MINUTE_MS, until_ms=NOW_MS - 1)
    assert points.span == Span(NOW_MS - MINUTE_MS - 1, NOW_MS - 1)


@pytest.mark.parametrize("length_ms", [0, -1])
def test_a_stretch_that_ends_before_it_begins_is_refused(length_ms):
    with pytest.raises(SettingsError, match="--since"):
        chosen(DEVICE, length_ms)


def test_no_table_at_all_is_refused_with_the_cure():
    with pytest.raises(SettingsError, match="start the loader"):
        chosen(DEVICE, HOUR_MS, {})
