"""`fleetpulse control`: what a person types becomes an event, or one line that says what is wrong.

No broker is there: what is refused is refused before anybody is asked.
"""

import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from jobs.cli import app
from jobs.control_list import Listed, State, by_state, control_table, json_lines, sent_line
from jobs.control_request import RULES_MAX_BYTES, RULES_MAX_COUNT, later_ms, planned_ms, rules_of
from schemas.control import parse_control
from schemas.errors import SettingsError
from tests.control_messages import ACME, EVENTS, HOT, KEYS, SLOW
from tests.strategies import NOON_MS

HOUR_MS = 3_600_000
COMMANDS = ["maintenance", "mute", "ack", "goodbye", "accept", "rule", "list", "end"]
MUTE = ["mute", "--tenant", "acme"]


def control(*words, given=""):
    # Port 1 is nobody's: a command that got so far would fail otherwise, with exit code 1.
    nowhere = {
        "FLEETPULSE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "FLEETPULSE_REGISTRY__URL": "http://127.0.0.1:1",
    }
    return subprocess.run(
        [sys.executable, "-m", "jobs.cli", "control", *words],
        env=os.environ | nowhere,
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_a_command_does_with_an_example(command):
    answer = CliRunner().invoke(app, ["control", command, "--help"])
    assert answer.exit_code == 0
    assert f"Example: fleetpulse control {command}" in answer.output


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([*MUTE, "--until", "soon"], "--until"),
        ([*MUTE, "--until", "2h"], "--until"),
        ([*MUTE, "--until", "2020-01-01T00:00:00Z"], "--until"),
        ([*MUTE, "--until", "2999-01-01T00:00:00"], "--until"),
        ([*MUTE, "--until", "2999-01-01T00:00:00Z"], "--until"),
        ([*MUTE, "--until", "+2h", "--from", "+3h"], "--until"),
        ([*MUTE, "--until", "+2h", "--from", "1960-01-01T00:00:00Z"], "--from"),
        ([*MUTE, "--until", "+2h", "--device", "a", "--site", "b"], "--device, --group, --site"),
        ([*MUTE, "--until", "+2h", "--group", ""], "--group"),
        (["maintenance", "--tenant", "a/b", "--until", "+2h"], "--tenant"),
        (["goodbye", "--tenant", "acme", "--back", "+0s"], "--back"),
        (["ack", "17"], "EPISODE_ID"),
        (["accept", "--tenant", "acme", "--metric", ""], "--metric"),
        (["rule", "/no/such/file.json"], "FILE"),
    ],
)
def test_bad_input_is_one_line_that_names_the_option_and_exit_code_2(words, named):
    answer = control(*words)
    assert (answer.returncode, answer.stdout) == (2, "")
    (line,) = answer.stderr.splitlines()
    assert line.startswith(f"fleetpulse: {named} = ")
    assert "cure: " in line


def test_a_bad_rule_among_good_ones_is_named_by_number_and_field_and_nothing_is_sent():
    rules = [HOT, SLOW | {"warning_after_s": 0}]
    answer = control("rule", "-", given=json.dumps(rules))
    assert (answer.returncode, answer.stdout) == (2, "")
    (line,) = answer.stderr.splitlines()
    assert line.startswith("fleetpulse: stdin, rule 2, warning_after_s = 0; allowed: ")
    assert "nothing of it was sent" in line


def test_a_registry_that_is_away_is_one_line_and_exit_code_1():
    answer = control(*MUTE, "--until", "+2h")
    assert (answer.returncode, answer.stdout) == (1, "")
    (line,) = answer.stderr.splitlines()
    assert line.startswith("fleetpulse: schema registry at http://127.0.0.1:1: ")


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [
        ("+0s", NOON_MS),
        ("+90s", NOON_MS + 90_000),
        ("+30m", NOON_MS + HOUR_MS // 2),
        ("+2h", NOON_MS + 2 * HOUR_MS),
        ("+7d", NOON_MS + 7 * 24 * HOUR_MS),
        ("2026-01-01T01:00:00+01:00", 1_767_225_600_000),
    ],
)
def test_a_time_is_rfc_3339_or_so_long_from_now(text, expected_ms):
    assert planned_ms("--until", text, NOON_MS) == expected_ms


@pytest.mark.parametrize("text", ["", "+", "+h", "-2h", "+2w", "+2h ", "5", "+9999999s", "٣h"])
def test_no_other_text_is_a_time(text):
    with pytest.raises(SettingsError, match=r"^--back = .* from now"):
        planned_ms("--back", text, NOON_MS)


def test_now_is_not_later_and_the_next_millisecond_is():
    with pytest.raises(SettingsError, match="later than now"):
        later_ms("--back", "+0s", NOON_MS)
    instant = "2026-01-01T00:00:00.001Z"
    assert later_ms("--back", instant, 1_767_225_600_000) == 1_767_225_600_001


