"""Block encode against fastavro: the same bytes, record by record, for any schema we may write."""

import io

import fastavro
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from schemas.avro_bytes import LARGE_BINARY, byte_strings, joined, longs
from schemas.avro_encode import Alike, BlockWriter, encode_messages
from schemas.codec import decode_messages
from schemas.records import SCHEMA_FILES, decode_record, encode_record, schema_of, wire_header
from schemas.topics import Topic
from tests.avro_records import (
    EVERY_TYPE,
    PRIMITIVES,
    columns_of,
    values_of,
    without_logical_types,
)
from tests.strategies import batches

ID = 7
TELEMETRY = schema_of(Topic.TELEMETRY)
CLAIMS = ["hardware_revision", "firmware_version", "model_version", "deployment_group"]


def written_by_reference(schema, record):
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), record)
    return wire_header(ID) + out.getvalue()


@given(st.lists(values_of(EVERY_TYPE, {}), max_size=6))
@settings(max_examples=80)
def test_every_type_is_written_byte_for_byte_as_the_reference_writes_it(records):
    encoded = encode_messages(EVERY_TYPE, ID, *columns_of(EVERY_TYPE, records))
    assert encoded.to_list() == [written_by_reference(EVERY_TYPE, record) for record in records]


@pytest.mark.parametrize("topic", sorted(SCHEMA_FILES))
def test_messages_of_every_topic_are_the_bytes_and_the_records_of_the_reference(topic):
    schema = without_logical_types(schema_of(topic))

    @given(st.lists(values_of(schema, {}), max_size=4))
    @settings(max_examples=40)
    def check(records):
        encoded = encode_messages(schema_of(topic), ID, *columns_of(schema, records)).to_list()
        assert encoded == [encode_record(topic, record, ID) for record in records]
        assert [decode_record(topic, message) for message in encoded] == records

    check()


@given(st.lists(batches(), max_size=6))
@settings(max_examples=40)
def test_telemetry_with_its_infinities_is_written_as_the_reference_writes_it(records):
    encoded = encode_messages(TELEMETRY, ID, *columns_of(TELEMETRY, records)).to_list()
    assert encoded == [encode_record(Topic.TELEMETRY, record, ID) for record in records]


@given(st.lists(batches(), max_size=6), st.integers(0, 3), st.integers(0, 6))
@settings(max_examples=40)
def test_what_is_encoded_decodes_to_the_same_columns_also_from_a_slice(records, first, count):
    messages, items = columns_of(TELEMETRY, records)
    rows = pl.int_range(first, first + count, dtype=pl.UInt32, eager=True)
    own, points = messages[first : first + count], items.filter(pl.col("row").is_in(rows))
    encoded = encode_messages(TELEMETRY, ID, own, points)
    block = decode_messages(Topic.TELEMETRY, encoded.to_list(), lambda _: TELEMETRY)
    assert block.rejected == []
    assert_frame_equal(block.messages.drop("row"), own.drop("row"))
    assert_frame_equal(block.items.drop("row"), points.drop("row"))
    assert (block.items["row"] + first).to_list() == points["row"].to_list()


def block():
    """Return two messages, of two points and of none, and what the reference makes of them."""
    point = {"name": "cpu", "value": 0.5, "timestamp": 2, "tags": {"core": "1"}}
    blank = dict.fromkeys(["boot_id", "sequence", "received_at", *CLAIMS])
    start = {"tenant_id": "t", "device_id": "d", "sent_at": 1} | blank
    records = [start | {"points": [point, point]}, start | {"points": []}]
    return *columns_of(TELEMETRY, records), [encode_record(Topic.TELEMETRY, r, ID) for r in records]


def test_no_items_are_none_an_empty_table_or_rows_of_others():
    messages, items, expected = block()
    heartbeat = messages[1:]
    for nothing in (None, pl.DataFrame(), items.clear()):
        assert encode_messages(TELEMETRY, ID, heartbeat, nothing).to_list() == expected[1:]
    assert encode_messages(TELEMETRY, ID, messages, items).to_list() == expected


def test_an_empty_block_is_an_empty_column_of_bytes():
    messages, items, _ = block()
    untyped = pl.DataFrame(schema=dict.fromkeys(messages.columns, pl.Null))
    for empty in (messages.clear(), untyped):
        for encoded in (
            encode_messages(TELEMETRY, ID, empty, items.clear()),
            encode_messages(TELEMETRY, ID, empty),
        ):
            assert encoded.dtype == pl.Binary
            assert encoded.is_empty()


def test_a_column_that_is_missing_has_the_fields_default():
    messages, items, expected = block()
    without_tags = encode_messages(TELEMETRY, ID, messages.drop(CLAIMS), items.drop("tags"))
    assert encode_messages(TELEMETRY, ID, messages.drop(CLAIMS), items).to_list() == expected
    record = decode_record(Topic.TELEMETRY, without_tags[0])
    assert [point["tags"] for point in record["points"]] == [{}, {}]


