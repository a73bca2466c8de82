"""Block decode against fastavro, record by record: on good blocks and on mutilated ones."""

import math
import tracemalloc

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.careful_reader import CHUNK_MAX_MESSAGES
from schemas.codec import DecodedBlock, decode_messages
from schemas.errors import Reason, Rejected, Unavailable
from schemas.records import Record, encode_record, schema_of, wire_header
from schemas.topics import MESSAGE_MAX_BYTES, Topic
from tests.schema_versions import (
    VERSIONS,
    decode_reference,
    encode_version,
    schema_of_id,
)
from tests.strategies import batches

HEARTBEAT = {"tenant_id": "t", "device_id": "d", "sent_at": 1, "points": []}
POINT = {"name": "cpu", "value": 0.5, "timestamp": 2, "tags": {"core": "1"}}
BATCH = HEARTBEAT | {"points": [POINT, POINT]}


def messages_of_all_versions(max_size=5):
    version = st.sampled_from(sorted(VERSIONS))
    return st.lists(st.builds(encode_version, version, batches()), max_size=max_size)


def decode(messages) -> DecodedBlock:
    return decode_messages(Topic.TELEMETRY, messages, schema_of_id)


def records_of(block: DecodedBlock) -> dict[int, Record]:
    """Put the columns together again as records, by row."""
    records = {row["row"]: row | {"points": []} for row in block.messages.to_dicts()}
    assert len(records) == block.messages.height, "a row came twice"
    for item in block.items.to_dicts():
        tags = {tag["key"]: tag["value"] for tag in item["tags"]}
        records[item.pop("row")]["points"].append(item | {"tags": tags})
    for record in records.values():
        del record["row"]
    return records


def comparable(record: Record) -> Record:
    """Make NaN equal to itself, and tell -0.0 from 0.0."""
    points = [
        point | {"value": "nan" if math.isnan(point["value"]) else repr(point["value"])}
        for point in record["points"]
    ]
    return record | {"points": points}


def assert_believed_only_what_the_reference_believes(block, messages):
    records, rejected = records_of(block), [message.row for message in block.rejected]
    assert sorted([*records, *rejected]) == list(range(len(messages))), "each row exactly once"
    assert rejected == sorted(rejected)
    assert block.messages["row"].is_sorted()
    assert block.items["row"].is_sorted()
    for row, record in records.items():
        reference = decode_reference(messages[row])
        assert reference is not None, f"row {row} is no datum of its schema"
        assert comparable(record) == comparable(reference)


@given(messages_of_all_versions())
@settings(max_examples=60)
def test_a_block_of_mixed_schema_versions_decodes_as_fastavro_does_record_by_record(messages):
    block = decode(messages)
    assert block.rejected == []
    assert_believed_only_what_the_reference_believes(block, messages)


@given(st.lists(batches(), max_size=3))
@settings(max_examples=25)
def test_columns_and_their_types_are_the_readers_whatever_the_writers_version(drawn):
    expected = decode([]).messages.schema, decode([]).items.schema
    for version in VERSIONS:
        block = decode([encode_version(version, batch) for batch in drawn])
        assert (block.messages.schema, block.items.schema) == expected


def cut(message, neighbour, at, byte):
    return message[:at]


def flip(message, neighbour, at, byte):
    return message[:at] + bytes([message[at] ^ max(byte, 1)]) + message[at + 1 :]


def append_junk(message, neighbour, at, byte):
    return message + bytes([byte]) * (1 + at % 20)


def append_neighbour(message, neighbour, at, byte):
    return message + neighbour[5:]


def append_neighbour_after_a_mark(message, neighbour, at, byte):
    return message + np.float64(byte).tobytes() + neighbour[5:]


def splice_neighbour(message, neighbour, at, byte):
    return message[:at] + neighbour[at % len(neighbour) :]


def swap_bytes(message, neighbour, at, byte):
    other = byte % len(message)
    changed = bytearray(message)
    changed[at], changed[other] = changed[other], changed[at]
    return bytes(changed)


