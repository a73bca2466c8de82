"""Records of any Avro schema: drawn by hypothesis, and as the columns of the block codec."""

import polars as pl
from hypothesis import strategies as st

from schemas.avro_columns import record_shape
from schemas.avro_shapes import plain_schema

LONG_MIN, LONG_MAX = -(2**63), 2**63 - 1
PLACE = {
    "type": "record",
    "name": "Place",
    "fields": [
        {"name": "site", "type": ["string", "null"]},
        {"name": "spans", "type": {"type": "array", "items": ["null", "long"]}},
    ],
}
EVERY_TYPE = {
    "type": "record",
    "name": "Every",
    "fields": [
        {"name": "flag", "type": "boolean"},
        {"name": "blob", "type": "bytes"},
        {
            "name": "things",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "Thing",
                    "fields": [
                        {"name": "big", "type": "long"},
                        {"name": "maybe", "type": ["null", PLACE]},
                        {"name": "small", "type": ["int", "null"]},
                        {"name": "counts", "type": {"type": "map", "values": "int"}},
                    ],
                },
            },
        },
        {"name": "single", "type": "float"},
        {"name": "wide", "type": ["null", {"type": "fixed", "name": "Wide", "size": 5}]},
        {"name": "place", "type": "Place"},
        {"name": "names", "type": ["null", {"type": "array", "items": "string"}]},
        {
            "name": "deep",
            "type": {
                "type": "map",
                "values": {"type": "array", "items": {"type": "map", "values": "boolean"}},
            },
        },
    ],
}
"""The array of records stands in the middle; null is first or last; lists nest in maps."""


def text():
    return st.text(st.characters(codec="utf-8"), max_size=9) | st.just("x" * 200)


PRIMITIVES = {
    "boolean": st.booleans(),
    "int": st.sampled_from([0, -1, 63, 64, -64, -65]) | st.integers(-(2**31), 2**31 - 1),
    "long": st.sampled_from([0, LONG_MIN, LONG_MAX]) | st.integers(LONG_MIN, LONG_MAX),
    "float": st.floats(width=32, allow_nan=False),
    "double": st.floats(allow_nan=False),
    "bytes": st.binary(max_size=9),
    "string": text(),
}


def values_of(schema, named):
    """Draw values of a type as fastavro takes them."""
    if isinstance(schema, list):
        return st.none() | values_of(next(b for b in schema if b != "null"), named)
    if isinstance(schema, str):
        return PRIMITIVES[schema] if schema in PRIMITIVES else values_of(named[schema], named)
    if schema["type"] in ("record", "fixed"):
        named[schema["name"]] = schema
    return COMPLEX.get(schema["type"], values_of_logical)(schema, named)


def values_of_logical(schema, named):
    return values_of(schema["type"], named)


COMPLEX = {
    "record": lambda schema, named: st.fixed_dictionaries(
        {field["name"]: values_of(field["type"], named) for field in schema["fields"]}
    ),
    "array": lambda schema, named: st.lists(values_of(schema["items"], named), max_size=3),
    "map": lambda schema, named: st.dictionaries(
        text(), values_of(schema["values"], named), max_size=3
    ),
    "fixed": lambda schema, _: st.binary(min_size=schema["size"], max_size=schema["size"]),
}


def entries(plain, value):
    """Return a value of a record with maps written as the decoder gives them."""
    if value is None:
        return None
    if isinstance(plain, list):
        return entries(next(branch for branch in plain if branch != "null"), value)
    if isinstance(plain, dict) and plain["type"] == "record":
        return {f["name"]: entries(f["type"], value[f["name"]]) for f in plain["fields"]}
    if isinstance(plain, dict) and plain["type"] == "array":
        if isinstance(value, dict):
            value = [{"key": key, "value": inner} for key, inner in value.items()]
        return [entries(plain["items"], inner) for inner in value]
    return value


def columns_of(schema, records):
    """Return records as the two flat tables of the decoder."""
    shape = record_shape(schema)
    rows = [entries(plain_schema(schema), record) for record in records]
    own = {"row": pl.UInt32} | {field.name: field.dtype for field in shape.fields}
    numbered = [{"row": index} | row for index, row in enumerate(rows)]
    messages = pl.DataFrame(numbered, schema=own)
    if shape.items_name is None:
        return messages, None
    parts = {"row": pl.UInt32} | {field.name: field.dtype for field in shape.item_fields}
    items = [{"row": row["row"]} | item for row in numbered for item in row[shape.items_name]]
    return messages, pl.DataFrame(items, schema=parts)


def without_logical_types(node):
    if isinstance(node, dict):
        return {k: without_logical_types(v) for k, v in node.items() if k != "logicalType"}
    return [without_logical_types(item) for item in node] if isinstance(node, list) else node
