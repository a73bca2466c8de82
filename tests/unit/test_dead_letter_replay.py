"""Which dead letters may be sent again, and what exactly is sent."""

import numpy as np
import pytest

from schemas.dead_letter import Origin, Original, Refusal, dead_letter
from schemas.errors import Reason
from sinks.dead_letter_replay import (
    Hindrance,
    ReplayPolicy,
    SentBefore,
    hindrance,
    replay_of,
)
from sinks.dead_letter_summary import receipt_of, summary_of
from sinks.messages import Message
from sinks.position_set import PENDING_MAX_COUNT, PositionSet

AT_MS = 1_767_225_600_000
COUNTS = {"x.telemetry": 4, "x.telemetry.acme": 1, "x.devices": 4, "x.dead-letters": 4, "other": 4}
POLICY = ReplayPolicy("x.", COUNTS)
ORIGIN = Origin("x.telemetry", 3, 17)


def filed(value=b"v", *, key=b"t0/d1", headers=(), origin=ORIGIN, offset=4, at_ms=AT_MS):
    refusal = Refusal("c", "s", Reason.BAD_MAGIC, "why")
    letter = dead_letter(origin, refusal, Original(key, value, tuple(headers), at_ms))
    return Message(1, offset, at_ms, letter.key, letter.value, letter.headers)


def why_not(letter, policy=POLICY):
    return hindrance(summary_of(letter), policy)


def sent_again(letter):
    """Return the message as the job reads it after a replay."""
    return replay_of(letter, "x.dead-letters").headers()


def test_an_ordinary_letter_may_be_sent_again():
    assert why_not(filed()) is None
    assert why_not(filed(None, key=None)) is None
    assert why_not(filed(origin=Origin("x.telemetry.acme", 0, 1))) is None


@pytest.mark.parametrize(
    ("origin", "why"),
    [
        (Origin("x.telemetry", 4, 17), Hindrance.NO_TOPIC),
        (Origin("x.telemetry.gone", 0, 17), Hindrance.NO_TOPIC),
        (Origin("telemetry", 0, 17), Hindrance.FOREIGN_TOPIC),
        (Origin("other", 0, 17), Hindrance.FOREIGN_TOPIC),
        (Origin("x.dead-letters", 0, 17), Hindrance.FOREIGN_TOPIC),
        (Origin("x.telemetry.acme.more", 0, 17), Hindrance.FOREIGN_TOPIC),
        (Origin("x.telemetry\n", 0, 17), Hindrance.FOREIGN_TOPIC),
        (Origin("", 0, 17), Hindrance.NO_ORIGIN),
        (Origin("x.telemetry", -1, 17), Hindrance.NO_ORIGIN),
        (Origin("x.devices", 0, 17), Hindrance.COMPACTED),
    ],
)
def test_nothing_is_sent_to_a_topic_that_is_not_surely_the_right_one(origin, why):
    assert why_not(filed(origin=origin)) is why


def test_a_compacted_topic_must_be_named():
    letter = filed(origin=Origin("x.devices", 0, 17))
    assert why_not(letter, ReplayPolicy("x.", COUNTS, named_topic="devices")) is None


def test_a_cut_letter_is_never_sent():
    assert why_not(filed(b"v" * 2_000_000)) is Hindrance.TRUNCATED
    assert why_not(filed(key=b"k" * 100_000)) is Hindrance.TRUNCATED


def test_a_letter_without_headers_has_no_origin():
    assert why_not(Message(0, 1, AT_MS, None, b"v")) is Hindrance.NO_ORIGIN


def test_a_message_is_parked_when_it_was_sent_so_often():
    letter = filed()
    for attempt in (1, 2, 3):
        assert why_not(letter) is None
        letter = filed(headers=sent_again(letter))
        assert summary_of(letter).attempt == attempt
    assert why_not(letter) is Hindrance.PARKED
    assert why_not(letter, ReplayPolicy("x.", COUNTS, max_attempts=4)) is None


def test_what_is_sent_has_the_original_headers_and_three_of_ours():
    original = (("trace", b"1"), ("trace", b"\xff"), ("", b""))
    headers = sent_again(filed(headers=original))
    assert headers == (
        *original,
        ("dlq.attempt", b"1"),
        ("dlq.first_failed_at", b"2026-01-01T00:00:00.000Z"),
        ("dlq.replay.of", b"x.dead-letters/1/4"),
    )


def test_a_second_replay_keeps_the_first_time_and_names_the_second_letter():
    once = filed(headers=sent_again(filed()), offset=9, at_ms=AT_MS + 60_000)
    headers = dict(sent_again(once))
    assert headers["dlq.attempt"] == b"2"
    assert headers["dlq.first_failed_at"] == b"2026-01-01T00:00:00.000Z"
    assert headers["dlq.replay.of"] == b"x.dead-letters/1/9"


def receipt_message(letter, offset=50):
    headers = replay_of(letter, "x.dead-letters").receipt_headers()
    return Message(letter.partition, offset, AT_MS + 999, letter.key, b"", headers)


@pytest.mark.parametrize("at_ms", [AT_MS, 0, -1])
def test_a_receipt_read_back_says_what_was_sent(at_ms):
    letter = filed(at_ms=at_ms)
    sent = SentBefore("x.dead-letters")
    assert not sent.has(summary_of(letter))
    sent.add(receipt_of(receipt_message(letter)))
    assert sent.has(summary_of(letter))


def test_a_second_letter_of_the_same_original_counts_as_sent_and_others_do_not():
    sent = SentBefore("x.dead-letters")
    sent.add(receipt_of(receipt_message(filed(offset=4))))
    assert sent.has(summary_of(filed(offset=5)))
    assert not sent.has(summary_of(filed(offset=5, origin=Origin("x.telemetry", 3, 18))))
    assert not sent.has(summary_of(filed(offset=5, origin=Origin("x.telemetry", 2, 17))))


def test_another_message_at_the_same_place_of_a_topic_made_anew_is_not_the_same_original():
    sent = SentBefore("x.dead-letters")
    sent.add(receipt_of(receipt_message(filed(offset=4))))
    assert not sent.has(summary_of(filed(offset=5, at_ms=AT_MS + 1)))


def test_letters_without_origin_are_told_apart():
    sent = SentBefore("x.dead-letters")
    letters = [Message(0, offset, AT_MS, None, b"v") for offset in (1, 2)]
    sent.add(replay_of(letters[0], "x.dead-letters").receipt)
    assert [sent.has(summary_of(letter)) for letter in letters] == [True, False]


@pytest.mark.parametrize("seed", range(3))
def test_a_position_set_is_a_set(seed):
    print(f"seed {seed}")
    random = np.random.default_rng(seed)
    positions, plain = PositionSet(), set()
    for offset in random.integers(0, 300_000, 3 * PENDING_MAX_COUNT).tolist():
        place = ("ab"[offset % 2], offset % 3, offset)
        positions.add(*place)
        plain.add(place)
    asked = [
        (topic, partition, offset)
        for offset in random.integers(-5, 300_005, 5_000).tolist()
        for topic in "abc"
        for partition in (0, 2)
    ]
    assert [positions.has(*place) for place in asked] == [place in plain for place in asked]
    assert positions.has("a", 0, 0) is (("a", 0, 0) in plain)


def test_offsets_of_the_greatest_length_are_kept_exactly():
    positions = PositionSet()
    for offset in range(2**63 - PENDING_MAX_COUNT, 2**63):
        positions.add("a", 0, offset)
    assert positions.has("a", 0, 2**63 - 1)
    assert not positions.has("a", 0, 2**63 - PENDING_MAX_COUNT - 1)
