"""Which writer's schemas resolve to ours; the others are refused before a byte is believed."""

import json

import pytest

from schemas.codec import decode_messages
from schemas.errors import Reason
from schemas.records import wire_header
from schemas.topics import Topic
from tests.schema_versions import (
    VERSIONS,
    base_schema,
    encode_version,
    encode_with,
    field_named,
    point_fields,
)

POINT = {"name": "cpu", "value": 0.5, "timestamp": 2, "tags": {}}
BATCH = {"tenant_id": "t", "device_id": "d", "sent_at": 1, "points": [POINT]}


def refusals_of(schema, messages) -> list[tuple[Reason, str]]:
    """Decode messages of one bad schema after one of a good one, which must be kept."""
    good = encode_version(1, BATCH)
    block = decode_messages(
        Topic.TELEMETRY,
        [good, *messages],
        lambda schema_id: VERSIONS[1] if schema_id == 1 else schema,
    )
    assert block.messages["row"].to_list() == [0], "the neighbour of another schema is kept"
    assert [message.row for message in block.rejected] == list(range(1, 1 + len(messages)))
    return [(message.reason, message.detail) for message in block.rejected]


def nullable_field(schema, fields, name):
    field = field_named(fields, name)
    field["type"] = ["null", field["type"]]
    return schema


def retyped_field(schema, fields, name, kind):
    field_named(fields, name)["type"] = kind
    return schema


def changed_schemas():
    for name in ("tenant_id", "device_id", "sent_at", "points"):
        schema = base_schema()
        yield f"null {name}", nullable_field(schema, schema["fields"], name), "null"
    for name in ("name", "value", "timestamp", "tags"):
        schema = base_schema()
        yield f"null {name}", nullable_field(schema, point_fields(schema), name), "null"
    for name, kind in [("sent_at", "double"), ("tenant_id", "bytes"), ("device_id", "long")]:
        schema = base_schema()
        yield f"{name} {kind}", retyped_field(schema, schema["fields"], name, kind), "type"
    for name, kind in [
        ("timestamp", "double"),
        ("timestamp", "float"),
        ("value", "string"),
        ("tags", {"type": "map", "values": "long"}),
        ("tags", {"type": "map", "values": ["null", "string"]}),
    ]:
        schema = base_schema()
        yield f"{name} {kind}", retyped_field(schema, point_fields(schema), name, kind), "type"


@pytest.mark.parametrize(
    ("schema", "word"),
    [pytest.param(schema, word, id=name) for name, schema, word in changed_schemas()],
)
def test_a_schema_that_does_not_resolve_to_ours_is_refused_before_a_byte_is_believed(schema, word):
    datum = wire_header(2) + b"\x02" * 30
    for reason, detail in refusals_of(schema, [datum, datum[:-9]]):
        assert reason is Reason.SCHEMA_REFUSED
        assert word in detail or "array of records" in detail


@pytest.mark.parametrize("name", ["tenant_id", "sent_at", "points"])
def test_a_schema_without_a_field_that_has_no_default_is_refused(name):
    schema = base_schema()
    schema["fields"].remove(field_named(schema["fields"], name))
    batch = {key: value for key, value in BATCH.items() if key != name}
    ((reason, detail),) = refusals_of(schema, [encode_with(schema, batch, 2)])
    assert reason is Reason.SCHEMA_REFUSED
    assert name in detail


@pytest.mark.parametrize(
    ("unit", "written", "read_ms"),
    [
        ("timestamp-millis", 1_999, 1_999),
        ("timestamp-micros", 1_999_999, 1_999),
        ("timestamp-micros", -1, -1),
        ("timestamp-nanos", 1_999_999_999, 1_999),
    ],
)
def test_a_time_in_another_unit_is_read_as_the_millisecond_in_which_it_lies(unit, written, read_ms):
    schema = base_schema()
    field_named(schema["fields"], "sent_at")["type"] = {"type": "long", "logicalType": unit}
    field_named(point_fields(schema), "timestamp")["type"] = {"type": "long", "logicalType": unit}
    plain = json.loads(json.dumps(schema).replace(unit, "none"))
    record = BATCH | {"sent_at": written, "points": [POINT | {"timestamp": written}]}
    block = decode_messages(Topic.TELEMETRY, [encode_with(plain, record)], lambda _: schema)
    assert block.messages["sent_at"].to_list() == [read_ms]
    assert block.items["timestamp"].to_list() == [read_ms]
