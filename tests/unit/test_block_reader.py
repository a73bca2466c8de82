"""Blocks of any schema against the strict reader, datum by datum: same rows, same values."""

import contextlib
import io
import math

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.avro_columns import column_type, columns_of
from schemas.avro_shapes import plain_schema
from schemas.avro_strict import ARRAY_MAX_ITEMS, NotADatum, read_datum, strict_reader
from schemas.block_reader import BlockReader
from schemas.careful_reader import INDEX

LEAVES = {
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(width=32),
    "double": st.floats(),
    "bytes": st.binary(max_size=5),
    "string": st.text(st.characters(codec="utf-8"), max_size=5),
}
SYMBOLS = ["A", "B", "C"]
OTHER_LEAVES = {
    "null": st.none(),
    "enum": st.sampled_from(SYMBOLS),
    "fixed": st.binary(min_size=3, max_size=3),
}


def long(number: int) -> bytes:
    """Encode any number as Avro would, however long it gets."""
    zigzag, out = 2 * number if number >= 0 else -2 * number - 1, bytearray()
    while zigzag > 0x7F:
        out.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    return bytes([*out, zigzag])


class _Names:
    """Gives every type of a schema a name of its own."""

    def __init__(self):
        self.count = 0

    def new(self) -> str:
        self.count += 1
        return f"N{self.count}"


@st.composite
def types(draw, names, depth=0):
    """Draw (a type, a strategy of its values); below a depth, simple ones only."""
    if depth < 3 and draw(st.booleans()):
        return draw(st.one_of(records(names, depth + 1), composed_types(names, depth + 1)))
    name = draw(st.sampled_from([*LEAVES, "null", "enum", "fixed"]))
    if name == "enum":
        kind = {"type": "enum", "name": names.new(), "symbols": SYMBOLS}
    elif name == "fixed":
        kind = {"type": "fixed", "name": names.new(), "size": 3}
    else:
        kind = name
    return kind, (LEAVES | OTHER_LEAVES)[name]


@st.composite
def composed_types(draw, names, depth):
    """Draw a nullable type, an array, a map, or a union of three, which no column can hold."""
    inner, values = draw(types(names, depth).filter(lambda drawn: takes_bytes(drawn[0])))
    nullable = draw(st.permutations(["null", inner])), st.none() | values
    wide = ["null", "long", "string"], st.none() | LEAVES["long"] | LEAVES["string"]
    kinds = [
        ({"type": "array", "items": inner}, st.lists(values, max_size=3)),
        ({"type": "map", "values": inner}, st.dictionaries(st.text("xyz"), values)),
        wide if isinstance(inner, list) else nullable,
        wide,
    ]
    return draw(st.sampled_from(kinds))


def takes_bytes(kind) -> bool:
    if isinstance(kind, dict) and kind["type"] == "record":
        return any(takes_bytes(field["type"]) for field in kind["fields"])
    return kind != "null"


@st.composite
def records(draw, names, depth=0):
    fields = draw(st.lists(types(names, depth), min_size=1, max_size=4))
    schema = {
        "type": "record",
        "name": names.new(),
        "fields": [{"name": f"f{index}", "type": kind} for index, (kind, _) in enumerate(fields)],
    }
    values = {f"f{index}": strategy for index, (_, strategy) in enumerate(fields)}
    return schema, st.fixed_dictionaries(values)


@st.composite
def blocks(draw):
    """Draw (schema, records) of any shape that has a column."""
    drawn = records(_Names()).filter(lambda drawn: columns_of(plain_schema(drawn[0])))
    schema, values = draw(drawn)
    return schema, draw(st.lists(values, max_size=12))


def encoded(schema, record) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), record)
    return out.getvalue()