def broken_blocks():
    messages, items, _ = block()
    text_of_value = pl.col("value").cast(pl.String)
    nested = pl.lit([{"key": "a", "value": None}], items.schema["tags"]).alias("tags")
    halves = pl.lit([{"key": "a"}], pl.List(pl.Struct({"key": pl.String}))).alias("tags")
    unsorted = items.with_columns(row=pl.Series([1, 0], dtype=pl.UInt32))
    return {
        "field tenant_id is null in 2 rows": (messages.with_columns(tenant_id=None), items),
        "field value is null in 2 rows": (messages, items.with_columns(value=None)),
        r"field tags\[\].value is null in 2 rows": (messages, items.with_columns(nested)),
        "field tags is a column of List.Struct.*, not of List.Struct.*value": (
            messages,
            items.with_columns(halves),
        ),
        "field value is a column of String, not of Float64": (
            messages,
            items.with_columns(text_of_value),
        ),
        "field sequence is a column of Int32, not of Int64": (
            messages.with_columns(sequence=pl.lit(5, pl.Int32)),
            items,
        ),
        "field tags is a column of String, not of List": (
            messages,
            items.with_columns(tags=pl.lit("a")),
        ),
        "column sent_at is missing": (messages.drop("sent_at"), items),
        "an item is of no message": (messages[1:], items),
        "rows are not ascending, or": (messages, unsorted),
        "rows are not ascending, ": (messages[::-1], items),
        "rows are not ascending": (messages.with_columns(row=pl.lit(0, pl.UInt32)), items),
    }


@pytest.mark.parametrize("complaint", sorted(broken_blocks()))
def test_a_broken_block_is_refused_and_the_field_named(complaint):
    with pytest.raises(ValueError, match=complaint):
        encode_messages(TELEMETRY, ID, *broken_blocks()[complaint])


def test_a_fixed_of_another_size_is_refused():
    schema = {"type": "record", "name": "R", "fields": [EVERY_TYPE["fields"][4]]}
    messages = pl.DataFrame({"row": [0, 1], "wide": [b"12345", b"1234"]})
    with pytest.raises(ValueError, match="field wide has values that are not of 5 bytes"):
        encode_messages(schema, ID, messages)


def test_items_may_be_cut_by_their_sizes_before_they_get_their_messages():
    messages, items, expected = block()
    writer = BlockWriter(TELEMETRY, ID)
    datums = writer.item_datums(items)
    assert datums.sizes.tolist() == [len(message) for message in datums.to_series()]
    assert writer.with_items(messages, datums, items["row"]).to_list() == expected
    assert datums.sizes.sum() + len(expected[1]) + 1 == len(expected[0])


@pytest.mark.parametrize("field_count", [1, 2])
def test_fields_that_items_in_a_row_share_are_encoded_once_to_the_same_bytes(field_count):
    _, items, _ = block()
    writer = BlockWriter(TELEMETRY, ID)
    #      each item three times: runs of three
    tripled = items[np.repeat(np.arange(items.height), 3)]
    alike = Alike(np.arange(0, tripled.height, 3), field_count)
    expected = writer.item_datums(tripled).to_series()
    assert writer.item_datums(tripled, alike).to_series().to_list() == expected.to_list()
    assert writer.item_datums(tripled.clear(), Alike(np.zeros(0, np.int64), 1)).sizes.size == 0


@given(st.lists(PRIMITIVES["long"], max_size=20))
def test_longs_of_any_mixed_width_are_written_as_the_reference_writes_them(numbers):
    written = longs(np.array(numbers, np.int64)).to_series().to_list()
    assert [wire_header(ID) + datum for datum in written] == [
        written_by_reference("long", number) for number in numbers
    ]


@pytest.mark.parametrize("power", range(0, 63, 7))
def test_longs_are_right_on_both_sides_of_each_further_byte(power):
    edge = 2**power // 2
    numbers = np.array([-edge - 1, -edge, edge - 1, edge])
    for count in range(1, 5):  # alone the widths are equal, together they are not
        written = longs(numbers[:count]).to_series().to_list()
        expected = [written_by_reference("long", int(number))[5:] for number in numbers[:count]]
        assert written == expected


def test_offsets_have_64_bits_so_that_a_block_may_be_larger_than_2_gib():
    texts = byte_strings(pl.Series(["a", "b"]).to_arrow())
    both = joined([texts, b"-", texts], 2)
    assert [texts.to_arrow().type, both.to_arrow().type] == [LARGE_BINARY, LARGE_BINARY]
    assert both.to_series().to_list() == [b"a-a", b"b-b"]
