"""Which schemas from the network are believed, and in which form the block reader gets them."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.avro_columns import is_same_type, record_shape
from schemas.avro_shapes import (
    FIXED_MAX_BYTES,
    SCHEMA_MAX_DEPTH,
    SCHEMA_MAX_FIELDS,
    is_block_readable,
    plain_schema,
)
from schemas.codec import decode_messages
from schemas.errors import Reason, Rejected
from schemas.records import SCHEMA_FILES, schema_of, wire_header
from schemas.topics import Topic


def record(*types, name="Root"):
    fields = [{"name": f"f{index}", "type": kind} for index, kind in enumerate(types)]
    return {"type": "record", "name": name, "fields": fields}


def fixed(size, name="Fixed"):
    return {"type": "fixed", "name": name, "size": size}


def array(items):
    return {"type": "array", "items": items}


def nested(depth, wrap, kernel="int"):
    node = kernel
    for _ in range(depth):
        node = wrap(node)
    return node


def laughs(generations):
    """Each record holds the one before twice: 2 to the power of generations when written out."""
    node = "int"
    for index in range(generations):
        again = f"L{index - 1}" if index else "int"
        node = record(node, again, name=f"L{index}")
    return node


REFUSED = {
    "recursive": record(["null", "Root"]),
    "recursive through an array": record(array("Root")),
    "recursive through a map": record({"type": "map", "values": "Root"}),
    "recursive by its full name": record("a.Root", name="Root") | {"namespace": "a"},
    "array of null": record(array("null")),
    "array of empty records": record(array(record(name="Empty"))),
    "array of records of nulls": record(array(record("null", "null", name="Nulls"))),
    "array of fixed of no bytes": record(array(fixed(0))),
    "deep arrays": record(nested(SCHEMA_MAX_DEPTH, array)),
    "deeper than Python's stack": record(nested(20_000, array)),
    "deep type objects": record(nested(SCHEMA_MAX_DEPTH, lambda kind: {"type": kind})),
    "wide": record(*["int"] * (SCHEMA_MAX_FIELDS + 1)),
    "exponential": laughs(30),
    "huge fixed": record(fixed(FIXED_MAX_BYTES + 1)),
    "a fixed that no memory holds": record(fixed(2**60)),
    "negative fixed": record(fixed(-1)),
    "fixed of text": record(fixed("8")),
    "fixed of a fraction": record(fixed(1.5)),
    "union in union": record([["null", "int"], "null"]),
    "wide union": record(["null", "int", "string"]),
    "union of nulls": record(["null", "null"]),
    "empty union": record([]),
    "enum": record({"type": "enum", "name": "E", "symbols": ["A"]}),
    "only null": record("null"),
    "no fields": record(),
    "defined twice": record(fixed(4), fixed(8)),
    "not defined": record("Nowhere"),
    "twice the same field": {**record("int"), "fields": [{"name": "f", "type": "int"}] * 2},
    "field without name": {**record(), "fields": [{"type": "int"}]},
    "field without type": {**record(), "fields": [{"name": "f"}]},
    "field with a wrong name": {**record(), "fields": [{"name": "#row", "type": "int"}]},
    "field that is a number": {**record(), "fields": [7]},
    "fields that are no list": {**record(), "fields": {"f": "int"}},
    "record without fields": {"type": "record", "name": "Root"},
    "record without name": {"type": "record", "fields": []},
    "namespace that is a number": record("int") | {"namespace": 7},
    "not a record": "string",
    "an array": array("int"),
    "nothing": None,
    "a number": 7,
    "an empty object": {},
    "a type of types": {"type": ["int"]},
}


@pytest.mark.parametrize("schema", [pytest.param(s, id=name) for name, s in REFUSED.items()])
def test_a_dangerous_or_broken_schema_refuses_its_messages_and_raises_nothing(schema):
    messages = [wire_header(9) + datum for datum in (b"", b"\x00" * 9, b"\xff" * 40)]
    block = decode_messages(Topic.TELEMETRY, messages, lambda schema_id: schema)
    assert [message.row for message in block.rejected] == [0, 1, 2]
    assert {message.reason for message in block.rejected} == {Reason.SCHEMA_REFUSED}


@pytest.mark.parametrize(
    "schema",
    [
        record(*["int"] * SCHEMA_MAX_FIELDS),
        record(nested(SCHEMA_MAX_DEPTH - 1, array)),
        record(fixed(FIXED_MAX_BYTES)),
        record(array(fixed(1))),
        record(fixed(4), "Fixed", record("Fixed", name="Inner"), "Inner"),
        record(array(record(array(record("int", name="B")), name="A")), "A", "B"),
    ],
)
def test_a_schema_at_a_limit_or_with_a_type_used_again_is_believed(schema):
    assert is_block_readable(plain_schema(schema))


@pytest.mark.parametrize("topic", SCHEMA_FILES)
def test_each_of_our_own_schemas_is_believed_and_readable_in_blocks(topic):
    assert is_block_readable(plain_schema(schema_of(topic)))


def test_a_plain_schema_has_no_maps_logical_types_names_docs_or_defaults():
    written = json.dumps(plain_schema(schema_of(Topic.TELEMETRY)))
    for word in ("map", "logicalType", "doc", "default", "namespace", "Point"):
        assert f'"{word}"' not in written


def test_every_use_of_a_named_type_gets_a_name_of_its_own():
    names = []

    def collect(node):
        if isinstance(node, dict):
            names.extend([node["name"]] if node.get("type") in ("record", "fixed") else [])
            [collect(value) for value in node.values()]
        if isinstance(node, list):
            [collect(value) for value in node]

    collect(plain_schema(record(fixed(4), "Fixed", record("Fixed", name="Inner"), "Inner")))
    assert len(names) == len(set(names)) == 7


def test_a_name_is_looked_up_in_the_namespace_around_it():
    inner = {"type": "fixed", "name": "Id", "size": 4}
    schema = record(inner, "Id", "a.b.Id") | {"namespace": "a.b"}
    kinds = [field["type"]["size"] for field in plain_schema(schema)["fields"]]
    assert kinds == [4, 4, 4]
    with pytest.raises(Rejected, match="not defined"):
        plain_schema(record(inner, "other.Id") | {"namespace": "a.b"})


def test_the_shape_of_telemetry_is_its_own_fields_and_those_of_its_points():
    shape = record_shape(schema_of(Topic.TELEMETRY))
    assert shape.items_name == "points"
    assert [field.name for field in shape.item_fields] == ["name", "value", "timestamp", "tags"]
    assert "points" not in [field.name for field in shape.fields]


def plain_types():
    leaves = st.sampled_from(["int", "long", "string"]) | st.integers(1, 3).map(fixed)
    return st.recursive(
        leaves,
        lambda inner: inner.map(array) | st.lists(inner, min_size=1, max_size=2).map(lambda
            kinds: record(*kinds)),
        max_leaves=4,
    )  # fmt: skip


def renamed(node):
    if isinstance(node, dict):
        return {k: "Other" if k == "name" and "type" in node and node["type"] in ("record", "fixed")
                else renamed(v) for k, v in node.items()}  # fmt: skip
    return [renamed(item) for item in node] if isinstance(node, list) else node


@given(plain_types(), plain_types())
def test_types_are_the_same_exactly_when_they_differ_in_names_of_types_alone(left, right):
    assert is_same_type(left, renamed(left))
    assert is_same_type(left, right) == (renamed(left) == renamed(right))


def json_values():
    leaf = st.none() | st.booleans() | st.integers() | st.sampled_from(
        ["record", "array", "map", "fixed", "enum", "int", "null", "Root", "f", ""]
    )  # fmt: skip
    keys = st.sampled_from(["type", "name", "fields", "items", "values", "size", "namespace"])
    return st.recursive(
        leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner), max_leaves=9
    )


@given(json_values())
def test_any_json_at_all_is_a_schema_or_refused(node):
    with contextlib.suppress(Rejected):
        assert plain_schema(node)["type"] == "record"
