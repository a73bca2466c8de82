"""What is read of a dead letter, whoever wrote it, and which letters a filter means."""

import pytest

from schemas.dead_letter import Origin, Original, Refusal, dead_letter
from schemas.errors import Reason
from sinks.dead_letter import dead_letter_frame
from sinks.dead_letter_summary import LetterFilter, Receipt, is_receipt, receipt_of, summary_of
from sinks.messages import Message

AT_MS = 1_767_225_600_000
ORIGIN = Origin("x.telemetry", 3, 17)
REFUSAL = Refusal("fleetpulse-aggregate", "VALUE_CONVERTER", Reason.AVRO_INVALID, "EOFError")


def filed(value=b"secret", *, key=b"t0/d1", headers=(), origin=ORIGIN, offset=4):
    letter = dead_letter(origin, REFUSAL, Original(key, value, tuple(headers), AT_MS))
    return Message(0, offset, AT_MS, letter.key, letter.value, letter.headers)


def test_a_summary_says_what_the_headers_say():
    summary = summary_of(filed(b"\x00\x00\x00\x00\x07datum"))
    assert summary.origin == ORIGIN
    assert summary.has_origin
    assert (summary.reason, summary.detail) == ("avro_invalid", "EOFError")
    assert (summary.schema_id, summary.tenant, summary.attempt) == (7, "t0", 0)
    assert (summary.value_bytes, summary.is_truncated) == (10, False)
    assert summary.first_failed_at == "2026-01-01T00:00:00.000Z"


def test_a_cut_letter_has_the_size_of_the_original():
    summary = summary_of(filed(b"x" * 3_000_000))
    assert summary.is_truncated
    assert summary.value_bytes == 3_000_000


def test_a_row_is_made_of_the_headers_and_not_of_the_payload():
    (row,) = dead_letter_frame([filed()]).to_dicts()
    origin = (row["origin_topic"], row["origin_partition"], row["origin_offset"])
    assert origin == ("x.telemetry", 3, 17)
    assert (row["component"], row["value_bytes"], row["dead_offset"]) == (
        "fleetpulse-aggregate",
        6,
        4,
    )
    assert (row["attempt"], row["schema_id"], row["tenant_claimed"]) == (0, -1, "t0")
    assert row["first_failed_at"] == AT_MS
    assert "secret" not in str(row)


def test_the_row_of_a_replay_that_failed_again_names_its_letter_and_its_first_time():
    sent = (
        ("dlq.attempt", b"2"),
        ("dlq.first_failed_at", b"2025-12-31T23:59:59.000Z"),
        ("dlq.replay.of", b"x.dead-letters/0/4"),
    )
    (row,) = dead_letter_frame([filed(headers=sent)]).to_dicts()
    assert (row["attempt"], row["replay_of"]) == (2, "x.dead-letters/0/4")
    assert row["first_failed_at"] == AT_MS - 1000


def test_a_receipt_is_no_row_and_says_which_letter_it_is_of():
    headers = (
        ("dlq.receipt.of", b"0/4"),
        ("dlq.receipt.time_ms", b"99"),
        ("__connect.errors.topic", b"x.telemetry"),
        ("__connect.errors.partition", b"3"),
        ("__connect.errors.offset", b"17"),
    )
    receipt = Message(0, 9, AT_MS, b"t0/d1", b"", headers)
    assert dead_letter_frame([filed(), receipt]).height == 1
    found = receipt_of(receipt)
    assert found == Receipt(0, 4, ORIGIN, 99)
    assert receipt_of(filed()) is None


def test_no_producer_can_make_its_message_look_like_a_receipt():
    assert not is_receipt(filed(headers=[("dlq.receipt.of", b"0/4")]))


@pytest.mark.parametrize("text", [b"", b"4", b"0/4/5", b"-1/4", b"0/\xff", b"0/" + b"9" * 19])
def test_a_receipt_that_cannot_be_read_counts_for_no_letter(text):
    headers = (("dlq.receipt.of", text), ("dlq.receipt.time_ms", b"99"))
    assert receipt_of(Message(0, 9, AT_MS, None, b"", headers)) is None


def test_foreign_letters_without_headers_stay_apart_and_do_no_harm():
    letters = [
        Message(0, 4, 99, b"\xff", None, (("__connect.errors.partition", b"\xfe9"),)),
        Message(0, 5, 99, None, b"x", (("__connect.errors.partition", b"9" * 18),)),
    ]
    rows = dead_letter_frame(letters).to_dicts()
    assert [row["origin_offset"] for row in rows] == [4, 5]
    assert [row["origin_partition"] for row in rows] == [-1, -1]
    assert not any(summary_of(letter).has_origin for letter in letters)


@pytest.mark.parametrize(
    ("wanted", "matches"),
    [
        ({}, True),
        ({"reason": "avro_invalid"}, True),
        ({"reason": "bad_magic"}, False),
        ({"topic": "telemetry"}, True),
        ({"topic": "x.telemetry"}, True),
        ({"topic": "telemetry.t0"}, False),
        ({"tenant": "t0"}, True),
        ({"tenant": "t"}, False),
        ({"since_ms": AT_MS, "until_ms": AT_MS + 1}, True),
        ({"since_ms": AT_MS + 1}, False),
        ({"until_ms": AT_MS}, False),
        ({"reason": "avro_invalid", "tenant": "other"}, False),
    ],
)
def test_a_filter_means_the_letters_that_match_all_of_it(wanted, matches):
    assert LetterFilter(prefix="x.", **wanted).matches(summary_of(filed())) is matches


def test_the_tenant_of_a_tenants_own_topic_is_the_topics_and_also_the_keys():
    letter = summary_of(filed(key=b"forged/d1", origin=Origin("x.telemetry.t9", 0, 1)))
    assert LetterFilter(prefix="x.", tenant="t9").matches(letter)
    assert LetterFilter(prefix="x.", tenant="forged").matches(letter)
    assert not LetterFilter(prefix="x.", tenant="t0").matches(letter)
