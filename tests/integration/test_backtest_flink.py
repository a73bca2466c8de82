"""`fleetpulse backtest --engine flink`: through a broker and the real job, the same events."""

import orjson
import pytest
from typer.testing import CliRunner

from jobs.backtest import LogFile, run_backtest
from jobs.cli import app
from tests.alert_logs import TENANT, at

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

DEPENDS_ON_BLOCKS = ("input_clock", "detection_delay_ms", "emitted_at")
"""How the log was cut: a running job gets other blocks than the pure engine."""


def line(when, kind, **fields):
    return {"at": at(when), "type": kind, **fields}


def beats(device, *spans, partition=0):
    """Return a contact each minute within spans of minutes of the day's noon."""
    return [
        line("12:00:00", "contact", partition=partition, tenant_id=TENANT, device_id=device)
        | {"at": at("12:00:00") + minute * 60_000, "boot_id": "b", "sequence": minute}
        for begin, end in spans
        for minute in range(begin, end)
    ]


#         12:00     :10       :20       :30       :40       :50      13:00
#  d0-d5  oooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooo
#  d6     ooooo          (critical)             ooooooooooooooooooooooooo
#  d7,d8  oooooooooo     (with d6: emergency)    ooooooooooooooooooooooooo    d8 is muted
#  d9     oooooooooooooooo - maintenance -                                     then silent
#  p1     d10 oooooooooooooo        blind      ooooooooooooooooooo
#  engine         stop ................ start
def log_lines():
    lines = [
        line("11:00:00", "device", record={"tenant_id": TENANT, "device_id": f"d{n}"}
             | {"status": "active", "report_interval_s": 60, "deployment_group": f"g{n % 2}"})
        for n in range(11)
    ]  # fmt: skip
    for n in range(6):
        lines += beats(f"d{n}", (0, 60))
    lines += beats("d6", (0, 5), (40, 60)) + beats("d7", (0, 10), (40, 60))
    lines += beats("d8", (0, 10), (40, 60)) + beats("d9", (0, 16))
    lines += beats("d10", (0, 14), (38, 60), partition=1)
    scope = {"tenant_id": TENANT}
    mute = {"type": "mute", "scope": scope | {"device_id": "d8"}, "from": at("12:01:00")}
    lines.append(line("12:01:00", "control", event=mute | {"until": at("12:20:00")}))
    work = {"type": "maintenance", "scope": scope | {"device_id": "d9"}, "from": at("12:15:00")}
    lines.append(line("12:02:00", "control", event=work | {"until": at("12:30:00")}))
    lines += [line("12:13:00", "engine", event="stop"), line("12:47:30", "engine", event="start")]
    lines.append(line("12:50:00", "device", record=None, tenant_id=TENANT, device_id="d5"))
    blind = {"type": "blind", "partition": 1, "from": at("12:14:01"), "until": at("12:38:00")}
    return [*sorted(lines, key=lambda each: each["at"]), blind]


def told(events):
    return [{k: v for k, v in event.items() if k not in DEPENDS_ON_BLOCKS} for event in events]


def written(path):
    return [orjson.loads(text) for text in path.read_bytes().splitlines()]


def test_the_real_job_tells_the_same_events_as_the_pure_engine(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"\n".join(map(orjson.dumps, log_lines())))
    source = LogFile(log, ticks="5s", until="2026-01-01T13:00:00Z")
    run_backtest(source, tmp_path / "pure.jsonl")
    expected = told(written(tmp_path / "pure.jsonl"))
    kinds = {(e["type"].rsplit(".", 1)[1], e["status"], e["severity"]) for e in expected}
    assert {("device-offline", "firing", "critical"), ("fleet-offline", "firing", "emergency"),
            ("monitor-blind", "resolved", "critical")} <= kinds  # fmt: skip
    assert any(e["reason"] == "mute_ended" for e in expected)
    assert any(not e["notify"] and not e["suppressed_by"] for e in expected), "a pair of the outage"
    arguments = ["backtest", "--input", str(log), "--ticks", "5s", "--engine", "flink"]
    arguments += ["--until", "2026-01-01T13:00:00Z", "--out", str(tmp_path / "flink.jsonl")]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert told(written(tmp_path / "flink.jsonl")) == expected
