"""Our own reader and every released version: what Avro allows is also what the engine does."""

import json
import random

import pytest
from fastavro.utils import generate_many

from jobs.schema_check import AVRO_FOLDER, SchemaFolder
from schemas.avro_columns import record_shape, resolve
from schemas.avro_shapes import plain_schema
from schemas.codec import decode_messages
from schemas.records import SCHEMA_FILES, decode_record, schema_of
from tests.schema_versions import encode_with

RELEASED = [
    pytest.param(topic, path, id=path.stem)
    for topic, name in SCHEMA_FILES.items()
    for path in SchemaFolder(AVRO_FOLDER).released(name).values()
]
MESSAGE_COUNT = 20
SEED = 4


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("topic", "path"), RELEASED)
def test_messages_of_every_released_version_are_read(topic, path):
    schema = read(path)
    random.seed(SEED)
    records = list(generate_many(schema, MESSAGE_COUNT))
    messages = [encode_with(schema, record) for record in records]
    block = decode_messages(topic, messages, lambda _: schema)
    assert block.rejected == []
    reference = [decode_record(topic, message, schema) for message in messages]
    assert block.messages["row"].to_list() == list(range(len(reference)))
    for column in set(block.messages.columns) - {"row"}:
        values = block.messages[column].to_list()
        if all(isinstance(value, str | int | None) for value in values):
            assert values == [record[column] for record in reference]
    items = next((f["name"] for f in schema["fields"] if is_list_of_records(f)), None)
    if items is not None:
        assert block.items.height == sum(len(record[items]) for record in records) > 0


def is_list_of_records(field):
    items = field["type"].get("items") if isinstance(field["type"], dict) else None
    return isinstance(items, dict) and items["type"] == "record"


@pytest.mark.parametrize(("topic", "path"), RELEASED)
def test_readers_of_every_released_version_read_todays_messages(topic, path):
    # As `decode_messages` does, with the released version in the place of the reader's own.
    resolution = resolve(record_shape(read(path)), plain_schema(schema_of(topic)))
    assert resolution.fields or resolution.item_fields


def test_released_versions_are_found():
    assert len(RELEASED) >= 5
