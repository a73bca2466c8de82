"""`fleetpulse detect`: what it reads, what it writes, and what it refuses."""

import csv
import json
from datetime import datetime, timedelta

import numpy as np
import pytest
from typer.testing import CliRunner

from jobs.cli import app
from jobs.detect import DetectRequest, run_detect
from schemas.errors import SettingsError

SEED = 20_261_123
START = datetime(2026, 1, 1)  # noqa: DTZ001 - a file's plain times are UTC


def written(folder, columns, name="observations.csv"):
    path = folder / name
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(columns)
        rows.writerows(zip(*columns.values(), strict=True))
    return path


def five_minutes(count):
    return [str(START + timedelta(minutes=5 * row)) for row in range(count)]


def detected(folder, columns, key=None, **options):
    path = written(folder, columns)
    out, scores = folder / "findings.jsonl", folder / "scores.csv"
    summary = run_detect(
        DetectRequest(path, "value", "time", key, options.get("budget", "1/10k_device_days"),
                      out, scores)
    )  # fmt: skip
    findings = [json.loads(line) for line in out.read_text().splitlines()]
    with scores.open() as file:
        return summary, findings, list(csv.DictReader(file))


def pages(findings):
    return [f for f in findings if f["notify"] and f["state"] == "firing"]


def test_a_shift_of_two_sigma_pages_within_minutes_and_names_its_first_window(tmp_path):
    random = np.random.default_rng(SEED)
    values = 50 + 3 * random.standard_normal(900)
    values[600:] += 6
    _, findings, scores = detected(tmp_path, {"time": five_minutes(900), "value": values})
    page = pages(findings)[0]
    shift_at = START + timedelta(minutes=5 * 600)
    assert page["rule"] == "drift"
    assert page["direction"] == "up"
    assert abs(datetime.fromisoformat(page["first_seen"]).replace(tzinfo=None) - shift_at) <= (
        timedelta(minutes=10)
    )
    assert datetime.fromisoformat(page["detected_at"]).replace(tzinfo=None) - shift_at <= (
        timedelta(minutes=5 * 15)
    )
    assert page["log10_e"] > 6
    # Line 1 has the names; row 600 is the first that is shifted.
    assert abs(page["first_seen_line"] - 602) <= 2
    assert 602 <= page["detected_line"] <= 617
    assert page["before"]["p50"] == pytest.approx(50, abs=1)
    assert {"key", "metric", "severity"} <= page.keys()
    assert len(scores) == 900
    assert max(float(row["score"]) for row in scores[:600]) < 1 <= float(scores[-1]["score"])


@pytest.mark.parametrize("kind", ["noise", "daily", "correlated", "rounded", "constant", "t3"])
def test_nothing_pages_while_nothing_changes(tmp_path, kind):
    random = np.random.default_rng(SEED)
    rows = np.arange(2_500)
    noise = random.standard_normal(2_500)
    correlated = noise.copy()
    for row in rows[1:]:
        correlated[row] += 0.8 * correlated[row - 1]
    values = {
        "noise": noise,
        "daily": noise + 2 * np.sin(2 * np.pi * rows / 288),
        "correlated": correlated,
        "rounded": np.round(noise),
        "constant": np.full(2_500, 5.0),
        "t3": random.standard_t(3, 2_500),
    }[kind]
    _, findings, scores = detected(tmp_path, {"time": five_minutes(2_500), "value": values})
    assert pages(findings) == []
    assert len(scores) == 2_500


def test_a_stuck_sensor_another_unit_and_nan_are_told_as_what_they_are(tmp_path):
    random = np.random.default_rng(SEED)
    clean = 20 + random.standard_normal(900)
    series = {name: clean.copy() for name in ("stuck", "unit", "nan")}
    series["stuck"][700:] = series["stuck"][700]
    series["unit"][700:] *= 1000
    series["nan"][700:800] = np.nan
    columns = {
        "time": five_minutes(900) * 3,
        "value": [value for name in series for value in series[name]],
        "who": [name for name in series for _ in range(900)],
    }
    _, findings, _ = detected(tmp_path, columns, key="who")
    first = {}
    for finding in pages(findings):
        first.setdefault(finding["key"], finding)
    assert first["stuck"]["detector"] == "stuck"
    assert first["unit"]["detector"] == "unit_change"
    assert first["nan"]["rule"] == "data-quality"


