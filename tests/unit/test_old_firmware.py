"""Old firmware beside new: the same columns, identity from the key, bad messages alone."""

import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import decode_messages
from schemas.errors import Reason
from schemas.records import encode_record
from schemas.topics import MESSAGE_MAX_BYTES, Topic
from tests.old_formats import (
    avro_message,
    decode_old,
    json_message,
)
from tests.schema_versions import VERSIONS, encode_version, schema_of_id
from tests.strategies import NOON_MS, batches, bounded_text

CPU = {"name": "cpu", "value": 0.5, "tags": {"core": "1"}, "timestamp": NOON_MS}
DECODE_MAX_S = 0.15
"""Three times what is allowed on a machine that does nothing else."""
TODAY = {"tenant_id": "t", "device_id": "new", "sent_at": 1, "points": [CPU]}
JSON_BAD = Reason.JSON_INVALID


def written(record):
    return encode_record(Topic.TELEMETRY, record, 1)


def rejected(block):
    return [(message.row, message.reason) for message in block.rejected]


def json_of(text):
    return b'{"metrics":[' + text + b"]}"


def metric_json(**changes):
    return json_message(CPU | changes)


def texts(max_bytes=8):
    return st.text(st.characters(codec="utf-8"), max_size=max_bytes)


@st.composite
def metrics(draw):
    """Draw one metric as old firmware sends it, any of its optional parts missing."""
    metric = {"name": draw(bounded_text(128)), "value": draw(st.floats(-1e300, 1e300))}
    if draw(st.booleans()):
        metric["tags"] = draw(st.none() | st.dictionaries(texts(), texts(), max_size=3))
    if draw(st.booleans()):
        metric["timestamp"] = draw(st.none() | st.integers(10**11, 2**52))
    return metric


def as_today(old, append_time_ms):
    """Say the same as an old batch in today's format."""
    points = [
        metric
        | {
            "tags": metric.get("tags") or {},
            "timestamp": append_time_ms if metric.get("timestamp") is None else metric["timestamp"],
        }
        for metric in old
    ]
    newest = max((point["timestamp"] for point in points), default=append_time_ms)
    return {"tenant_id": "t", "device_id": "d", "sent_at": newest, "points": points}


@given(st.lists(st.lists(metrics(), max_size=3), max_size=4))
@settings(max_examples=60)
def test_an_old_batch_and_the_same_batch_in_todays_format_give_the_same_columns(old):
    today = [written(as_today(batch, NOON_MS + 1000 * row)) for row, batch in enumerate(old)]
    expected = decode_messages(Topic.TELEMETRY, today, schema_of_id)
    full = [[{"tags": None, "timestamp": None} | metric for metric in batch] for batch in old]
    for messages in (
        [json_message(*batch) for batch in old],
        [avro_message(*batch) for batch in full],
    ):
        block = decode_old(messages)
        assert block.rejected == []
        assert block.messages.equals(expected.messages)
        assert block.messages.schema == expected.messages.schema
        assert block.items.equals(expected.items)
        assert block.items.schema == expected.items.schema