def insert_huge_number(message, neighbour, at, byte):
    return message[:at] + b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01" + message[at:]


def make_tombstone(message, neighbour, at, byte):
    return None


MUTATIONS = (
    cut,
    flip,
    append_junk,
    append_neighbour,
    append_neighbour_after_a_mark,
    splice_neighbour,
    swap_bytes,
    insert_huge_number,
    make_tombstone,
)


@st.composite
def mutilated_blocks(draw):
    """Draw a block and the rows of it that were changed."""
    messages = draw(messages_of_all_versions().filter(len))
    changed = {}
    for row in draw(st.sets(st.integers(0, len(messages) - 1), min_size=1)):
        message, neighbour = messages[row], messages[(row + 1) % len(messages)]
        mutation = draw(st.sampled_from(MUTATIONS))
        at = draw(st.integers(0, len(message) - 1))
        changed[row] = mutation(message, neighbour, at, draw(st.integers(0, 255)))
    return messages, changed


@given(mutilated_blocks())
@settings(max_examples=100)
def test_a_mutilated_message_never_loses_or_alters_its_neighbours(drawn):
    original, changed = drawn
    messages = [changed.get(row, message) for row, message in enumerate(original)]
    block = decode(messages)
    assert_believed_only_what_the_reference_believes(block, messages)
    assert {message.row for message in block.rejected} <= set(changed), "a good one was lost"


@given(st.binary(max_size=80), st.sampled_from(sorted(VERSIONS)))
@example(b"\x02t\x02d\x00\x00\x00\x00\x00\x00\x00\x00\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", 1)
def test_any_bytes_at_all_are_judged_and_never_raise(datum, version):
    good = encode_version(version, BATCH)
    messages = [good, wire_header(version) + datum, good]
    block = decode(messages)
    assert_believed_only_what_the_reference_believes(block, messages)
    assert {0, 2} <= set(block.messages["row"])


@pytest.mark.parametrize("junk", [b"\x00", b"\x00" * 8, b"\x00" * 16])
@pytest.mark.parametrize("neighbour_count", [0, 1, 40])
def test_a_datum_with_bytes_left_over_is_rejected_alone_and_among_others(junk, neighbour_count):
    good = encode_version(1, BATCH)
    block = decode([good] * neighbour_count + [good + junk] + [good] * neighbour_count)
    assert [message.row for message in block.rejected] == [neighbour_count]
    assert block.rejected[0].reason is Reason.AVRO_INVALID
    assert block.items.height == 2 * 2 * neighbour_count


def test_two_bad_messages_that_mend_each_other_are_both_rejected():
    #  first: the start of a datum | second: the rest of it, so that the marks after them fit again
    good = encode_version(1, BATCH)
    middle = len(good) // 2
    halves = [good[:middle], good[:5] + good[middle:]]
    block = decode([good, *halves, good])
    assert [message.row for message in block.rejected] == [1, 2]


def test_bad_messages_at_the_edges_of_chunks_take_nobody_with_them():
    count = 2 * CHUNK_MAX_MESSAGES + 7
    edges = {0, CHUNK_MAX_MESSAGES - 1, CHUNK_MAX_MESSAGES, 2 * CHUNK_MAX_MESSAGES, count - 1}
    good = encode_version(1, BATCH)
    block = decode([good[:-3] if row in edges else good for row in range(count)])
    assert {message.row for message in block.rejected} == edges
    assert block.messages["row"].to_list() == sorted(set(range(count)) - edges)
    assert block.items.height == 2 * (count - len(edges))


def test_a_block_of_nothing_but_bad_messages_is_rejected_message_by_message():
    block = decode([wire_header(1) + b"\xff" * 30] * 50)
    assert [message.row for message in block.rejected] == list(range(50))
    assert block.messages.is_empty()
    assert block.items.is_empty()


def test_a_value_without_magic_byte_a_short_one_and_a_tombstone_have_a_bad_magic():
    block = decode([b"\x01\0\0\0\x01", b"\0\0\0\0", b"", None, encode_version(1, BATCH)])
    assert [message.reason for message in block.rejected] == [Reason.BAD_MAGIC] * 4
    assert block.messages["row"].to_list() == [4]


