"""Control blocks: one section for every shard, and to the dead letters what says no event."""

from schemas.control_records import CONTROL_SCHEMA
from tests.control_messages import EVENTS, KEYS, encoded, schema_of_id
from tests.raw_blocks import keyed_block
from udfs.control_blocks import control_sections
from udfs.dead_letters import dead_letters
from udfs.frame_bytes import unpack_frames
from udfs.shards import EVERY_SHARD, NO_SHARD, SectionKind


def sections_of(messages, headers=None):
    raw = keyed_block("control", messages, headers)
    return control_sections(raw, schema_of_id)


def test_the_events_travel_once_for_every_shard_and_the_letters_for_none():
    good = (KEYS["mute"].encode(), encoded(EVENTS["mute"]))
    messages = [good, (b"k", b"junk"), (KEYS["ack"].encode(), encoded(EVENTS["ack"]))]
    controls, letters = sections_of(messages, {1: (("trace", b"7"),)})
    assert (controls.kind, controls.shard) == (SectionKind.CONTROLS, EVERY_SHARD)
    frames = unpack_frames(controls.payload)
    assert frames.keys() == {"controls"}
    assert frames["controls"].schema == CONTROL_SCHEMA
    assert frames["controls"]["offset"].to_list() == [40, 42]
    assert (letters.kind, letters.shard) == (SectionKind.DEAD_LETTERS, NO_SHARD)
    (letter,) = dead_letters(unpack_frames(letters.payload)["letters"], "fleetpulse-offline")
    headers = dict(letter.headers)
    assert (letter.key, letter.value, headers["trace"]) == (b"k", b"junk", b"7")
    assert headers["dlq.reason"] == b"bad_magic"
    assert headers["__connect.errors.offset"] == b"41"


def test_a_tombstone_is_no_letter_and_a_block_without_events_wakes_no_shard():
    assert sections_of([(KEYS["ack"].encode(), None)]) == []
    (letters,) = sections_of([(b"k", None)])
    assert letters.kind is SectionKind.DEAD_LETTERS
    (controls,) = sections_of([(KEYS["mute"].encode(), None)])
    assert controls.kind is SectionKind.CONTROLS
