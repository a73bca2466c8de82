"""Single records: each schema reads what it wrote, across versions, and refuses the rest."""

import copy
import json

import fastavro
import pytest
from fastavro.utils import generate_one
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import Reason, Rejected
from schemas.records import (
    SCHEMA_FILES,
    decode_record,
    encode_record,
    schema_id_of,
    schema_of,
    schema_text,
    wire_header,
)
from schemas.topics import Topic
from tests.schema_versions import VERSIONS, encode_version
from tests.strategies import batches


@given(batches(), st.integers(0, 2**32 - 1))
@settings(max_examples=50)
def test_a_batch_comes_back_as_it_was_written_with_its_schema_id(batch, schema_id):
    message = encode_record(Topic.TELEMETRY, batch, schema_id)
    assert schema_id_of(message) == schema_id
    decoded = decode_record(Topic.TELEMETRY, message)
    assert json.dumps(decoded, sort_keys=True) == json.dumps(batch, sort_keys=True)


@pytest.mark.parametrize("topic", SCHEMA_FILES)
def test_a_record_of_every_topic_comes_back_and_its_times_are_whole_numbers(topic):
    plain = json.loads(schema_text(topic).replace('"logicalType"', '"note"'))
    record = generate_one(fastavro.parse_schema(plain))
    decoded = decode_record(topic, encode_record(topic, record, 3))
    assert repr(decoded) == repr(record)


@pytest.mark.parametrize("topic", SCHEMA_FILES)
def test_every_field_that_an_older_writer_may_lack_has_a_default(topic):
    # FULL_TRANSITIVE: a nullable field without a default could never be added or removed.
    for field in schema_of(topic)["fields"]:
        if isinstance(field["type"], list):
            assert field["type"][0] == "null"
            assert field["default"] is None


@given(st.sampled_from(sorted(VERSIONS)), batches())
@settings(max_examples=40)
def test_every_version_of_a_writer_is_read_as_the_topics_own_record(version, batch):
    decoded = decode_record(Topic.TELEMETRY, encode_version(version, batch), VERSIONS[version])
    assert set(decoded) == {field["name"] for field in schema_of(Topic.TELEMETRY)["fields"]}
    assert decoded["device_id"] == batch["device_id"]
    assert len(decoded["points"]) == len(batch["points"])


@given(batches(), st.data())
@settings(max_examples=40)
def test_a_record_that_is_cut_or_followed_by_junk_is_rejected(batch, data):
    message = encode_record(Topic.TELEMETRY, batch, 1)
    end = data.draw(st.integers(5, len(message) - 1))
    for broken in (message[:end], message + b"\0"):
        with pytest.raises(Rejected) as caught:
            decode_record(Topic.TELEMETRY, broken)
        assert caught.value.reason is Reason.AVRO_INVALID


@given(st.binary(max_size=60))
def test_any_bytes_are_a_record_or_rejected(datum):
    for message in (datum, wire_header(1) + datum):
        try:
            decode_record(Topic.DEVICES, message)
        except Rejected as error:
            known = error.reason in (Reason.BAD_MAGIC, Reason.AVRO_INVALID)
            if not known:
                raise


def test_the_schema_that_is_handed_out_is_not_changed_by_its_use():
    before = copy.deepcopy(schema_of(Topic.TELEMETRY))
    encode_version(1, {"tenant_id": "t", "device_id": "d", "sent_at": 1, "points": []})
    assert schema_of(Topic.TELEMETRY) == before
