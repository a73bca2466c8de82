"""Telemetry schemas compatible with each other, as years of use make them."""

import copy
import ctypes
import io
import json
from typing import Any

import fastavro

from schemas.errors import Reason, Rejected
from schemas.records import (
    Record,
    Schema,
    decode_record,
    schema_id_of,
    schema_of,
    schema_text,
    wire_header,
)
from schemas.topics import Topic

INT_MAX = 2**31 - 1
STATES = ["UNKNOWN", "OK", "BUSY"]
"""The symbols of v6's enum; v5 does not have the last one yet."""


def base_schema() -> Schema:
    """Return a copy of the reader's own schema, to be changed."""
    return json.loads(schema_text(Topic.TELEMETRY))


def point_fields(schema: Schema) -> list[dict[str, Any]]:
    return field_named(schema["fields"], "points")["type"]["items"]["fields"]


def field_named(fields: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(field for field in fields if field["name"] == name)


def with_more_fields() -> Schema:
    """v2: more fields, one called as our own column, one type used twice, both in points too."""
    place = {"type": "record", "name": "Place", "fields": [{"name": "x", "type": "int"}]}
    schema = base_schema()
    schema["fields"] += [
        {"name": "row", "type": "int", "default": 7},
        {"name": "home", "type": ["null", place], "default": None},
        {"name": "work", "type": ["null", "Place"], "default": None},
    ]
    point_fields(schema).append({"name": "row", "type": {"type": "map", "values": "int"}})
    return schema


def with_fewer_fields() -> Schema:
    """v3: fields with defaults are gone, also those that later became tags."""
    schema = base_schema()
    gone = {"boot_id", "received_at", "hardware_revision"}
    schema["fields"] = [field for field in schema["fields"] if field["name"] not in gone]
    fields = point_fields(schema)
    fields.remove(field_named(fields, "tags"))
    return schema


def with_narrow_numbers() -> Schema:
    """v4: int where we read long, float where we read double, and the fields in another order."""
    schema = base_schema()
    field_named(schema["fields"], "sequence")["type"] = ["int", "null"]
    del field_named(schema["fields"], "sequence")["default"]
    field_named(schema["fields"], "sent_at")["type"] = "int"
    schema["fields"].reverse()
    field_named(point_fields(schema), "value")["type"] = "float"
    return schema


def with_enum(symbols: list[str]) -> Schema:
    """v5, v6: an enum in the batch, and the same one in each point, where it may be null."""
    state = {"type": "enum", "name": "State", "symbols": symbols, "default": "UNKNOWN"}
    schema = base_schema()
    schema["fields"].insert(0, {"name": "state", "type": state, "default": "UNKNOWN"})
    point_fields(schema).insert(
        1, {"name": "state", "type": ["null", "fleetpulse.v1.State"], "default": None}
    )
    return schema


VERSIONS = {
    1: schema_of(Topic.TELEMETRY),
    2: with_more_fields(),
    3: with_fewer_fields(),
    4: with_narrow_numbers(),
    5: with_enum(STATES[:-1]),
    6: with_enum(STATES),
}
"""Writer's schemas by their id."""


def schema_of_id(schema_id: int) -> Schema:
    """Answer as the registry does."""
    if schema_id not in VERSIONS:
        raise Rejected(Reason.SCHEMA_UNKNOWN, f"the registry has no schema {schema_id}")
    return VERSIONS[schema_id]


def encode_with(schema: Schema, record: Record, schema_id: int = 1) -> bytes:
    """Write a record with any schema, by the reference implementation."""
    out = io.BytesIO()
    out.write(wire_header(schema_id))
    parsed = fastavro.parse_schema(copy.deepcopy(schema))
    fastavro.schemaless_writer(out, parsed, record)
    return out.getvalue()


def encode_version(schema_id: int, batch: Record) -> bytes:
    """Write a batch as a device of that version would."""
    record = copy.deepcopy(batch)
    if schema_id == 2:
        record |= {"row": 99, "home": {"x": 1}, "work": None}
        for point in record["points"]:
            point["row"] = {"k": 5}
    if schema_id == 4:
        record["sent_at"] %= INT_MAX
        for point in record["points"]:
            point["value"] = as_float32(point["value"])
    if schema_id in (5, 6):
        # The newest symbol that the version has, so that v6 sends one that v5 does not know.
        record["state"] = STATES[schema_id - 4]
        for index, point in enumerate(record["points"]):
            point["state"] = [None, *STATES[: schema_id - 3]][index % (schema_id - 2)]
    return encode_with(VERSIONS[schema_id], record, schema_id)


def as_float32(value: float) -> float:
    """Round to the nearest float of 32 bits; beyond its range that is an infinity."""
    return ctypes.c_float(value).value


def decode_reference(message: bytes | None) -> Record | None:
    """Decode one message record by record; None when it is no message of a known schema."""
    try:
        schema = schema_of_id(schema_id_of(message or b""))
        return decode_record(Topic.TELEMETRY, message, schema)
    except Rejected:
        return None
