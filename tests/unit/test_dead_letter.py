"""A dead letter keeps the message as it was and says where it comes from; nobody can forge that."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.dead_letter import (
    HEADER_MAX_COUNT,
    HEADERS_MAX_BYTES,
    KEY_MAX_BYTES,
    VALUE_MAX_BYTES,
    Origin,
    Original,
    Refusal,
    cause_headers,
    dead_letter,
    is_reserved,
)
from schemas.errors import Reason
from schemas.records import wire_header
from schemas.topics import DEAD_LETTER_MAX_BYTES
from sinks.dead_letter_summary import is_receipt, summary_of
from sinks.messages import Message

ORIGIN = Origin("windows", 3, 17)
REFUSAL = Refusal("fleetpulse-loader", "VALUE_CONVERTER", Reason.AVRO_INVALID, "EOFError")
AT_MS = 1_767_225_600_007
REPLAY = ("dlq.replay.of", b"dead-letters/0/4")
CONNECT_NAMES = {
    "topic",
    "partition",
    "offset",
    "connector.name",
    "task.id",
    "stage",
    "class.name",
    "exception.class.name",
    "exception.message",
    "exception.stacktrace",
}


def letter(key=b"t0/d1", value=b"bytes", headers=(), at_ms=AT_MS):
    return dead_letter(ORIGIN, REFUSAL, Original(key, value, tuple(headers), at_ms))


def headers_of(*args, **kwargs):
    made = letter(*args, **kwargs)
    names = [name for name, _ in made.headers]
    ours = [name for name in names if name.startswith(("__connect", "dlq."))]
    assert len(ours) == len(set(ours))
    return dict(made.headers)


def test_the_ten_header_names_that_tools_know_are_all_there():
    headers = headers_of()
    assert {f"__connect.errors.{name}" for name in CONNECT_NAMES} <= headers.keys()
    assert headers["__connect.errors.topic"] == b"windows"
    assert headers["__connect.errors.offset"] == b"17"
    assert headers["dlq.payload.sha256"] == hashlib.sha256(b"bytes").hexdigest().encode()


def test_a_first_refusal_has_number_0_its_append_time_its_tenant_and_no_schema():
    headers = headers_of()
    assert headers["dlq.attempt"] == b"0"
    assert headers["dlq.first_failed_at"] == b"2026-01-01T00:00:00.007Z"
    assert headers["dlq.tenant.claimed"] == b"t0"
    assert not {"dlq.schema.id", "dlq.truncated", "dlq.headers.dropped"} & headers.keys()
    assert headers_of(value=wire_header(70_000) + b"x")["dlq.schema.id"] == b"70000"


@pytest.mark.parametrize("key", [None, b"", b"/d", b"cam-7", b"\xff/d", b"t" * 129 + b"/d"])
def test_a_key_that_names_no_tenant_claims_none(key):
    made = letter(key)
    assert made.key == key
    assert "dlq.tenant.claimed" not in dict(made.headers)


def test_key_value_timestamp_and_headers_of_the_original_are_kept_in_order():
    original = (("trace", b"1"), ("trace", b"2"), ("", b"\xff"))
    made = letter(None, None, original, 5)
    assert (made.key, made.value, made.timestamp_ms) == (None, None, 5)
    assert made.headers[:3] == original
    assert dict(made.headers)["dlq.payload.sha256"] == hashlib.sha256(b"").hexdigest().encode()


def test_a_producer_forges_neither_origin_nor_receipt_nor_number():
    forged = [
        ("__connect.errors.topic", b"alerts"),
        ("dlq.receipt.of", b"0/1"),
        ("dlq.attempt", b"99"),
        ("dlq.first_failed_at", b"1999-01-01T00:00:00.000Z"),
        ("dlq.anything", b"x"),
    ]
    headers = headers_of(headers=[*forged, ("trace", b"1")])
    assert headers["__connect.errors.topic"] == b"windows"
    assert headers["dlq.attempt"] == b"0"
    assert headers["dlq.first_failed_at"] == b"2026-01-01T00:00:00.007Z"
    assert "dlq.receipt.of" not in headers
    assert "dlq.anything" not in headers
    assert headers["trace"] == b"1"
    assert headers["dlq.headers.dropped"] == b"5"


def test_a_replay_keeps_its_number_and_its_first_time_and_may_forge_nothing_else():
    first = b"2025-12-31T23:59:59.000Z"
    sent = [("dlq.attempt", b"2"), ("dlq.first_failed_at", first), REPLAY]
    forged = [("dlq.attempt", b"7"), ("dlq.receipt.of", b"0/1"), ("__connect.errors.offset", b"1")]
    headers = headers_of(headers=[*sent, *forged])
    assert headers["dlq.attempt"] == b"2"
    assert headers["dlq.first_failed_at"] == first
    assert headers["dlq.replay.of"] == REPLAY[1]
    assert headers["__connect.errors.offset"] == b"17"
    assert "dlq.receipt.of" not in headers
    assert headers["dlq.headers.dropped"] == b"3"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dlq.attempt", b"-1"),
        ("dlq.attempt", b"1" * 7),
        ("dlq.attempt", "٣".encode()),
        ("dlq.first_failed_at", b"yesterday"),
        ("dlq.first_failed_at", b"2026-01-01T00:00:00.000Z\x1b[2J"),
    ],
)
def test_a_replay_whose_headers_make_no_sense_gets_new_ones(name, value):
    headers = headers_of(headers=[(name, value), REPLAY])
    assert headers["dlq.attempt"] == b"0"
    assert headers["dlq.first_failed_at"] == b"2026-01-01T00:00:00.007Z"


def test_a_replay_of_nothing_is_none():
    headers = headers_of(headers=[("dlq.attempt", b"2"), ("dlq.replay.of", b"x\n/0/4")])
    assert headers["dlq.attempt"] == b"0"
    assert "dlq.replay.of" not in headers


def test_too_many_headers_are_cut_and_counted_but_the_number_of_a_replay_is_not():
    many = [(f"h{i}", b"") for i in range(HEADER_MAX_COUNT + 10)]
    made = letter(headers=[*many, ("dlq.attempt", b"2"), REPLAY])
    assert made.headers[:HEADER_MAX_COUNT] == tuple(many[:HEADER_MAX_COUNT])
    headers = dict(made.headers)
    assert (headers["dlq.headers.dropped"], headers["dlq.attempt"]) == (b"10", b"2")


def test_headers_that_are_too_large_are_cut_and_counted():
    large = [("a", b"x" * (HEADERS_MAX_BYTES - 1)), ("b", b""), ("c", b"")]
    headers = headers_of(headers=large)
    assert "a" in headers
    assert not {"b", "c"} & headers.keys()
    assert headers["dlq.headers.dropped"] == b"2"


def test_a_value_of_the_limit_is_whole_and_a_larger_one_is_cut_and_says_so():
    whole = letter(value=b"x" * VALUE_MAX_BYTES)
    assert len(whole.value) == VALUE_MAX_BYTES
    assert "dlq.truncated" not in dict(whole.headers)
    large = b"x" * VALUE_MAX_BYTES + b"y"
    cut = letter(value=large)
    headers = dict(cut.headers)
    assert cut.value == large[:VALUE_MAX_BYTES]
    assert headers["dlq.truncated"] == str(len(large)).encode()
    assert headers["dlq.payload.sha256"] == hashlib.sha256(large).hexdigest().encode()


def test_the_largest_letter_fits_into_its_topic():
    many = [(f"h{i}", b"x" * 1020) for i in range(HEADER_MAX_COUNT)]
    made = letter(b"k" * (KEY_MAX_BYTES + 1), b"v" * (VALUE_MAX_BYTES + 1), many)
    headers = dict(made.headers)
    assert headers["dlq.key.truncated"] == str(KEY_MAX_BYTES + 1).encode()
    size = len(made.key) + len(made.value)
    size += sum(len(name.encode()) + len(value) + 10 for name, value in made.headers)
    assert size < DEAD_LETTER_MAX_BYTES * 0.75


def test_a_detail_is_one_line_of_limited_length():
    refusal = Refusal("c", "s", Reason.ROW_REFUSED, "two\nlines " + "x" * 10_000)
    made = dead_letter(ORIGIN, refusal, Original(None, None, (), AT_MS))
    text = dict(made.headers)["__connect.errors.exception.message"].decode()
    assert text.startswith("row_refused: two lines x")
    assert len(text) < 600


@pytest.mark.parametrize("at_ms", [-1, -(10**15), 10**15, 2**62])
def test_a_time_that_no_calendar_has_does_no_harm(at_ms):
    assert letter(at_ms=at_ms).timestamp_ms == at_ms
    assert len(headers_of(at_ms=at_ms)["dlq.first_failed_at"]) == 24


OUR_NAMES = (
    "dlq.attempt",
    "dlq.first_failed_at",
    "dlq.replay.of",
    "dlq.receipt.of",
    "dlq.truncated",
    "dlq.reason",
    "__connect.errors.topic",
    "__connect.errors.offset",
)
HEADERS = st.lists(
    st.tuples(
        st.one_of(st.sampled_from(OUR_NAMES), st.text(max_size=8)),
        st.one_of(
            st.sampled_from([b"2", b"2026-01-01T00:00:00.000Z", b"dead-letters/0/4", b"0/4"]),
            st.binary(max_size=8),
        ),
    ),
    max_size=100,
)


@given(key=st.none() | st.binary(), value=st.none() | st.binary(), headers=HEADERS)
def test_whatever_a_producer_sends_its_letter_tells_the_truth(key, value, headers):
    made = letter(key, value, headers)
    found = dict(made.headers)
    assert {name: found[name].decode() for name in cause_headers(ORIGIN, REFUSAL)} == (
        cause_headers(ORIGIN, REFUSAL)
    )
    assert (made.key, made.value) == (key, value)
    foreign = [pair for pair in headers if not is_reserved(pair[0])]
    kept = [pair for pair in made.headers if not is_reserved(pair[0])]
    assert kept == foreign[:HEADER_MAX_COUNT]
    filed = Message(0, 4, AT_MS, made.key, made.value, made.headers)
    assert not is_receipt(filed)
    summary = summary_of(filed)
    assert (summary.origin, summary.reason) == (ORIGIN, "avro_invalid")
    assert not summary.is_truncated
    is_replay = ("dlq.replay.of", b"dead-letters/0/4") in headers
    assert summary.attempt == 0 or is_replay
    kept_of_replay = 3 if is_replay else 0
    dropped = int(found.get("dlq.headers.dropped", b"0"))
    assert 0 <= len(headers) - len(kept) - dropped <= kept_of_replay
