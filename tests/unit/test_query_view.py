"""Answers as tables: nothing that matters is cut at 80 columns."""

from datetime import UTC, datetime

import polars as pl
from rich.console import Console

from jobs.query_view import answer_table

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
LATER = datetime(2026, 11, 23, 0, 0, 1, tzinfo=UTC)


def drawn(frame: pl.DataFrame, width: int = 80) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(answer_table(frame, width))
    return capture.get()


def test_a_group_window_fits_80_columns():
    frame = pl.DataFrame(
        {
            "window_start": [NOON],
            "deployment_group": ["stable-a"],
            "model_version": ["v2"],
            "metric": ["inference_latency_milliseconds"],
            "count": [12_345],
            "mean": [0.0557812],
            "p95": [42.251234],
        }
    )
    text = drawn(frame)
    assert "12:00:00" in text
    assert "inference_latency_milliseconds" in text
    assert "12,345 0.0558 42.25" in " ".join(text.split())
    assert "1 rows, times are of 2026-11-22 UTC" in text
    assert "…" not in text


def test_times_of_several_days_say_the_day_on_one_line():
    text = drawn(pl.DataFrame({"at": [NOON, LATER]}))
    assert "2026-11-22 12:00:00\n" in text
    assert "2026-11-23 00:00:01\n" in text


def test_a_long_text_takes_several_lines_and_the_other_columns_stay_whole():
    frame = pl.DataFrame({"severity": ["emergency"], "at": [NOON], "summary": ["word " * 30]})
    text = drawn(frame)
    assert "emergency" in text
    assert "12:00:00" in text
    assert text.count("word") == 30


def test_a_table_that_does_not_fit_says_where_the_rest_is():
    wide = pl.DataFrame({f"column{index}": ["x" * 20] for index in range(9)})
    assert "--format json shows what is cut" in drawn(wide)
    assert "--format json" not in drawn(wide, 300)


def test_text_that_looks_like_markup_is_shown_as_it_is():
    assert "[red]x[/]" in drawn(pl.DataFrame({"a": ["[red]x[/]"]}))


def test_numbers_are_right_aligned_and_nothing_is_no_text():
    lines = drawn(pl.DataFrame({"n": [1, 1_000, None]})).splitlines()
    assert lines[2:5] == ["    1", "1,000", "     "]


def test_an_empty_answer_has_its_columns():
    assert "name" in drawn(pl.DataFrame(schema={"name": pl.String, "at": pl.Datetime}))
