"""From raw messages to sections: limits, tenancy, ticks, and every message in exactly one place."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import Reason
from schemas.records import encode_record
from schemas.telemetry import (
    CLAIM_MAX_BYTES,
    DEVICE_MAX_BYTES,
    NAME_MAX_BYTES,
    POINTS_MAX_COUNT,
    TAG_MAX_BYTES,
    TAGS_MAX_COUNT,
    TENANT_MAX_BYTES,
)
from schemas.topics import CLOCK_TENANT_ID, Topic, topic_tenants
from tests.schema_versions import schema_of_id
from tests.strategies import NOON_MS, batches
from udfs.frame_bytes import unpack_frames
from udfs.shards import device_hashes, shard_of
from udfs.telemetry_blocks import (
    RawBlock,
    batch_sections,
    contact_sections,
    dead_letter_section,
    decode_telemetry,
)

SHARD_COUNT = 4
TICK = {"tenant_id": CLOCK_TENANT_ID, "points": []}
POINT = {"name": "cpu", "value": 0.5, "timestamp": NOON_MS, "tags": {}}


def batch(**changes):
    return {"tenant_id": "t", "device_id": "d", "sent_at": 1, "points": [POINT]} | changes


def raw_block(values, topics=None) -> RawBlock:
    """Lay values into one partition, a second apart."""
    count = len(values)
    return RawBlock(
        topics=topics or ["x.telemetry"] * count,
        keys=[b"key %d" % row for row in range(count)],
        values=values,
        append_time_ms=NOON_MS + 1000 * np.arange(count),
        partitions=np.zeros(count, np.int32),
        offsets=100 + np.arange(count, dtype=np.int64),
    )


def decode(records, topics=None):
    values = [encode_record(Topic.TELEMETRY, record, 1) for record in records]
    raw = raw_block(values, topics)
    return raw, decode_telemetry(raw, "x.", schema_of_id)


def reasons(records, topics=None):
    return [message.reason for message in decode(records, topics)[1].rejected]


def tags(count):
    return {f"k{index}": "" for index in range(count)}


AT_THE_LIMIT = {
    "tenant": batch(tenant_id="t" * TENANT_MAX_BYTES),
    "device": batch(device_id="ü" * (DEVICE_MAX_BYTES // 2)),
    "name": batch(points=[POINT | {"name": "n" * NAME_MAX_BYTES}]),
    "tags": batch(points=[POINT | {"tags": tags(TAGS_MAX_COUNT)}]),
    "points": batch(points=[POINT] * POINTS_MAX_COUNT),
    "no points": batch(points=[]),
    "claim": batch(model_version="m" * CLAIM_MAX_BYTES, boot_id="b" * CLAIM_MAX_BYTES),
    "tag": batch(points=[POINT | {"tags": {"k" * TAG_MAX_BYTES: "v" * TAG_MAX_BYTES}}]),
    "slash in the device": batch(device_id="a/b"),
}
OVER_THE_LIMIT = {
    "no tenant": (batch(tenant_id=""), Reason.IDENTITY_INVALID),
    "long tenant": (batch(tenant_id="t" * (TENANT_MAX_BYTES + 1)), Reason.IDENTITY_INVALID),
    "slash in the tenant": (batch(tenant_id="a/b"), Reason.IDENTITY_INVALID),
    "no device": (batch(device_id=""), Reason.IDENTITY_INVALID),
    "long device": (batch(device_id="ü" * 129), Reason.IDENTITY_INVALID),
    "clock with points": (batch(tenant_id=CLOCK_TENANT_ID), Reason.IDENTITY_INVALID),
    "no name": (batch(points=[POINT, POINT | {"name": ""}]), Reason.LIMIT_EXCEEDED),
    "long name": (batch(points=[POINT | {"name": "ü" * 65}]), Reason.LIMIT_EXCEEDED),
    "many tags": (batch(points=[POINT | {"tags": tags(17)}]), Reason.LIMIT_EXCEEDED),
    "long group": (batch(deployment_group="ü" * 65), Reason.LIMIT_EXCEEDED),
    "long boot": (batch(boot_id="b" * (CLAIM_MAX_BYTES + 1)), Reason.LIMIT_EXCEEDED),
    "long tag": (batch(points=[POINT | {"tags": {"k": "v" * 257}}]), Reason.LIMIT_EXCEEDED),
    "long tag name": (batch(points=[POINT | {"tags": {"k" * 257: "v"}}]), Reason.LIMIT_EXCEEDED),
    "many points": (batch(points=[POINT] * (POINTS_MAX_COUNT + 1)), Reason.LIMIT_EXCEEDED),
}


@pytest.mark.parametrize("name", AT_THE_LIMIT)
def test_a_batch_at_a_limit_is_accepted(name):
    assert reasons([AT_THE_LIMIT[name]]) == []


@pytest.mark.parametrize("name", OVER_THE_LIMIT)
def test_a_batch_over_a_limit_is_rejected_and_its_neighbours_and_their_points_stay(name):
    bad, reason = OVER_THE_LIMIT[name]
    _, decoded = decode([batch(), bad, batch()])
    assert [(message.row, message.reason) for message in decoded.rejected] == [(1, reason)]
    assert decoded.messages["row"].to_list() == [0, 2]
    assert decoded.items["row"].to_list() == [0, 2]


def test_in_a_tenants_own_topic_another_tenant_is_rejected_and_the_clock_is_heard():
    tick = batch(tenant_id=CLOCK_TENANT_ID, points=[])
    records = [batch(tenant_id="a"), batch(tenant_id="b"), tick]
    topics = ["x.telemetry.a"] * 3
    assert reasons(records, topics) == [Reason.TENANT_MISMATCH]
    assert reasons(records, ["x.telemetry"] * 3) == []


def test_the_prefix_is_taken_literally_and_a_tenant_may_have_dots():
    assert topic_tenants(["a.telemetry.b.c"], "a.") == ["b.c"]
    with pytest.raises(AssertionError, match="no telemetry topic"):
        topic_tenants(["axtelemetry"], "a.")


@st.composite
def blocks(draw):
    """Draw batches, ticks, and values that are nothing at all."""
    records = draw(st.lists(batches(), max_size=6))
    kinds = [draw(st.sampled_from(["batch", "batch", "tick", "junk", "none"])) for _ in records]
    values = []
    for record, kind in zip(records, kinds, strict=True):
        sent = record | (TICK if kind == "tick" else {})
        message = encode_record(Topic.TELEMETRY, sent, 1)
        values.append({"junk": message + b"\0", "none": None}.get(kind, message))
    return records, kinds, values


@given(blocks())
@settings(max_examples=35)
def test_every_message_goes_to_its_shard_or_to_the_dead_letters_exactly_once(drawn):
    records, kinds, values = drawn
    raw = raw_block(values)
    decoded = decode_telemetry(raw, "x.", schema_of_id)
    sections = batch_sections(raw, decoded, SHARD_COUNT)
    seen = {}
    for section in sections:
        frames = unpack_frames(section.payload)
        points = frames["points"]["row"].to_list()
        for place, batch in enumerate(frames["batches"].to_dicts()):
            row = (batch["append_time_ms"] - NOON_MS) // 1000
            assert row not in seen
            seen[row] = section.shard
            assert batch["device_id"] == records[row]["device_id"]
            assert points.count(place) == len(records[row]["points"])
        assert set(points) <= set(range(frames["batches"].height))
        assert frames["sent"].height == frames["batches"].height
    letters = [unpack_frames(s.payload)["letters"] for s in dead_letter_section(raw, decoded)]
    dead = {offset - 100 for frame in letters for offset in frame["offset"]}
    assert set(seen) == {row for row, kind in enumerate(kinds) if kind == "batch"}
    assert dead == {row for row, kind in enumerate(kinds) if kind in ("junk", "none")}
    for row, shard in seen.items():
        hashes = device_hashes([records[row]["tenant_id"]], [records[row]["device_id"]])
        assert shard == shard_of(hashes, SHARD_COUNT)[0]


@given(blocks())
@settings(max_examples=35)
def test_every_shard_hears_how_far_the_log_is_and_each_contact_is_told_once(drawn):
    records, kinds, values = drawn
    raw = raw_block(values)
    decoded = decode_telemetry(raw, "x.", schema_of_id)
    if not values:
        return
    sections = contact_sections(raw, decoded, SHARD_COUNT, "x.")
    assert [section.shard for section in sections] == list(range(SHARD_COUNT))
    frames = [unpack_frames(section.payload) for section in sections]
    assert all(frame["clocks"].equals(frames[0]["clocks"]) for frame in frames)
    offsets = sorted(offset for frame in frames for offset in frame["contacts"]["offset"])
    assert offsets == [100 + row for row, kind in enumerate(kinds) if kind == "batch"]
    newest = pl.concat([frame["contacts"] for frame in frames]).sort("offset")["newest_point_ms"]
    told = [record["points"] for record, kind in zip(records, kinds, strict=True)
            if kind == "batch"]  # fmt: skip
    assert newest.to_list() == [
        max((point["timestamp"] for point in points), default=None) for points in told
    ]


@given(blocks(), st.sets(st.integers(0, 5)))
@settings(max_examples=35)
def test_a_replayed_message_is_no_contact_but_moves_the_clock_and_is_counted(drawn, replayed):
    _, _, values = drawn
    if not values:
        return
    raw = raw_block(values)
    headers = dict.fromkeys(replayed, (("dlq.replay.of", b"dead-letters/0/7"),))
    again = replace(raw, headers={row: h for row, h in headers.items() if row < len(values)})
    decoded = decode_telemetry(raw, "x.", schema_of_id)

    def contacts(block):
        sections = contact_sections(block, decoded, SHARD_COUNT, "x.")
        frames = [unpack_frames(section.payload) for section in sections]
        return pl.concat([frame["contacts"] for frame in frames]), frames[0]["clocks"]

    heard, clocks = contacts(raw)
    heard_again, clocks_again = contacts(again)
    assert clocks_again.equals(clocks)
    expected = [offset for offset in heard["offset"] if offset - 100 not in replayed]
    assert heard_again["offset"].to_list() == expected
    # Windows count it: what was counted before is dropped there by its sequence.
    assert batch_sections(again, decoded, SHARD_COUNT) == batch_sections(raw, decoded, SHARD_COUNT)


def test_dead_letters_keep_the_original_bytes_key_and_place_and_say_why():
    values = [b"junk", None, encode_record(Topic.TELEMETRY, batch(), 1)]
    raw = replace(raw_block(values), headers={0: (("trace", b"1"),), 2: (("other", b""),)})
    (section,) = dead_letter_section(raw, decode_telemetry(raw, "x.", schema_of_id))
    letters = unpack_frames(section.payload)["letters"]
    assert letters["headers"].to_list() == [[{"name": "trace", "value": b"1"}], []]
    assert letters["value"].to_list() == [b"junk", None]
    assert letters["key"].to_list() == [b"key 0", b"key 1"]
    assert letters["offset"].to_list() == [100, 101]
    assert letters["topic"].to_list() == ["x.telemetry"] * 2
    assert letters["reason"].to_list() == [Reason.BAD_MAGIC.value] * 2


def test_a_block_without_rejects_has_no_dead_letter_section():
    raw, decoded = decode([batch()])
    assert dead_letter_section(raw, decoded) == []
