"""Complete windows: a function of the log alone, and what the slow and obvious way says."""

import random
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from tests.oracle.complete_oracle import Row, complete_windows
from tests.window_logs import (
    BEGIN_MS,
    LASTS_MS,
    MINUTE_MS,
    POLICY,
    frame_of,
    left_windows,
    random_blocks,
    random_rows,
    restored,
)
from udfs.drift.complete_bytes import windows_from_bytes, windows_to_bytes
from udfs.drift.complete_windows import CompleteWindows
from udfs.state_bytes import StateLayoutError, pack_state

UNTIL_MS = BEGIN_MS + LASTS_MS + 60 * MINUTE_MS
STATE = Path(__file__).parent.parent / "fixtures" / "state" / "open_windows_v1.bin"


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_windows_leave_as_the_oracle_says_however_the_log_is_cut_read_and_restored(
    seed: int,
    is_restarted: bool,  # noqa: FBT001 - drawn
) -> None:
    note(f"seed {seed}")
    rows, chance = random_rows(seed), random.Random(seed)
    windows, found = CompleteWindows(), []
    for block, clock_ms in random_blocks(rows, chance, 30):
        windows.take(frame_of(block))
        found += left_windows(windows, clock_ms)
        if is_restarted and chance.random() < 0.5:
            windows = restored(windows)
    found += left_windows(windows, UNTIL_MS)
    expected = complete_windows(rows, UNTIL_MS)
    assert found == expected.done
    assert (windows.late_count, windows.refused_count) == (
        len(expected.late),
        expected.refused_count,
    )


def test_the_random_logs_have_late_refused_and_merged_rows() -> None:
    found = [complete_windows(random_rows(seed), UNTIL_MS) for seed in range(4)]
    assert all(each.late and each.refused_count and len(each.done) > 100 for each in found)
    assert all(len(each.done) + len(each.late) < 280 for each in found)


def a_row(minute: float, window: int, subject: str = "d0", **changes: object) -> Row:
    """Return one point of value 1, in the window of 5 min that begins at a minute."""
    usual = Row(
        BEGIN_MS + int(minute * MINUTE_MS), "t0", "device", subject, "temp", "g", "m",
        BEGIN_MS + window * MINUTE_MS, 5 * MINUTE_MS, 1, 2**50, 1.0, 1.0, 0, (),
    )  # fmt: skip
    return usual._replace(**changes)


def leaving(rows: list[Row], until: float) -> list[tuple[float, str, int, int]]:
    """Return minute of leaving, subject, minute of the window and count."""
    windows = CompleteWindows()
    windows.take(frame_of(rows))
    found = left_windows(windows, BEGIN_MS + int(until * MINUTE_MS))
    return [
        (minute_of(each.step_ms), each.subject, int(minute_of(each.start_ms)), each.count)
        for each in found
    ]


def minute_of(time_ms: int) -> float:
    return (time_ms - BEGIN_MS) / MINUTE_MS


# d0   0 1 2 .. 5.2 |5.5          d1   0 ............................. |15.0
def test_a_window_leaves_when_its_device_goes_on_or_10_min_after_its_end() -> None:
    rows = [a_row(0.1, 0), a_row(2, 0), a_row(1, 0, "d1"), a_row(5.2, 5)]
    assert leaving(rows, 15) == [(5.5, "d0", 0, 2), (15.0, "d1", 0, 1)]
    assert leaving(rows, 14.9) == [(5.5, "d0", 0, 2)]


def test_a_group_leaves_by_the_clock_alone() -> None:
    changes = {"scope": "group", "window_ms": MINUTE_MS}
    rows = [a_row(0.1, 0, "g", **changes), a_row(1.2, 1, "g", **changes)]
    assert leaving(rows, 20) == [(11.0, "g", 0, 1), (12.0, "g", 1, 1)]


# 12:40 a device is back: eight windows of the last 40 min in any order, in one step
def test_a_backlog_that_comes_within_a_step_leaves_in_order_and_whole() -> None:
    rows = [a_row(0, 0)] + [a_row(40 + n / 100, 35 - 5 * n) for n in range(7)] + [a_row(40.2, 40)]
    assert [each[2] for each in leaving(rows, 45)] == [0, 5, 10, 15, 20, 25, 30, 35]


def test_what_comes_after_its_window_has_left_is_counted_and_changes_nothing() -> None:
    windows = CompleteWindows()
    windows.take(frame_of([a_row(0, 0), a_row(5.1, 5)]))
    assert len(left_windows(windows, BEGIN_MS + 6 * MINUTE_MS)) == 1
    windows.take(frame_of([a_row(6.1, 0), a_row(6.1, 0), a_row(6.7, 0)]))
    assert left_windows(windows, BEGIN_MS + 8 * MINUTE_MS) == []
    assert windows.late_count == 2  # of two steps


def test_a_clock_a_year_ahead_leaves_nothing_behind() -> None:
    year_ms = 365 * 1440 * MINUTE_MS
    windows = CompleteWindows()
    windows.take(frame_of([a_row(0, 0), a_row(0, 0, start_ms=BEGIN_MS + year_ms)]))
    assert windows.next_step(BEGIN_MS, POLICY) is None
    windows.take(frame_of([a_row(0, 0, time_ms=BEGIN_MS + year_ms) for _ in range(1_000)]))
    assert len(left_windows(windows, BEGIN_MS + year_ms)) == 1
    windows.absorb(POLICY)
    assert (len(windows.open), len(windows.waiting), windows.refused_count) == (0, 0, 1_001)


def test_what_is_over_for_a_week_takes_no_room() -> None:
    windows = CompleteWindows()
    windows.take(frame_of([a_row(0, 0, f"d{n}") for n in range(50)]))
    left_windows(windows, BEGIN_MS + 60 * MINUTE_MS)
    assert len(windows.series) == len(windows.subjects) == 50
    later = 8 * 1440
    windows.take(frame_of([a_row(later, later, "new", metric="other")]))
    left_windows(windows, BEGIN_MS + (later + 60) * MINUTE_MS)
    assert len(windows.series) == len(windows.subjects) == 1
    assert len(windows.kinds) <= 2


def test_a_state_of_the_first_release_restores_and_goes_on() -> None:
    windows = windows_from_bytes(STATE.read_bytes())
    whole = CompleteWindows()
    whole.take(frame_of(random_rows(7)))
    half_ms = BEGIN_MS + LASTS_MS // 2
    before = left_windows(whole, half_ms)
    assert before
    assert left_windows(windows, UNTIL_MS) == left_windows(whole, UNTIL_MS)


def test_state_of_an_unknown_version_is_refused() -> None:
    with pytest.raises(StateLayoutError, match="version 99"):
        windows_from_bytes(pack_state(99, {}, {}))


def many(window: int) -> pl.DataFrame:
    """Return a window of 500 devices with 8 metrics."""
    return frame_of([a_row(0, window, f"d{n % 500}", metric=f"m{n // 500}") for n in range(4_000)])


def test_an_open_window_of_a_device_takes_at_most_80_bytes() -> None:
    windows = CompleteWindows()
    windows.take(many(0))
    before = len(windows_to_bytes(windows, POLICY))
    windows.take(many(5))
    more = len(windows_to_bytes(windows, POLICY)) - before
    assert more / 4_000 < 80  # of which 8 for the step at which it counts
