"""Device records: to their shards, tombstones too, and to the dead letters what cannot be read."""

from schemas.errors import Reason
from schemas.records import encode_record, schema_of
from schemas.topics import Topic
from tests.raw_blocks import keyed_block
from tests.strategies import NOON_MS
from udfs.dead_letters import dead_letters
from udfs.device_blocks import device_sections
from udfs.frame_bytes import unpack_frames
from udfs.shards import SectionKind

COMPONENT = "fleetpulse-offline"


def sections_of(messages, headers=None):
    """Return (device rows, letters) of (key, value) messages in one partition."""
    raw = keyed_block("devices", messages, headers)
    sections = device_sections(raw, lambda _: schema_of(Topic.DEVICES), shard_count=4)
    frames = [(section.kind, unpack_frames(section.payload)) for section in sections]
    devices = [row for kind, frame in frames if kind is SectionKind.DEVICES
               for row in frame["devices"].to_dicts()]  # fmt: skip
    letters = [letter for kind, frame in frames if kind is SectionKind.DEAD_LETTERS
               for letter in dead_letters(frame["letters"], COMPONENT)]  # fmt: skip
    return sorted(devices, key=lambda row: row["offset"]), letters


def record(device_id):
    device = {"tenant_id": "t", "device_id": device_id, "status": "active"}
    defaults = {"deployment_group": None, "certificate_serial": None, "attributes": {}}
    return encode_record(Topic.DEVICES, device | defaults, 1)


def test_a_record_that_cannot_be_read_is_a_letter_and_its_neighbours_are_devices():
    messages = [(b"t/a", record("a")), (b"t/b", b"junk"), (b"t/c", record("c") + b"\0")]
    devices, letters = sections_of(messages, {1: (("trace", b"7"),)})
    assert [row["device_id"] for row in devices] == ["a"]
    assert [(letter.key, letter.value) for letter in letters] == messages[1:]
    headers = [dict(letter.headers) for letter in letters]
    assert [h["dlq.reason"] for h in headers] == [b"bad_magic", b"avro_invalid"]
    assert [h["__connect.errors.offset"] for h in headers] == [b"41", b"42"]
    assert headers[0]["__connect.errors.connector.name"] == COMPONENT.encode()
    assert (headers[0]["trace"], "trace" in headers[1]) == (b"7", False)
    assert [letter.timestamp_ms for letter in letters] == [NOON_MS + 1, NOON_MS + 2]


def test_a_tombstone_is_no_reject_unless_nobody_knows_whose_it_is():
    devices, letters = sections_of([(b"t/a", None), (b"a", None), (None, None)])
    assert [(row["device_id"], row["is_tombstone"]) for row in devices] == [("a", True)]
    assert [(letter.key, letter.value) for letter in letters] == [(b"a", None), (None, None)]
    reasons = {dict(letter.headers)["dlq.reason"].decode() for letter in letters}
    assert reasons == {Reason.IDENTITY_INVALID.value}
