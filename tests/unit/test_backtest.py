"""`fleetpulse backtest` from file to file: what it reads, what it writes, what it refuses."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jobs.backtest import LogFile, run_backtest
from schemas.errors import SettingsError
from schemas.records import schema_of
from schemas.topics import Topic


def write_log(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def contact(when: str, **fields: Any) -> dict[str, Any]:
    return {"at": when, "type": "contact", "tenant_id": "t", "device_id": "d"} | fields


DEVICE = {
    "at": "2026-01-01T12:00:00Z",
    "type": "device",
    "record": {"tenant_id": "t", "device_id": "d", "site": "north"},
}


def test_a_log_becomes_events_with_every_field_of_the_schema(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.jsonl", DEVICE, contact("2026-01-01T12:00:00Z"))
    out = tmp_path / "alerts.jsonl"
    assert run_backtest(LogFile(log, until="2026-01-01T14:00:00Z", ticks="5s"), out) == 2
    events = [json.loads(line) for line in out.read_text().splitlines()]
    names = {field["name"] for field in schema_of(Topic.ALERTS)["fields"]}
    assert [set(event) for event in events] == [names, names]
    assert [event["starts_at"] for event in events] == ["2026-01-01T12:05:00.000Z"] * 2
    assert events[1]["escalated_at"] == "2026-01-01T12:30:00.000Z"
    assert events[0]["labels"]["site"] == "north"
    assert datetime.fromisoformat(events[0]["input_clock"]).tzinfo == UTC


def test_ticks_and_times_as_epoch_ms_do_the_same(tmp_path: Path) -> None:
    start_ms = 1767268800000
    ticks = [{"at": start_ms + 5000 * n, "type": "tick"} for n in range(1, 62)]
    log = write_log(tmp_path / "log.jsonl", DEVICE, contact(start_ms), *ticks)  # type: ignore[arg-type]  # a mixed list
    out = tmp_path / "alerts.jsonl"
    assert run_backtest(LogFile(log), out) == 1
    assert json.loads(out.read_text())["time"] == "2026-01-01T12:05:00.000Z"


def test_settings_change_the_thresholds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEETPULSE_SETTINGS_FILE", "")
    settings = tmp_path / "settings.toml"
    settings.write_text("[offline]\nwarning_after_s = 60\ncritical_after_s = 120\n")
    log = write_log(tmp_path / "log.jsonl", DEVICE, contact("2026-01-01T12:00:00Z"))
    out = tmp_path / "alerts.jsonl"
    assert run_backtest(LogFile(log, settings, "2026-01-01T12:01:30Z", "5s"), out) == 1
    assert json.loads(out.read_text())["time"] == "2026-01-01T12:01:00.000Z"


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ({"at": 0, "type": "control", "event": {}}, "one of maintenance, mute, ack"),
        ({"at": 0, "type": "contact", "tenant_id": "t"}, "device_id"),
        ({"at": "noon", "type": "tick"}, "RFC 3339"),
        ({"at": "2026-01-01T12:00:00", "type": "tick"}, "offset"),
        ({"at": 0, "type": "tick", "partition": -1}, "partition"),
        ({"at": 0, "type": "engine", "event": "pause"}, "stop, start"),
        ({"type": "blind", "partition": 0, "from": 5}, "RFC 3339"),
    ],
)
def test_a_wrong_line_is_refused_by_its_number(
    tmp_path: Path, line: dict[str, Any], named: str
) -> None:
    log = write_log(tmp_path / "log.jsonl", DEVICE, line)
    with pytest.raises(SettingsError, match="line 2") as refused:
        run_backtest(LogFile(log), tmp_path / "alerts.jsonl")
    assert named in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="JSONL file"):
        run_backtest(LogFile(tmp_path / "none.jsonl"), tmp_path / "alerts.jsonl")


def test_an_empty_log_has_no_events(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.jsonl")
    source = LogFile(log, until="2026-01-01T14:00:00Z", ticks="5s")
    assert run_backtest(source, tmp_path / "alerts.jsonl") == 0


def test_an_unknown_engine_is_refused_by_name(tmp_path):
    with pytest.raises(SettingsError, match=r"--engine .*pure or flink"):
        run_backtest(LogFile(tmp_path / "log.jsonl"), tmp_path / "alerts.jsonl", "spark")


def test_case_34_a_rule_line_changes_thresholds_while_a_log_is_read(tmp_path: Path) -> None:
    rule = {"type": "rule", "rule_id": "slow", "scope": {"tenant_id": "t"}, "warning_after_s": 600}
    said = {"at": "2026-01-01T12:06:00Z", "type": "control", "event": rule}
    log = write_log(tmp_path / "log.jsonl", DEVICE, contact("2026-01-01T12:00:00Z"), said)
    out = tmp_path / "alerts.jsonl"
    assert run_backtest(LogFile(log, until="2026-01-01T12:20:00Z", ticks="5s"), out) == 3
    events = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(e["status"], e["reason"], e["time"][11:19], e["threshold_s"]) for e in events] == [
        ("firing", None, "12:05:00", 300.0),
        ("resolved", "rule_changed", "12:06:00", 300.0),
        ("firing", None, "12:10:00", 600.0),
    ]
