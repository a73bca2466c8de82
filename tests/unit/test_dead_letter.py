"""A dead letter says where it comes from; its table row repeats that without the payload."""

import hashlib

from schemas.dead_letter_headers import Origin, Refusal
from schemas.errors import Reason
from sinks.dead_letter import dead_letter_frame, dead_letter_headers
from sinks.messages import Message

ORIGIN = Origin("windows", 3, 17)
REFUSAL = Refusal("fleetpulse-loader", "VALUE_CONVERTER", Reason.AVRO_INVALID, "EOFError")
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


def test_the_ten_header_names_that_tools_know_are_all_there():
    headers = dict(dead_letter_headers(ORIGIN, REFUSAL, (), b"bytes"))
    assert {f"__connect.errors.{name}" for name in CONNECT_NAMES} <= headers.keys()
    assert headers["__connect.errors.offset"] == b"17"
    assert headers["dlq.payload.sha256"] == hashlib.sha256(b"bytes").hexdigest().encode()


def test_headers_of_the_original_are_kept_and_never_replaced():
    original = (("trace", b"1"), ("trace", b"2"), ("__connect.errors.topic", b"first"))
    headers = dead_letter_headers(ORIGIN, REFUSAL, original, b"")
    assert headers[:3] == original
    assert [value for name, value in headers if name == "__connect.errors.topic"] == [b"first"]


def test_a_row_is_made_of_the_headers_and_not_of_the_payload():
    headers = dead_letter_headers(ORIGIN, REFUSAL, (), b"secret")
    (row,) = dead_letter_frame([Message(0, 4, 99, b"t/d", b"secret", headers)]).to_dicts()
    assert (row["origin_topic"], row["origin_partition"], row["origin_offset"]) == (
        "windows",
        3,
        17,
    )
    assert (row["reason"], row["detail"]) == ("avro_invalid", "EOFError")
    assert (row["component"], row["value_bytes"], row["dead_offset"]) == ("fleetpulse-loader", 6, 4)
    assert "secret" not in str(row)


def test_foreign_letters_without_headers_stay_apart_and_do_no_harm():
    letters = [
        Message(0, 4, 99, b"\xff", None, (("__connect.errors.partition", b"\xfe9"),)),
        Message(0, 5, 99, b"", b"x", ()),
    ]
    rows = dead_letter_frame(letters).to_dicts()
    assert [row["origin_offset"] for row in rows] == [4, 5]
    assert [row["origin_partition"] for row in rows] == [-1, -1]
