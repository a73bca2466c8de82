"""What a person sees of dead letters: nothing that a terminal obeys, a line for each refusal."""

import json
from collections import Counter

import pytest

from jobs.dead_letters_cli import account_lines
from jobs.dead_letters_list import Listed, json_lines, letter_frame
from jobs.dead_letters_replay import ReplayAccount
from jobs.dead_letters_show import preview_lines
from jobs.instants import instant_ms
from jobs.query_view import answer_table
from schemas.dead_letter import Origin, Original, Refusal, dead_letter
from schemas.errors import Reason, SettingsError
from schemas.printable import printable
from sinks.dead_letter_replay import Hindrance
from sinks.dead_letter_summary import summary_of
from sinks.messages import Message

AT_MS = 1_767_225_600_000
EVIL = "\x1b[2J\x9b1m\u202e\r\n\x07[bold]\udc80"


def evil_letter():
    evil = EVIL.encode(errors="surrogatepass")
    headers = (
        ("__connect.errors.topic", evil),
        ("__connect.errors.partition", b"0"),
        ("__connect.errors.offset", b"1"),
        ("__connect.errors.exception.message", evil + b": " + evil),
        ("dlq.reason", evil),
    )
    return summary_of(Message(0, 1, AT_MS, evil, evil, headers))


def is_safe(text):
    return all(character.isprintable() for character in text)


def test_the_table_shows_hostile_letters_as_text():
    frame = letter_frame(Listed([(evil_letter(), False)], 1))
    (row,) = frame.to_dicts()
    assert all(is_safe(str(cell)) for cell in row.values())
    assert "\\x1b[2J" in row["key"]
    assert "[bold]" in row["key"]
    assert answer_table(frame, 80).row_count == 1


def test_json_of_hostile_letters_is_one_line_of_ascii_and_keeps_the_text():
    (line,) = json_lines(Listed([(evil_letter(), True)], 1))
    assert is_safe(line)
    assert line.isascii()
    assert json.loads(line)["key"].startswith("\x1b[2J\x9b1m\u202e\r\n\x07[bold]")


def test_an_empty_list_has_its_columns():
    frame = letter_frame(Listed([], 0))
    assert (frame.height, frame.columns[0], frame.columns[-1]) == (0, "position", "replayed")


def test_a_preview_shows_every_byte_and_obeys_none():
    lines = list(preview_lines(bytes(range(256)) + b"more"))
    assert len(lines) == 18
    assert all(is_safe(line) for line in lines)
    shown = "".join(line[8:56] for line in lines[1:17])
    assert bytes.fromhex(shown) == bytes(range(256))
    assert "4 bytes more" in lines[-1]
    assert list(preview_lines(None)) == ["value     null (a tombstone)"]
    assert list(preview_lines(b"")) == ["value"]


@pytest.mark.parametrize("text", ["", "abc", EVIL, "x" * 1000, "\x1b" * 1000])
@pytest.mark.parametrize("max_chars", [None, 1, 10, 64])
def test_printable_text_is_printable_and_not_longer(text, max_chars):
    shown = printable(text, max_chars)
    assert is_safe(shown)
    assert max_chars is None or len(shown) <= max_chars


def test_a_listed_letter_says_where_it_is_and_where_it_came_from():
    letter = dead_letter(
        Origin("telemetry", 3, 17),
        Refusal("fleetpulse-aggregate", "VALUE_CONVERTER", Reason.AVRO_INVALID, "EOFError"),
        Original(b"t0/d1", b"bytes", (), AT_MS),
    )
    summary = summary_of(Message(2, 5, AT_MS, letter.key, letter.value, letter.headers))
    (row,) = letter_frame(Listed([(summary, True)], 1)).to_dicts()
    assert (row["position"], row["origin"], row["key"]) == ("2/5", "telemetry/3/17", "t0/d1")
    assert (row["reason"], row["detail"]) == ("avro_invalid", "EOFError")
    assert (row["bytes"], row["attempt"], row["replayed"]) == (5, 0, True)


def test_a_replay_says_what_it_did_by_reason_and_topic_and_each_refusal_in_one_line():
    sent = Counter({("bad_magic", "telemetry"): 2, ("avro_invalid", "telemetry.acme"): 1_000})
    account = ReplayAccount(sent, Counter({Hindrance.PARKED: 3}), is_at_limit=True)
    assert account_lines(account, is_dry_run=False) == [
        "1,000 sent to telemetry.acme (avro_invalid)",
        "2 sent to telemetry (bad_magic)",
        "3 are parked: sent again as often as --max-attempts allows",
        "there are more: --limit is reached",
    ]
    assert account_lines(ReplayAccount(), is_dry_run=True) == ["nothing would be sent"]


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [
        ("90s", AT_MS - 90_000),
        ("7d", AT_MS - 7 * 86_400_000),
        ("2026-01-01T01:00:00+01:00", AT_MS),
        ("2026-01-01T00:00:00.007Z", AT_MS + 7),
    ],
)
def test_an_instant_is_so_long_ago_or_a_time(text, expected_ms):
    assert instant_ms("--since", text, AT_MS) == expected_ms


@pytest.mark.parametrize("text", ["", "1", "1w", "-1h", "yesterday", "2026-01-01T00:00:00", "٣h"])
def test_what_is_no_instant_is_refused_in_one_line(text):
    with pytest.raises(SettingsError, match=r"^--since = .*1h.*$"):
        instant_ms("--since", text, AT_MS)
