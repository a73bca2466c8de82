"""Laws L1 and L3 on the pure path: bytes -> columns -> shards -> deltas, against the oracle."""

import io
import random
from collections import Counter
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import decode_messages
from schemas.records import encode_record, schema_of
from schemas.topics import Topic
from tests.oracle.windows_oracle import LogEntry, WindowKey, WindowRow, windows_of
from tests.pure_chain import Shards
from tests.strategies import telemetry_logs
from udfs.block_sums import sum_blocks
from udfs.frame_bytes import unpack_frames
from udfs.shard_blocks import marked_block
from udfs.shards import Section, pack_sections, split_sections
from udfs.telemetry_blocks import RawBlock, batch_sections, dead_letter_section, decode_telemetry
from udfs.window_messages import window_messages
from udfs.windows import WindowPolicy

SCHEMA_ID = 7


def raw_block(log: list[LogEntry]) -> RawBlock:
    return RawBlock(
        topics=["telemetry"] * len(log),
        keys=[b"key"] * len(log),
        values=[encode_record(Topic.TELEMETRY, entry.batch, SCHEMA_ID) for entry in log],
        append_time_ms=np.array([entry.append_time_ms for entry in log], np.int64),
        partitions=np.array([entry.partition for entry in log], np.int32),
        offsets=np.array([entry.offset for entry in log], np.int64),
    )


def windows_by_engine(
    blocks: list[list[LogEntry]], shard_count: int, seed: int
) -> dict[WindowKey, WindowRow]:
    """Run blocks through the engine's pure path, with a restart between any two of them.

    What the shards pass on is summed in handfuls, whichever happen to arrive together.
    """
    chance, shards, judged = random.Random(seed), Shards(), []
    for block in blocks:
        raw = raw_block(block)
        decoded = decode_telemetry(raw, "", lambda _: schema_of(Topic.TELEMETRY))
        assert not decoded.rejected
        container = pack_sections(batch_sections(raw, decoded, shard_count))
        judged += shards.judged(split_sections(container))
        shards.restart()
    chance.shuffle(judged)
    messages = []
    while judged:
        count = chance.randint(1, len(judged))
        messages += summed(judged[:count])
        judged = judged[count:]
    return merged(messages)


def summed(judged: list[Section]) -> list[bytes]:
    """Return the messages of some judged sections."""
    sums = sum_blocks([marked_block(s.shard, s.payload) for s in judged], WindowPolicy())
    return [message.value for message in window_messages(sums.deltas, SCHEMA_ID)]


def merged(messages: list[bytes]) -> dict[WindowKey, WindowRow]:
    """Add the deltas of WindowDeltas messages up to windows."""
    windows: dict[WindowKey, WindowRow] = {}
    deltas = decode_messages(Topic.WINDOWS, messages, lambda _: schema_of(Topic.WINDOWS)).items
    for delta in deltas.iter_rows(named=True):
        row = windows.setdefault(
            WindowKey(*(delta[name] for name in WindowKey._fields)), WindowRow()
        )
        row.sum_fixed += int.from_bytes(delta["sum_fixed"], "little", signed=True)
        row.sum_sq_fixed += int.from_bytes(delta["sum_sq_fixed"], "little", signed=True)
        row.min, row.max = min(row.min, delta["min"]), max(row.max, delta["max"])
        histogram = delta["histogram"]
        row.histogram += Counter(dict(zip(histogram["bins"], histogram["counts"], strict=True)))
        for name in ("count", "nan_count", "out_of_range_count", "skewed_count", "duplicate_count"):
            setattr(row, name, getattr(row, name) + delta[name])
    return windows


def cut(log: list[LogEntry], seed: int) -> list[list[LogEntry]]:
    """Cut a log into blocks of random sizes; partitions are consumed side by side."""
    chance, blocks = random.Random(seed), [[]]
    for entry in log:
        if blocks[-1] and chance.random() < 0.3:
            blocks.append([])
        blocks[-1].append(entry)
    return blocks


