"""`fleetpulse explain`: which finding is meant, where it is written, what is refused."""

import json

import numpy as np
import pytest
from PIL import Image, ImageColor
from typer.testing import CliRunner

from jobs.cli import app
from jobs.detect import DetectRequest, run_detect
from jobs.explain import default_out
from jobs.explain_marks import FILLS
from jobs.explain_source import from_file, from_tables
from schemas.errors import SettingsError
from schemas.finding_columns import nested_finding
from schemas.instants import format_instant
from schemas.records import schema_of
from schemas.topics import Topic
from sinks.messages import Message
from sinks.table_rows import rows_of
from tests.drift_findings import START_MS, finding
from tests.explained import SEED, shifted, write_findings
from udfs.drift.finding_messages import finding_of, finding_result
from udfs.drift.findings import Sample

BARE = finding(baseline=None, before=Sample(), after=Sample(), finding_id="b0")


@pytest.fixture
def file(tmp_path):
    findings = [
        shifted(finding_id="aa11"),
        shifted(finding_id="aa22", incident_id="i-2"),
        BARE,
        shifted(finding_id="aa11bb", tenant_id="t1"),
    ]
    return write_findings(tmp_path / "f.jsonl", *findings)


def explain(*arguments):
    return CliRunner().invoke(app, ["explain", *map(str, arguments)])


@pytest.mark.parametrize(
    ("name", "found"),
    [("aa11", "aa11"), ("aa2", "aa22"), ("3", "b0"), ("b", "b0"), ("4", "aa11bb")],
)
def test_a_finding_is_meant_by_its_id_its_beginning_or_its_line(file, name, found):
    explained = from_file(file, name)
    assert explained.finding.finding_id == found
    assert explained.finding in explained.incident


def test_the_incident_has_only_findings_of_the_same_tenant(file):
    assert [f.finding_id for f in from_file(file, "aa11").incident] == ["aa11", "b0"]


@pytest.mark.parametrize("name", ["aa", "a"])
def test_a_beginning_of_several_ids_names_them_and_the_cure(file, name):
    with pytest.raises(SettingsError, match=r"aa11 of t0, aa22 of t0, aa11bb of t1.*write more"):
        from_file(file, name)


@pytest.mark.parametrize("name", ["zz", "9", "", "0"])
def test_an_id_that_is_not_there_is_refused_with_the_cure(file, name):
    with pytest.raises(SettingsError, match=r"one of the 4 findings; cure: name an id"):
        from_file(file, name)


def test_a_tenant_sees_its_own_findings_alone(file):
    assert from_file(file, "aa", "t1").finding.finding_id == "aa11bb"
    with pytest.raises(SettingsError, match="one of the 1 findings"):
        from_file(file, "aa2", "t1")


def test_times_as_text_and_null_evidence_are_read_as_detect_writes_them(tmp_path):
    row = json.loads(write_findings(tmp_path / "f", shifted(log10_e=1.0)).read_text())
    row |= {"log10_e": None, "first_seen": format_instant(START_MS)}
    (tmp_path / "f").write_text(json.dumps(row))
    assert from_file(tmp_path / "f", "1").finding == shifted(log10_e=float("inf"))


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"finding_id": 1}', "null"])
def test_a_line_that_is_no_finding_is_named(file, line):
    file.write_text(file.read_text() + line + "\n")
    with pytest.raises(SettingsError, match=r"f.jsonl, line 5.*cure: write the file with"):
        from_file(file, "1")


def test_a_refusal_is_one_line_and_exit_code_2(file, tmp_path):
    for arguments in (["zz", "--file", file], ["1", "--file", tmp_path / "none"]):
        answer = explain(*arguments)
        assert isinstance(answer.exception, SettingsError)
        assert "\n" not in str(answer.exception)
        assert "cure: " in str(answer.exception)


def test_the_page_is_written_and_the_headline_told(file, tmp_path):
    answer = explain(1, "--file", file, "--out", tmp_path / "x.html")
    assert answer.exit_code == 0
    assert "cpu_temp_c of device cam-1 (tenant t0) is higher since 1 Jan 2026" in answer.output
    assert (tmp_path / "x.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_without_out_the_page_is_named_by_the_beginning_of_the_id(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert explain("aa22", "--file", file).exit_code == 0
    assert (tmp_path / "finding-aa22.html").exists()
    assert str(default_out(finding(finding_id="../../e/f0123"))) == "finding-______e_.html"


def test_a_picture_alone_needs_histograms(file, tmp_path):
    assert explain(1, "--file", file, "--out", tmp_path / "x.svg").exit_code == 0
    assert (tmp_path / "x.svg").read_text(encoding="utf-8").startswith("<svg")
    answer = explain("b0", "--file", file, "--out", tmp_path / "y.svg")
    assert "ends with .html" in str(answer.exception)
    assert not (tmp_path / "y.svg").exists()


def test_a_png_has_the_colours_of_both_histograms(file, tmp_path):
    assert explain(1, "--file", file, "--out", tmp_path / "x.PNG").exit_code == 0
    with Image.open(tmp_path / "x.PNG") as image:
        counts = {colour: count for count, colour in image.getcolors(maxcolors=1 << 20)}
    assert image.format == "PNG"
    for role in ("before", "after"):
        colour = ImageColor.getrgb(FILLS[role].light)
        assert counts[colour] > 10_000, role


# 400 windows around 50 degrees, 200 around 53
def test_what_detect_finds_can_be_explained_line_by_line(tmp_path):
    rng = np.random.default_rng(SEED)
    values = np.append(rng.normal(50, 1, 400), rng.normal(53, 1, 200))
    times = (format_instant(START_MS + n * 300_000) for n in range(600))
    rows = [f"{time},{value}" for time, value in zip(times, values, strict=True)]
    (tmp_path / "s.csv").write_text("\n".join(["at,cpu_temp_c", *rows]))
    out = tmp_path / "f.jsonl"
    series = DetectRequest(tmp_path / "s.csv", "cpu_temp_c", "at", None, "1/10k_device_days", out)
    found = run_detect(series)
    assert found.page_count >= 1
    for line in range(1, found.finding_count + 1):
        page = tmp_path / f"{line}.html"
        answer = explain(line, "--file", out, "--out", page)
        assert "cpu_temp_c is higher since 2 Jan 2026 09:" in answer.output
        assert page.read_text(encoding="utf-8").count("<svg") >= 1


@pytest.mark.parametrize("out", ["x.gif", "none/x.html", "x"])
def test_an_out_that_cannot_be_written_is_refused(file, tmp_path, out):
    assert "--out" in str(explain(1, "--file", file, "--out", tmp_path / out).exception)


@pytest.mark.parametrize("sent", [finding(), BARE, shifted()])
def test_a_row_of_the_table_is_the_finding_that_was_loaded(sent):
    value = finding_result("drift", 7, sent).value
    messages = [Message(0, 0, START_MS, b"k", value)]
    (row,) = rows_of(Topic.DRIFT, messages, lambda _: schema_of(Topic.DRIFT)).table.to_pylist()
    assert finding_of(nested_finding(row)) == sent


@pytest.mark.parametrize("name", ["", "x" * 201])
def test_no_question_is_asked_for_what_cannot_be_an_id(name):
    with pytest.raises(SettingsError, match="fleetpulse query drift"):
        from_tables(pytest.fail, name)