def test_a_message_of_the_largest_size_is_read_and_one_byte_more_is_oversize():
    def sized(size):
        overhead = len(encode_version(1, BATCH | {"boot_id": "x" * 1_000_000})) - 1_000_000
        return encode_version(1, BATCH | {"boot_id": "x" * (size - overhead)})

    messages = [sized(MESSAGE_MAX_BYTES), sized(MESSAGE_MAX_BYTES + 1)]
    assert [len(message) for message in messages] == [MESSAGE_MAX_BYTES, MESSAGE_MAX_BYTES + 1]
    block = decode(messages)
    assert [(m.row, m.reason) for m in block.rejected] == [(1, Reason.OVERSIZE)]
    assert block.messages["row"].to_list() == [0]


def test_an_unknown_schema_id_rejects_its_own_messages_only():
    known, unknown = encode_version(1, BATCH), wire_header(77) + encode_version(1, BATCH)[5:]
    block = decode([known, unknown, known, unknown])
    assert [(m.row, m.reason) for m in block.rejected] == [
        (1, Reason.SCHEMA_UNKNOWN),
        (3, Reason.SCHEMA_UNKNOWN),
    ]
    assert block.messages["row"].to_list() == [0, 2]


def test_a_registry_that_is_away_is_passed_on_and_nothing_is_rejected():
    def away(schema_id):
        raise Unavailable("the registry does not answer")

    with pytest.raises(Unavailable, match="does not answer"):
        decode_messages(Topic.TELEMETRY, [encode_version(1, BATCH)], away)


def test_rows_and_their_points_keep_the_order_of_the_log_when_schema_ids_alternate():
    batch = BATCH | {"points": [POINT | {"timestamp": at} for at in (9, 3, 5)]}
    block = decode([encode_version(1 + row % 4, batch) for row in range(23)])
    assert block.messages["row"].to_list() == list(range(23))
    assert block.items["row"].to_list() == [row for row in range(23) for _ in range(3)]
    assert block.items["timestamp"].to_list() == [9, 3, 5] * 23


def test_no_detail_of_a_rejection_shows_a_value_of_the_record():
    secret = HEARTBEAT | {"boot_id": "s3cret", "points": [POINT]}
    message = encode_version(1, secret)
    for bad in (message[:-2], message + b"\0", message[:9] + b"\xff\xff" + message[11:]):
        assert all("s3cret" not in rejected.detail for rejected in decode([bad]).rejected)


def test_an_announced_length_of_terabytes_costs_no_memory():
    huge = b"\xfe\xff\xff\xff\xff\xff\x3f"
    start = b"\x02t\x02d\x00\x00\x00\x00\x00\x00\x00\x00"
    messages = [wire_header(1) + part + huge + b"\x00" * 40 for part in (b"", b"\x02t", start)]
    tracemalloc.start()
    block = decode(messages)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(block.rejected) == 3
    assert peak_bytes < 50_000_000


def test_a_topic_whose_record_has_no_array_of_records_gives_messages_alone():
    topic = Topic.DEVICE_STATUS
    record = {"tenant_id": "t", "device_id": "d", "status": "online"}
    message = encode_record(topic, record | {"status_since": 4, "last_seen": 5}, 1)
    block = decode_messages(topic, [message, message[:-1]], lambda schema_id: schema_of(topic))
    assert block.messages["device_id"].to_list() == ["d"]
    assert block.items.equals(pl.DataFrame())
    assert [rejected.row for rejected in block.rejected] == [1]


def test_a_refused_schema_id_is_refused_with_the_registrys_words():
    def refuse(schema_id):
        raise Rejected(Reason.SCHEMA_UNKNOWN, "no such id")

    block = decode_messages(Topic.TELEMETRY, [encode_version(1, BATCH)], refuse)
    assert [(m.reason, m.detail) for m in block.rejected] == [(Reason.SCHEMA_UNKNOWN, "no such id")]