@settings(max_examples=25, deadline=None)
@given(telemetry_logs(), st.sampled_from([1, 2, 16]), st.integers(0, 2**32))
def test_windows_equal_the_oracle_for_any_blocks_shards_and_restarts(log, shard_count, seed):
    expected = windows_of(log)
    found = windows_by_engine(cut(log, seed), shard_count, seed)
    assert {key: asdict(row) for key, row in found.items()} == {
        key: asdict(row) for key, row in expected.items()
    }


def test_what_arrives_together_tells_each_window_of_a_group_once():
    log = [LogEntry(1_790_000_100_000 + n, 0, n, one_point(f"d{n}")) for n in range(64)]
    raw = raw_block(log)
    decoded = decode_telemetry(raw, "", lambda _: schema_of(Topic.TELEMETRY))
    sections = batch_sections(raw, decoded, 16)
    assert len(sections) > 8, "the devices are in many shards"
    judged = Shards().judged(sections)
    blocks = [marked_block(s.shard, s.payload) for s in judged]
    scopes = sum_blocks(blocks, WindowPolicy()).deltas["scope"].to_list()
    assert Counter(scopes) == {"device": 64, "group": 1, "tenant": 1}
    each = [sum_blocks([block], WindowPolicy()).deltas["scope"].to_list() for block in blocks]
    assert sum(scopes.count("group") for scopes in each) == len(sections)


def one_point(device_id):
    point = {"name": "m", "value": 1.0, "timestamp": 1_790_000_100_000, "tags": {}}
    return {"tenant_id": "t", "device_id": device_id, "sent_at": 0, "points": [point]}


def test_every_message_is_accepted_or_in_the_dead_letters_with_its_bytes():
    good = {
        "tenant_id": "t",
        "device_id": "d",
        "sent_at": 0,
        "points": [{"name": "m", "value": 1.0, "timestamp": 0, "tags": {}}],
    }
    too_many_tags = good | {
        "points": [good["points"][0] | {"tags": {str(i): "" for i in range(17)}}]
    }
    valid = encode_record(Topic.TELEMETRY, good, SCHEMA_ID)
    cases = {
        "accepted": (valid, "telemetry"),
        "bad_magic": (b"junk", "telemetry"),
        "avro_invalid": (valid + b"\0", "telemetry"),
        "identity_invalid": (
            encode_record(Topic.TELEMETRY, good | {"tenant_id": "a/b"}, SCHEMA_ID),
            "telemetry",
        ),
        "tenant_mismatch": (valid, "telemetry.other"),
        "limit_exceeded": (encode_record(Topic.TELEMETRY, too_many_tags, SCHEMA_ID), "telemetry"),
    }
    raw = RawBlock(
        topics=[topic for _, topic in cases.values()],
        keys=[b"t/d"] * len(cases),
        values=[value for value, _ in cases.values()],
        append_time_ms=np.zeros(len(cases), np.int64),
        partitions=np.zeros(len(cases), np.int32),
        offsets=np.arange(len(cases)),
    )
    decoded = decode_telemetry(raw, "", lambda _: schema_of(Topic.TELEMETRY))
    assert decoded.messages["row"].to_list() == [0]
    (section,) = dead_letter_section(raw, decoded)
    letters = unpack_frames(section.payload)["letters"]
    assert letters["reason"].to_list() == list(cases)[1:]
    assert letters["value"].to_list() == raw.values[1:]


@pytest.mark.parametrize("row_count", [1, 5_000, 5_001])
def test_window_messages_are_bounded_and_carry_every_row(row_count):
    point = {"value": 1.0, "timestamp": 1_790_000_000_000, "tags": {}}
    points = [point | {"name": f"m{i}"} for i in range(row_count)]
    batch = {"tenant_id": "t", "device_id": "d", "sent_at": 0, "points": points}
    out = io.BytesIO(encode_record(Topic.TELEMETRY, batch, SCHEMA_ID))
    raw = RawBlock(["telemetry"], [b""], [out.getvalue()], *(np.array([n]) for n in (10**12, 0, 0)))
    decoded = decode_telemetry(raw, "", lambda _: schema_of(Topic.TELEMETRY))
    (section,) = batch_sections(raw, decoded, 1)
    messages = summed(Shards().judged([section]))
    assert len(merged(messages)) == 3 * row_count
    assert max(map(len, messages)) < 1024 * 1024