BAD = {
    "cut": (metric_json()[:-3], JSON_BAD),
    "more after the end": (metric_json() + b"x", JSON_BAD),
    "two documents": (metric_json() * 2, JSON_BAD),
    "NaN": (json_of(b'{"name":"a","value":NaN}'), JSON_BAD),
    "Infinity": (json_of(b'{"name":"a","value":-Infinity}'), JSON_BAD),
    "beyond a double": (json_of(b'{"name":"a","value":1e400}'), JSON_BAD),
    "a million digits": (json_of(b'{"name":"a","value":' + b"9" * 1_000_000 + b"}"), JSON_BAD),
    "half a surrogate pair": (json_of(rb'{"name":"\ud800","value":1}'), JSON_BAD),
    "not UTF-8": (json_of(b'{"name":"\xff","value":1}'), JSON_BAD),
    "byte order mark": (b"\xef\xbb\xbf" + metric_json(), JSON_BAD),
    "white space alone": (b" \n", JSON_BAD),
    "white space before something else": (b" [1]", JSON_BAD),
    "no metrics": (b"{}", JSON_BAD),
    "metrics null": (b'{"metrics":null}', JSON_BAD),
    "metrics an object": (b'{"metrics":{}}', JSON_BAD),
    "a metric that is a list": (json_of(b"[]"), JSON_BAD),
    "a metric that is null": (json_of(b"null"), JSON_BAD),
    "no name": (json_of(b'{"value":1}'), JSON_BAD),
    "name a number": (metric_json(name=1), JSON_BAD),
    "no value": (json_of(b'{"name":"a"}'), JSON_BAD),
    "value null": (metric_json(value=None), JSON_BAD),
    "value text": (metric_json(value="1"), JSON_BAD),
    "value a truth value": (metric_json(value=True), JSON_BAD),
    "tags a list": (metric_json(tags=[]), JSON_BAD),
    "tags text": (metric_json(tags=""), JSON_BAD),
    "tag a list": (metric_json(tags={"a": []}), JSON_BAD),
    "timestamp a truth value": (metric_json(timestamp=False), JSON_BAD),
    "timestamp text": (metric_json(timestamp="yesterday"), JSON_BAD),
    "timestamp huge": (metric_json(timestamp=1e300), JSON_BAD),
    "brackets of 1 MiB": (json_of(b"[" * (MESSAGE_MAX_BYTES - 20)), Reason.LIMIT_EXCEEDED),
    "deep": (json_of(b"[" * 30_000), JSON_BAD),
    "deep objects": (b'{"a":' * 30_000, JSON_BAD),
    "empty lists of 1 MiB": (json_of(b"[]," * 349_000 + b"[]"), Reason.LIMIT_EXCEEDED),
    "keys of 1 MiB": (
        b"{" + b",".join(b'"%x":1' % key for key in range(100_000)) + b"}",
        JSON_BAD,
    ),
    "10,001 metrics": (json_message(*[CPU] * 10_001), Reason.LIMIT_EXCEEDED),
    "numbers of 1 MiB": (json_of(b"1," * 500_000 + b"1"), Reason.LIMIT_EXCEEDED),
    "over 1 MiB": (metric_json() + b" " * MESSAGE_MAX_BYTES, Reason.OVERSIZE),
    "a list": (b"[1]", Reason.BAD_MAGIC),
    "1 MiB of [": (b"[" * MESSAGE_MAX_BYTES, Reason.BAD_MAGIC),
    "nothing": (b"", Reason.BAD_MAGIC),
    "tombstone": (None, Reason.BAD_MAGIC),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_message_is_rejected_alone_with_its_reason_and_at_once(kind):
    bad, reason = BAD[kind]
    neighbours = [metric_json(), written(TODAY), metric_json()]
    expected = decode_old([neighbours[0], None, *neighbours[1:]])
    took_s = []
    for _ in range(3):  # the machine may be busy: the fastest of three counts
        began_s = time.process_time()
        block = decode_old([neighbours[0], bad, *neighbours[1:]])
        took_s.append(time.process_time() - began_s)
    assert rejected(block) == [(1, reason)]
    assert block.messages.equals(expected.messages)
    assert block.items.equals(expected.items)
    assert min(took_s) < DECODE_MAX_S


@pytest.mark.parametrize("kind", BAD)
def test_no_detail_of_a_rejection_shows_the_message(kind):
    for message in decode_old([BAD[kind][0]]).rejected:
        assert len(message.detail) < 200
        assert "yesterday" not in message.detail


@st.composite
def mixed_blocks(draw):
    """Draw old and new messages of a block, and which of them are spoilt."""
    values, kinds = [], []
    for _ in range(draw(st.integers(1, 8))):
        kind = draw(st.sampled_from(["json", "avro", "today", "today"]))
        old = draw(st.lists(metrics(), max_size=2))
        full = [{"tags": None, "timestamp": None} | metric for metric in old]
        version = draw(st.sampled_from(sorted(VERSIONS)))
        value = {
            "json": lambda old=old: json_message(*old),
            "avro": lambda full=full: avro_message(*full),
            "today": lambda version=version: encode_version(version, draw(batches())),
        }[kind]()
        values.append(value)
        kinds.append(kind)
    spoilt = draw(st.sets(st.integers(0, len(values) - 1)))
    junk = st.binary(min_size=1, max_size=30)
    bad = {row: values[row][: draw(st.integers(1, 12))] + draw(junk) for row in spoilt}
    return values, bad


@given(mixed_blocks())
@settings(max_examples=60)
def test_in_a_mixed_block_a_spoilt_message_never_loses_or_alters_a_neighbour(drawn):
    values, bad = drawn
    whole = decode_old(values)
    assert whole.rejected == []
    block = decode_old([bad.get(row, value) for row, value in enumerate(values)])
    assert {message.row for message in block.rejected} <= set(bad)
    rows = [*block.messages["row"], *(message.row for message in block.rejected)]
    assert sorted(rows) == list(range(len(values))), "each message exactly once"
    assert block.messages["row"].is_sorted()
    assert block.items["row"].is_sorted()
    for frame, before in ((block.messages, whole.messages), (block.items, whole.items)):
        good = [row for row in range(len(values)) if row not in bad]
        kept, expected = (each.filter(each["row"].is_in(good)) for each in (frame, before))
        assert kept.equals(expected)


@given(st.binary(max_size=60))
def test_any_bytes_after_a_brace_are_judged_and_never_raise(junk):
    block = decode_old([metric_json(), b"{" + junk, metric_json()])
    assert {0, 2} <= set(block.messages["row"])
    assert len(block.messages) + len(block.rejected) == 3


def test_white_space_before_the_brace_and_keys_that_are_not_known_are_fine():
    block = decode_old([b" \t\r\n" + json_message(CPU | {"unit": "%"}, firmware="1.0")])
    assert block.rejected == []
    assert block.items["name"].to_list() == ["cpu"]


def test_of_a_key_that_comes_twice_the_last_one_counts():
    block = decode_old([json_of(b'{"name":"a","value":1,"value":2}')])
    assert block.items["value"].to_list() == [2.0]


def test_a_batch_without_metrics_is_a_heartbeat_at_its_append_time():
    block = decode_old([json_message(), avro_message()])
    assert block.messages["sent_at"].to_list() == [NOON_MS, NOON_MS + 1000]
    assert block.items.is_empty()
    assert block.messages["boot_id"].to_list() == block.messages["sequence"].to_list() == [None] * 2


def test_numbers_and_truth_values_in_tags_become_their_json_text_and_null_tags_vanish():
    tags = {"a": 1, "b": 1.5, "c": True, "d": None, "e": "x"}
    block = decode_old([metric_json(tags=tags), metric_json(tags=None), metric_json()])
    first, none, plain = block.items["tags"].to_list()
    expected = {"a": "1", "b": "1.5", "c": "true", "e": "x"}
    assert {tag["key"]: tag["value"] for tag in first} == expected
    assert none == []
    assert plain == [{"key": "core", "value": "1"}]


def test_whole_numbers_are_values_too_and_the_largest_double_is_read():
    block = decode_old([json_message(CPU | {"value": 3}, CPU | {"value": 1.7976931348623157e308})])
    assert block.items["value"].to_list() == [3.0, 1.7976931348623157e308]


def test_the_example_of_the_readme_is_read():
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```json\n(.*?)\n```", text, re.DOTALL)
    block = decode_old([example.encode()], [b"acme/cam-7"])
    assert block.messages.select("tenant_id", "device_id").rows() == [("acme", "cam-7")]
    (point,) = block.items.drop("row").to_dicts()
    assert point == {
        "name": "temperature_c",
        "value": 41.5,
        "timestamp": 1_790_000_000_250,
        "tags": [{"key": "zone", "value": "cpu"}],
    }
