"""Old firmware in Avro: chosen by its schema, judged by the reader of today's messages."""

import pytest

from schemas.errors import Reason, Unavailable
from schemas.old_firmware import Arrivals, decode_firmware
from schemas.records import wire_header
from schemas.topics import MESSAGE_MAX_BYTES
from tests.old_formats import (
    OLD_SCHEMA,
    OLD_SCHEMA_ID,
    avro_message,
    decode_old,
    json_message,
    with_field,
)
from tests.strategies import NOON_MS

CPU = {"name": "cpu", "value": 0.5, "tags": {"core": "1"}, "timestamp": NOON_MS / 1000}


def rejected(block):
    return [(message.row, message.reason) for message in block.rejected]


def one(schema, **changes):
    """Decode one metric, written with a schema."""
    return decode_old([avro_message(CPU | changes, schema=schema)], schema=schema)


@pytest.mark.parametrize(
    ("type_", "written"),
    [
        ("double", NOON_MS / 1000),
        ("double", float(NOON_MS)),
        ("long", NOON_MS),
        ("int", NOON_MS // 1000),
        (["long", "null"], NOON_MS // 1000),
        ({"type": "long", "logicalType": "timestamp-millis"}, NOON_MS),
        ("string", "2026-09-21T14:15:00Z"),
    ],
)
def test_times_are_read_whatever_the_type_of_the_field(type_, written):
    block = one(with_field("timestamp", type_), timestamp=written)
    assert block.items["timestamp"].to_list() == [NOON_MS]


@pytest.mark.parametrize("type_", ["int", "long", "float", ["null", "double"]])
def test_values_of_every_number_type_are_read_but_not_of_one_that_may_be_null(type_):
    block = one(with_field("value", type_), value=3)
    expected = [] if isinstance(type_, list) else [3.0]
    assert block.items["value"].to_list() == expected


def test_a_schema_without_tags_or_times_is_read_with_none_and_the_append_time():
    block = one(with_field("tags", None))
    assert block.items["tags"].to_list() == [[]]
    block = one(with_field("timestamp", None))
    assert block.items["timestamp"].to_list() == [NOON_MS]


REFUSED = {
    "no name": with_field("name", None),
    "name bytes": with_field("name", "bytes"),
    "value text": with_field("value", "string"),
    "value a truth value": with_field("value", "boolean"),
    "tags a text": with_field("tags", "string"),
    "tags of numbers": with_field("tags", {"type": "map", "values": "long"}),
    "times a truth value": with_field("timestamp", "boolean"),
    "times in microseconds": with_field(
        "timestamp", {"type": "long", "logicalType": "timestamp-micros"}
    ),
    "metrics no list": OLD_SCHEMA | {"fields": [{"name": "metrics", "type": "string"}]},
    "metrics of numbers": OLD_SCHEMA
    | {"fields": [{"name": "metrics", "type": {"type": "array", "items": "long"}}]},
    "recursive": OLD_SCHEMA | {"fields": [{"name": "metrics", "type": "Metrics"}]},
    "metrics nothing": OLD_SCHEMA | {"fields": [{"name": "metrics"}]},
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_schema_that_cannot_be_metrics_rejects_its_messages_alone(kind):
    values = [wire_header(OLD_SCHEMA_ID) + b"\0", json_message(CPU)]
    block = decode_old(values, schema=REFUSED[kind])
    assert rejected(block) == [(0, Reason.SCHEMA_REFUSED)]
    assert block.messages["row"].to_list() == [1]


def test_a_schema_deeper_than_python_can_follow_rejects_its_messages_alone():
    deep = {"type": "array", "items": "long"}
    for _ in range(100_000):
        deep = {"type": "array", "items": deep}
    schema = {"type": "record", "name": "M", "fields": [{"name": "metrics", "type": deep}]}
    block = decode_old([wire_header(OLD_SCHEMA_ID) + b"\0", json_message(CPU)], schema=schema)
    assert rejected(block) == [(0, Reason.SCHEMA_REFUSED)]
    while "items" in deep and isinstance(deep["items"], dict):
        deep = deep["items"]  # taken apart from outside: freeing it at once would recurse


BAD = {
    "cut": avro_message(CPU)[:-3],
    "bytes left": avro_message(CPU) + b"\0",
    "a length of terabytes": wire_header(OLD_SCHEMA_ID) + b"\x02\xfe\xff\xff\xff\xff\xff\x3f",
    # ... value, then \0: no tags, \2: a time; \1 is -1, which a lax reader takes for the last
    "a union branch of -1": avro_message(CPU | {"tags": None}).replace(b"\0\2", b"\1\2", 1),
    "a time that is not finite": avro_message(CPU | {"timestamp": float("nan")}),
    "a time beyond 64 bits": avro_message(CPU, CPU | {"timestamp": 1e300}),
    "nothing": wire_header(OLD_SCHEMA_ID),
}


@pytest.mark.parametrize("kind", BAD)
def test_bytes_that_are_no_metrics_are_rejected_alone(kind):
    good = avro_message(CPU)
    block = decode_old([good, BAD[kind], good])
    assert rejected(block) == [(1, Reason.AVRO_INVALID)]
    assert block.items["row"].to_list() == [0, 2]


def test_a_message_over_the_limit_is_oversize():
    long = avro_message(CPU | {"name": "x" * MESSAGE_MAX_BYTES})
    block = decode_old([long, avro_message(CPU)])
    assert rejected(block) == [(0, Reason.OVERSIZE)]
    assert block.messages["row"].to_list() == [1]


def test_an_unknown_schema_id_beside_old_messages_is_rejected_with_the_registrys_words():
    block = decode_old([wire_header(77) + b"\0", json_message(CPU)])
    assert rejected(block) == [(0, Reason.SCHEMA_UNKNOWN)]


def test_a_registry_that_is_away_rejects_no_old_message_either():
    def away(schema_id):
        raise Unavailable("the registry does not answer")

    arrivals = Arrivals([b"t/d"] * 2, [None] * 2, [NOON_MS] * 2)
    with pytest.raises(Unavailable):
        decode_firmware([avro_message(CPU), json_message(CPU)], arrivals, away)
