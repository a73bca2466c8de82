"""The live view from figures alone, at a fixed width: nothing runs."""

import dataclasses

import pytest
from rich.console import Console

from jobs.live_figures import (
    AlertLine,
    FlinkFigures,
    KafkaFigures,
    PointCounts,
    ProcessFigures,
    RateMeter,
    Reading,
    Snapshot,
    StoredFigures,
)
from jobs.live_view import device_bar, live_view, status_line
from jobs.process_records import ProcessStatus
from jobs.stack_status import GroupLag

AT_MS = 1_795_366_237_243  # 16:50:37 UTC
EMERGENCY = AlertLine(AT_MS, "firing", "emergency", "tenant/demo", "100 of 998 are offline.")
CRITICAL = AlertLine(AT_MS, "firing", "critical", "device/edge-000649")
RESOLVED = AlertLine(AT_MS + 60_000, "resolved", "critical", "device/edge-000011")

FULL = Snapshot(
    title="1,000 devices",
    flink_url="http://127.0.0.1:18082",
    elapsed_s=83,
    remaining_s=37,
    stored=Reading(
        StoredFigures(
            points=PointCounts(aggregated=12_345_678, duplicate=23_150, nan=500, out_of_range=38),
            device_counts={"online": 984, "warning": 3, "critical": 11},
            open_counts={"critical": 11, "warning": 3},
            open_alerts=(CRITICAL,),
            events=(RESOLVED, CRITICAL),
            event_count=900,
        )
    ),
    kafka=Reading(KafkaFigures(264_211, (GroupLag("fleetpulse-aggregate", "telemetry", 2801),))),
    flink=Reading(FlinkFigures({"fleetpulse-aggregate": "RUNNING"})),
    processes=Reading(
        ProcessFigures(
            (
                ProcessStatus("kafka", 7, is_alive=True, rss_bytes=291 << 20, cpu_seconds=1.0),
                ProcessStatus("loader", 8, is_alive=False, rss_bytes=0, cpu_seconds=0.0),
            ),
            {"kafka": 0.25},
        )
    ),
    points_per_s=5164.4,
    messages_per_s=493.0,
)


def drawn(snapshot: Snapshot, width: int = 80, height: int = 34) -> str:
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(live_view(snapshot, height))
    return capture.get()


def with_stored(**changes) -> Snapshot:
    stored = dataclasses.replace(FULL.stored.value, **changes)
    return dataclasses.replace(FULL, stored=Reading(stored))


@pytest.mark.parametrize("width", [80, 100, 120])
def test_the_full_view_shows_every_figure_uncut_from_80_columns_on(width):
    text = drawn(FULL, width)
    for figure in (
        "1:23 running, 0:37 left",
        "12,345,678  5,164 /s",
        "23,150",
        "538",
        "264,211    493 /s",
        "2,801",
        "online       984",
        "open alerts: 14",
        "11 critical  3 warning",
        "edge-000649  16:50:37",
        "16:51:37  resolved  edge-000011",
        "kafka   alive  291   0.25",
        "loader  ended",
        "http://127.0.0.1:18082",
    ):
        assert figure in text
    assert "…" not in text


def test_every_line_of_the_view_has_the_same_width():
    widths = {len(line) for line in drawn(FULL, 100).splitlines()}
    assert widths == {100}


@pytest.mark.parametrize("height", [30, 34, 50])
def test_the_view_fills_the_terminal_and_not_one_line_more(height):
    assert len(drawn(FULL, 100, height).splitlines()) == height


def test_an_emergency_is_a_banner_with_its_time():
    text = drawn(with_stored(open_alerts=(EMERGENCY, CRITICAL)), 100)
    assert "EMERGENCY since 16:50:37  100 of 998 are offline." in text
    assert "EMERGENCY" not in drawn(FULL, 100)


def test_open_alerts_of_every_severity_stay_on_one_line_of_80_columns():
    counts = {"emergency": 1, "critical": 7, "warning": 128}
    text = drawn(with_stored(open_counts=counts))
    assert "1 emergency  7 critical  128 warning" in text


def test_a_part_that_is_away_is_named_and_its_last_figures_stay():
    away = Reading(FULL.stored.value, away="no loader listens on run/query.sock")
    text = drawn(dataclasses.replace(FULL, stored=away), 100)
    assert "ClickHouse is away, its figures are the last ones: no loader listens" in text
    assert "12,345,678" in text


def test_a_view_without_any_reading_can_be_drawn():
    text = drawn(Snapshot(title="t", flink_url="u", elapsed_s=0.0))
    assert "no device has been seen yet" in text
    assert "Ctrl-C ends it" in text


def test_a_rare_status_still_shows_in_the_bar():
    bar = device_bar([("online", 99_999), ("critical", 1)], 20)
    assert len(bar.plain) == 20
    assert str(bar.spans[-1].style) == "bold red"


def test_without_a_terminal_one_line_says_it_all():
    line = status_line(FULL)
    assert "\n" not in line
    assert line.startswith("1:23 | 5,164 points/s, 12,345,678 aggregated | 493 messages/s")
    assert line.endswith("open alerts: 14 | processes: 1 alive, ENDED: loader")


def test_the_rate_of_a_counter_that_moves_in_steps_is_measured_from_step_to_step():
    #  t 0   5    10   15        steps of 5,000 each 5 s, read each second
    meter = RateMeter(span_s=20.0)
    for second in range(18):
        meter.observe(float(second), second // 5 * 5_000)
    assert meter.per_s(now_s=17.9) == 1_000.0


def test_the_rate_is_unknown_before_the_second_step_and_zero_when_nothing_moves():
    meter = RateMeter(span_s=20.0)
    assert meter.per_s(now_s=0.0) is None
    meter.observe(0.0, 100)
    assert meter.per_s(now_s=1.0) is None
    assert meter.per_s(now_s=30.0) == 0.0


def test_a_counter_that_starts_again_gives_no_negative_rate():
    meter = RateMeter(span_s=20.0)
    for second, count in enumerate([50, 60, 1, 11]):
        meter.observe(float(second), count)
    assert meter.per_s(now_s=3.0) == 10.0