def test_too_few_rows_give_no_verdict_but_the_count_that_is_needed(tmp_path):
    summary, findings, scores = detected(
        tmp_path, {"time": five_minutes(30), "value": [1.0] * 29 + [1e6]}
    )
    (finding,) = findings
    assert finding["severity"] == "info"
    assert finding["reason"] == "insufficient_data: 30 windows with a value, 120 are needed"
    assert "too few rows" in str(summary)
    assert len(scores) == 30


def test_rows_of_many_keys_in_any_order_give_the_findings_of_each_alone(tmp_path):
    random = np.random.default_rng(SEED)
    series = {name: random.standard_normal(500) for name in "abc"}
    series["b"][350:] += 3
    rows = [
        (time, value, name)
        for name, values in series.items()
        for time, value in zip(five_minutes(500), values, strict=True)
    ]
    random.shuffle(rows)
    shuffled = dict(zip(("time", "value", "who"), zip(*rows, strict=True), strict=True))
    _, findings, _ = detected(tmp_path, shuffled, key="who")
    assert {f["key"] for f in pages(findings)} == {"b"}
    _, alone, _ = detected(tmp_path, {"time": five_minutes(500), "value": series["b"]})
    assert [f["detected_at"] for f in findings] == [f["detected_at"] for f in alone]


@pytest.mark.parametrize("times", [
    [f"{START + timedelta(minutes=5 * row):%Y-%m-%dT%H:%M:%S.%f}Z" for row in range(150)],
    [f"{START + timedelta(minutes=5 * row):%Y-%m-%dT%H:%M:%S}+00:00" for row in range(150)],
    [1_767_225_600 + 300 * row for row in range(150)],
    [(1_767_225_600 + 300 * row) * 1000 for row in range(150)],
    [f"{START + timedelta(minutes=5 * row):%m/%d/%Y %H:%M}" for row in range(150)],
    list(range(150)),
])  # fmt: skip
def test_times_are_read_however_they_are_written(tmp_path, times):
    random = np.random.default_rng(SEED)
    values = random.standard_normal(150)
    values[120:] += 30
    _, findings, _ = detected(tmp_path, {"time": times, "value": values})
    assert pages(findings)[0]["window_ms"] == 300_000


def test_a_value_that_is_no_number_is_refused_with_its_line(tmp_path):
    path = written(tmp_path, {"time": five_minutes(3), "value": ["1", "2", "hot"]})
    request = DetectRequest(path, "value", "time", None, "1/10k_device_days", tmp_path / "f")
    with pytest.raises(SettingsError, match=r"observations\.csv line 4, column value = 'hot'"):
        run_detect(request)
    assert not (tmp_path / "f").exists()


@pytest.mark.parametrize(("options", "text"), [
    (["--value", "valu"], "--value = 'valu'; allowed: time, value"),
    (["--budget", "few"], "--budget = 'few'; allowed: a number of false pages"),
    (["--input", "nowhere.csv"], "--input = 'nowhere.csv'; allowed: a file"),
])  # fmt: skip
def test_a_bad_option_gets_one_line_that_names_it(tmp_path, options, text):
    path = written(tmp_path, {"time": five_minutes(3), "value": [1, 2, 3]})
    given = {"--input": str(path), "--value": "value", "--time": "time",
             "--out": str(tmp_path / "f")}  # fmt: skip
    given |= dict([options])
    arguments = [word for pair in given.items() for word in pair]
    answer = CliRunner().invoke(app, ["detect", *arguments])
    assert text in str(answer.exception)