def test_a_file_has_one_rule_or_a_list_of_them_and_the_type_may_be_left_out():
    untyped = {name: value for name, value in HOT.items() if name != "type"}
    assert rules_of("f", json.dumps(untyped).encode()) == [parse_control(HOT)]
    both = [parse_control(HOT), parse_control(SLOW)]
    assert rules_of("f", json.dumps([HOT, SLOW]).encode()) == both


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "f"),
        (b"[", "f"),
        (b"[]", "f"),
        (b"\xff", "f"),
        (b"[" * 100_000, "f"),
        (b"[5]", "f, rule 1"),
        (json.dumps([HOT] * (RULES_MAX_COUNT + 1)).encode(), "f"),
        (b" " * (RULES_MAX_BYTES + 1), "f"),
        (b'{"rule_id": "a", "rule_id": "b"}', "f"),
        (b'{"rule_id": "r", "threshold": NaN}', "f"),
        (json.dumps(EVENTS["mute"]).encode(), "f, rule 1, type"),
        (json.dumps([HOT, SLOW, HOT]).encode(), "f, rule 3, rule_id"),
        (json.dumps(HOT | {"metric": None}).encode(), "f, rule 1, metric"),
        (json.dumps(HOT | {"scope": {}}).encode(), "f, rule 1, scope.tenant_id"),
        (json.dumps(HOT | {"rule_id": "\ud800"}).encode(), "f, rule 1, rule_id"),
        (json.dumps(HOT | {"\x1b[2J": 1}).encode(), r"f, rule 1, \x1b[2J"),
    ],
)
def test_what_is_no_rule_is_refused_by_number_and_field(content, named):
    with pytest.raises(SettingsError) as refused:
        rules_of("f", content)
    line = str(refused.value)
    assert line.startswith(f"{named} = ")
    assert line.isprintable()
    assert len(line) < 500


def listed(kind, at_ms=NOON_MS, **changes):
    return Listed(KEYS[kind], at_ms, parse_control(EVENTS[kind] | changes))


def test_a_span_is_planned_active_and_over_and_never_acts_before_it_was_sent():
    #  sent      from            until
    #   |---------[===============)-----
    mute = listed("mute", NOON_MS - 10)
    times = [NOON_MS - 1, NOON_MS, NOON_MS + HOUR_MS - 1, NOON_MS + HOUR_MS]
    states = [State.PLANNED, State.ACTIVE, State.ACTIVE, State.OVER]
    assert [mute.state(now_ms) for now_ms in times] == states
    assert listed("mute", NOON_MS + 5).span_ms() == (NOON_MS + 5, NOON_MS + HOUR_MS)


def test_rules_acks_and_goodbyes_have_states_too_and_what_is_refused_has_one():
    goodbye = listed("goodbye", NOON_MS - 10)
    assert [goodbye.state(NOON_MS - 1), goodbye.state(NOON_MS)] == [State.ACTIVE, State.OVER]
    assert listed("threshold rule").state(NOON_MS) is State.ACTIVE
    assert listed("offline rule").state(NOON_MS) is State.DISABLED
    assert listed("ack").state(NOON_MS + 1000 * HOUR_MS) is State.ACTIVE
    assert Listed("k", NOON_MS, None, "bad_magic: ...").state(NOON_MS) is State.REFUSED


def test_a_list_has_what_is_active_first_and_of_those_the_newest():
    found = [listed("mute"), listed("ack"), listed("offline rule"), listed("threshold rule")]
    kinds = [each.key for each in by_state(found, NOON_MS + HOUR_MS)]
    assert kinds == [KEYS[k] for k in ("threshold rule", "ack", "offline rule", "mute")]


def test_a_table_and_json_show_nothing_that_a_terminal_obeys():
    hostile = parse_control(EVENTS["mute"] | {"scope": ACME | {"device_id": "\x1b[2J"}})
    found = [Listed("acme/device_id/\x1b[2J/mute", NOON_MS, hostile), listed("threshold rule")]
    found.append(Listed("\x9b", NOON_MS, None, "control_invalid: \x1b[2J"))
    texts = [str(value) for row in control_table(found, NOON_MS).rows() for value in row]
    lines = list(json_lines(found, NOON_MS))
    assert all(text.isprintable() for text in texts + lines)
    assert json.loads(lines[0])["key"] == found[0].key
    assert json.loads(lines[1])["event"] == HOT | {"enabled": True}
    assert "critical when p95 temp >= 81.5, 3 windows" in texts


def test_the_line_of_what_was_sent_says_from_when_and_until_when_it_acts():
    line = sent_line(parse_control(EVENTS["maintenance"]), NOON_MS + 250)
    from_, until = (
        json.loads(text)["acts_from"]
        for text in json_lines([listed("ack", NOON_MS + 250), listed("ack", NOON_MS + HOUR_MS)], 0)
    )
    assert line == f"sent acme/site/paris/maintenance: acts from {from_} until {until}"