def comparable(value):
    """Make maps and records alike, NaN equal to itself, and leave out what no column holds."""
    if isinstance(value, dict):
        return {name: comparable(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [comparable(inner) for inner in value]
    return "nan" if isinstance(value, float) and math.isnan(value) else value


def as_columns(value, dtype):
    """Return what of a value its column holds; a map is a list of its entries."""
    if value is None:
        return None
    if hasattr(dtype, "fields"):
        return {field.name: as_columns(value[field.name], field.dtype) for field in dtype.fields}
    if hasattr(dtype, "inner"):
        items = value if isinstance(value, list) else entries(value)
        return [as_columns(item, dtype.inner) for item in items]
    return value


def entries(mapping):
    return [{"key": key, "value": value} for key, value in mapping.items()]


def expected_of(schema, datums):
    """Read datum by datum, strictly: {index: record}."""
    read, found = strict_reader(plain_schema(schema)), {}
    for index, datum in enumerate(datums):
        with contextlib.suppress(NotADatum):
            found[index] = comparable(read_datum(read, datum))
    return found


def read_of(schema, datums):
    """Read as a block: ({index: record}, refused indices)."""
    read = BlockReader(schema).read(datums)
    rows = {row.pop(INDEX): comparable(row) for row in read.records.to_dicts()}
    assert list(rows) == sorted(rows), "ascending"
    return rows, [index for index, _ in read.refused]


def assert_read_as_the_strict_reader_does(schema, datums):
    expected = expected_of(schema, datums)
    rows, refused = read_of(schema, datums)
    assert rows == expected
    assert refused == [index for index in range(len(datums)) if index not in expected]


@given(blocks())
@settings(max_examples=150)
def test_a_block_of_any_schema_gives_what_fastavro_gives_record_by_record(drawn):
    schema, values = drawn
    datums = [encoded(schema, value) for value in values]
    rows, refused = read_of(schema, datums)
    assert refused == []
    dtype = column_type(plain_schema(schema))
    reference = [
        fastavro.schemaless_reader(io.BytesIO(datum), fastavro.parse_schema(schema), None)
        for datum in datums
    ]
    assert rows == {i: comparable(as_columns(r, dtype)) for i, r in enumerate(reference)}
    assert_read_as_the_strict_reader_does(schema, datums)


@given(blocks(), st.data())
@settings(max_examples=150)
def test_mutilated_datums_of_any_schema_are_judged_as_the_strict_reader_judges_them(drawn, data):
    schema, values = drawn
    datums = [encoded(schema, value) for value in values]
    for index, datum in enumerate(datums):
        if datum and data.draw(st.booleans()):
            at = data.draw(st.integers(0, len(datum) - 1))
            new = data.draw(st.binary(max_size=3) | st.just(long(-1)) | st.just(long(2**40)))
            datums[index] = datum[:at] + new + datum[at + data.draw(st.integers(0, 1)) :]
    assert_read_as_the_strict_reader_does(schema, datums)


def schema_with(kind):
    fields = [
        {"name": "before", "type": ["null", "string"]},
        {"name": "field", "type": kind},
        {"name": "items", "type": {"type": "array", "items": "long"}},
    ]
    return {"type": "record", "name": "Probe", "fields": fields}


def datum_with(field: bytes) -> bytes:
    return b"\x02\x02x" + field + b"\x02\x0e\x00"


ENUM = {"type": "enum", "name": "E", "symbols": SYMBOLS}
LONGS = {"type": "array", "items": "long"}
REFUSED = {
    "enum index -1": (ENUM, long(-1)),
    "enum index beyond": (ENUM, long(3)),
    "enum index of 40 bits": (ENUM, long(2**40)),
    "union index -1": (["null", "long"], long(-1) + long(5)),
    "union index -2": (["null", "long"], long(-2) + long(5)),
    "union index 2": (["null", "long"], long(2) + long(5)),
    "union index 2^32 + 1": (["null", "long"], long(2**32 + 1) + long(5)),
    "union index of null last": (["long", "null"], long(-1) + long(5)),
    "wide union index 3": (["null", "long", "string"], long(3) + long(5)),
    "int of 2^31": ("int", long(2**31)),
    "int of 2^40": ("int", long(2**40)),
    "int of -2^31 - 1": ("int", long(-(2**31) - 1)),
    "boolean 7": ("boolean", b"\x07"),
    "boolean 255": ("boolean", b"\xff"),
    "long of 2^63": ("long", long(2**63)),
    "long of 2^64": ("long", long(2**64)),
    "number of 20 bytes": ("long", b"\xff" * 19 + b"\x01"),
    "number of 11 bytes": ("long", b"\x80" * 10 + b"\x00"),
    "number of 10 bytes and 65 bits": ("long", b"\xff" * 9 + b"\x02"),
    "text that is no UTF-8": ("string", long(2) + b"\xff\xfe"),
    "text with a surrogate": ("string", long(3) + b"\xed\xa0\x80"),
    "negative length": ("string", long(-1) + b"a"),
    "length of 2^62": ("bytes", long(2**62)),
    "count of -2^63": (LONGS, long(-(2**63)) + long(1) + long(1) + long(0)),
    "count of 2^62": (LONGS, long(2**62) + long(1)),
    "block longer than it says": (LONGS, long(-1) + long(3) + long(5) + long(0)),
}
UNUSUAL = {
    "padded number": ("long", b"\x8a\x80\x00", 5),
    "padded union index": (["null", "long"], b"\x82\x00" + long(5), 5),
    "array in two blocks": (LONGS, long(1) + long(5) + long(1) + long(6) + long(0), [5, 6]),
    "array with its size": (LONGS, long(-2) + long(2) + long(5) + long(6) + long(0), [5, 6]),
    "padded length": ("string", b"\x84\x00ab", "ab"),
    "padded int": ("int", b"\x8a\x80\x00", 5),
}


@pytest.mark.parametrize("neighbour_count", [0, 1, 40])
@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_datum_is_refused_alone_and_never_becomes_a_wrong_value(name, neighbour_count):
    kind, field = REFUSED[name]
    good = encoded(schema_with(kind), {"before": "x", "field": good_value(kind), "items": [7]})
    datums = [good] * neighbour_count + [datum_with(field)] + [good] * neighbour_count
    rows, refused = read_of(schema_with(kind), datums)
    assert refused == [neighbour_count]
    assert len(rows) == 2 * neighbour_count
    assert_read_as_the_strict_reader_does(schema_with(kind), datums)


def good_value(kind):
    """Return a value of a type of the tables above."""
    if isinstance(kind, dict):
        return "A" if kind["type"] == "enum" else [5]
    if isinstance(kind, list):
        return 5
    return {"boolean": True, "string": "ab", "bytes": b"ab"}.get(kind, 5)


@pytest.mark.parametrize("neighbour_count", [0, 40])
@pytest.mark.parametrize("name", UNUSUAL)
def test_an_unusual_encoding_is_read_as_what_it_means(name, neighbour_count):
    kind, field, value = UNUSUAL[name]
    good = encoded(schema_with(kind), {"before": None, "field": value, "items": []})
    datums = [good] * neighbour_count + [datum_with(field)]
    rows, refused = read_of(schema_with(kind), datums)
    assert refused == []
    assert rows[neighbour_count] == {"before": "x", "field": value, "items": [7]}


def test_an_unread_field_of_a_wide_union_costs_its_block_nothing_but_time():
    schema = schema_with(["null", "long", "string"])
    datums = [
        encoded(schema, {"before": "b", "field": value, "items": [1]}) for value in (None, 4, "t")
    ]
    rows, refused = read_of(schema, datums)
    assert refused == []
    assert rows == {index: {"before": "b", "items": [1]} for index in range(3)}


@pytest.mark.parametrize("neighbour_count", [0, 3])
def test_an_array_of_too_many_items_is_refused_together_and_alone(neighbour_count):
    schema = schema_with(LONGS)
    good = encoded(schema, {"before": "x", "field": [1] * ARRAY_MAX_ITEMS, "items": [7]})
    bad = encoded(schema, {"before": "x", "field": [1] * (ARRAY_MAX_ITEMS + 1), "items": [7]})
    rows, refused = read_of(schema, [good] * neighbour_count + [bad])
    assert list(rows) == list(range(neighbour_count))
    assert refused == [neighbour_count]
