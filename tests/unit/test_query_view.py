"""Answers as tables: nothing that matters is cut at 80 columns."""

import json
import re
from datetime import UTC, datetime

import polars as pl
import pytest
from rich.console import Console

from jobs.query_answers import Answer
from jobs.query_view import OutputFormat, answer_table, answer_view, print_answer

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
LATER = datetime(2026, 11, 23, 0, 0, 1, tzinfo=UTC)


def drawn(frame: pl.DataFrame, width: int = 80) -> str:
    return shown(answer_table(frame, width), width)


def shown(content, width: int = 80) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(content)
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
    assert "1 row, times are of 2026-11-22 UTC" in text
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


def test_the_heading_of_a_time_says_utc():
    heading = drawn(pl.DataFrame({"at": [NOON, LATER], "window_start": [NOON, LATER]})).splitlines()
    assert heading[0].split() == ["at", "UTC", "window_start", "UTC"]


ANSWER = Answer(
    pl.DataFrame(
        {
            "window_start": [NOON, NOON],
            "tenant_id": ["acme", "acme"],
            "metric": ["power_w", "heat_c"],
            "open_s": [303.0, None],
            "disk_bytes": [2048, 0],
            "points_per_s": [3.5, 4.5],
            "p99": [1.0, 2.0],
        }
    ),
    said=("hours, 10:00 to 12:00 UTC",),
    once=frozenset({"tenant_id", "metric"}),
    spare=("p99", "points_per_s"),
)


def test_an_answer_says_once_what_is_the_same_in_all_rows_and_writes_units():
    text = shown(answer_view(ANSWER, 80))
    heading, rows = re.split("─+\n", text)
    assert "tenant: acme" in rows
    assert "tenant" not in heading
    assert {"metric", "UTC", "open", "disk"} <= set(heading.split())
    assert rows.splitlines()[0].split() == [
        "12:00:00",
        "power_w",
        "5m",
        "03s",
        "2.00",
        "KiB",
        "3.5",
        "1",
    ]
    assert text.rstrip().endswith("hours, 10:00 to 12:00 UTC")


@pytest.mark.parametrize(
    ("width", "left_out"), [(80, ""), (42, "left out to fit: p99;"), (38, "p99, points_per_s;")]
)
def test_a_narrow_terminal_leaves_out_spare_columns_and_says_which(width, left_out):
    text = " ".join(shown(answer_view(ANSWER, width), width).split())
    assert left_out in text
    assert ("left out" in text) == bool(left_out)
    assert "…" not in text


def test_an_empty_answer_is_its_sentences_and_no_table():
    empty = Answer(ANSWER.frame.clear(), ("no window of device x\x1b[2J", "near it: y"))
    assert shown(answer_view(empty, 80)).splitlines() == [
        "no window of device x\\x1b[2J",
        "near it: y",
    ]


@pytest.mark.parametrize("output", [OutputFormat.JSON, OutputFormat.CSV])
def test_a_program_gets_rows_alone_and_the_sentences_on_the_error_output(output, capsys):
    print_answer(ANSWER, output, ["device", "d"])
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    rows = [json.loads(line) for line in lines] if output is OutputFormat.JSON else lines[1:]
    assert len(rows) == 2
    assert "hours" not in printed.out
    assert printed.err == "fleetpulse: hours, 10:00 to 12:00 UTC\n"


def test_a_picture_shows_what_was_typed_and_what_is_said(capsys):
    print_answer(ANSWER, OutputFormat.SVG, ["device", "d 1"])
    picture = capsys.readouterr().out.replace("&#160;", " ")
    assert "fleetpulse query device &quot;d 1&quot;" in picture
    assert "hours, 10:00 to 12:00 UTC" in picture
