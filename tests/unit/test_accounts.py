"""Law L3: per partition, what was read is the sum of what became of it, and the sum can fail."""

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from schemas.codec import decode_messages
from schemas.records import encode_record, schema_of
from schemas.topics import CLOCK_TENANT_ID, Topic
from tests.pure_chain import Shards
from tests.strategies import NOON_MS, batches
from udfs.accounts import Outcome, Unit, account_message, read_entries, rejected_entries
from udfs.block_sums import sum_blocks
from udfs.frame_bytes import unpack_frames
from udfs.shard_blocks import marked_block
from udfs.shards import SectionKind
from udfs.telemetry_blocks import (
    RawBlock,
    account_section,
    batch_sections,
    dead_letter_section,
    decode_telemetry,
)
from udfs.windows import WindowPolicy

SHARD_COUNT = 3
SCHEMA_ID = 1
TOPICS = ("telemetry", "telemetry.t")
JUNK = {"junk": b"junk", "nothing": None, "cut": b"\0\0\0\0\1\x02t"}
"""A tombstone too: telemetry has nothing to delete."""


def raw_block(messages) -> RawBlock:
    """Lay (topic, partition, value) out in the order in which they are read."""
    topics, partitions, values = zip(*messages, strict=True) if messages else ((), (), ())
    count = len(messages)
    return RawBlock(
        topics=list(topics),
        keys=[b"t/d"] * count,
        values=list(values),
        append_time_ms=NOON_MS + 1000 * np.arange(count),
        partitions=np.array(partitions, np.int32),
        offsets=np.arange(count),
    )


@st.composite
def logs(draw):
    """Draw (topic, partition, kind, record); copies of earlier messages among them."""
    log = []
    for _ in range(draw(st.integers(1, 15))):
        kind = draw(st.sampled_from(["batch", "batch", "batch", "copy", "tick", *JUNK]))
        place = (draw(st.sampled_from(TOPICS)), draw(st.integers(0, 2)))
        record = draw(batches())
        if kind == "copy" and log:
            *place, kind, record = draw(st.sampled_from(log))
        elif kind == "tick":
            record |= {"tenant_id": CLOCK_TENANT_ID, "points": []}
        log.append((*place, "batch" if kind == "copy" else kind, record))
    return log


def value_of(kind, record):
    return JUNK[kind] if kind in JUNK else encode_record(Topic.TELEMETRY, record, SCHEMA_ID)


def entries_of(blocks):
    """Run blocks through the pure path of the job; yield (section kind, entries)."""
    shards = Shards()
    for block in blocks:
        raw = raw_block([(topic, part, value_of(*what)) for topic, part, *what in block])
        decoded = decode_telemetry(raw, "", lambda _: schema_of(Topic.TELEMETRY))
        for section in shards.judged(batch_sections(raw, decoded, SHARD_COUNT)):
            part = marked_block(section.shard, section.payload)
            yield section.kind, sum_blocks([part], WindowPolicy()).entries
        shards.restart()
        for section in dead_letter_section(raw, decoded):
            yield section.kind, rejected_entries(unpack_frames(section.payload)["letters"])
        section = account_section(raw, decoded)
        yield section.kind, read_entries(unpack_frames(section.payload)["read"])


def summed(entries) -> dict:
    """Send entries over the wire and add them up as ClickHouse does."""
    messages = [account_message(found, SCHEMA_ID) for found in entries]
    rows = decode_messages(Topic.ACCOUNTS, messages, lambda _: schema_of(Topic.ACCOUNTS)).items
    sums = Counter()
    for row in rows.iter_rows(named=True):
        assert row["count"] > 0
        key = (row["topic"], row["partition"], row["unit"], row["outcome"], row["reason"])
        sums[key] += row["count"]
    return sums


def missing(sums) -> Counter:
    """Return read minus everything else, per partition and unit, where it is not 0."""
    balance = Counter()
    for (topic, partition, unit, outcome, _), count in sums.items():
        balance[topic, partition, unit] += count if outcome == "read" else -count
    return Counter({key: count for key, count in balance.items() if count != 0})


def cut(log, borders):
    places = [0, *sorted(border for border in borders if border < len(log)), len(log)]
    return [log[a:b] for a, b in itertools.pairwise(places) if a < b]


@settings(max_examples=15, deadline=None)
@given(logs(), st.sets(st.integers(1, 14), max_size=4))
def test_read_is_the_sum_of_what_became_of_it_in_every_partition(log, borders):
    sums = summed(entries for _, entries in entries_of(cut(log, borders)))
    assert not missing(sums)
    read = Counter((topic, partition) for topic, partition, *_ in log)
    assert {key[:2]: n for key, n in sums.items() if key[2:4] == ("message", "read")} == read
    ticks = Counter(entry[:2] for entry in log if entry[2] == "tick")
    assert {key[:2]: n for key, n in sums.items() if key[3] == "tick"} == ticks


@settings(max_examples=15, deadline=None)
@given(logs(), st.data())
def test_any_part_that_is_lost_shows_as_missing(log, data):
    # Of ticks alone there is nothing to count.
    assume(any(entry[2] != "tick" for entry in log))
    parts = list(entries_of([log]))
    lost = data.draw(st.integers(0, len(parts) - 1))
    if not parts[lost][1]:
        return
    kept = [entries for index, (_, entries) in enumerate(parts) if index != lost]
    short = missing(summed(kept))
    assert short
    if parts[lost][0] is SectionKind.ACCOUNT:
        assert all(count < 0 for count in short.values())
    else:
        assert all(count > 0 for count in short.values())


def test_each_outcome_is_told_by_its_name_and_reason():
    good = {
        "tenant_id": "t",
        "device_id": "d",
        "boot_id": "b",
        "sequence": 1,
        "sent_at": NOON_MS,
        "points": [
            {"name": "m", "value": value, "timestamp": NOON_MS, "tags": {}}
            for value in (1.0, 2.0, float("nan"), float("inf"), 1e13)
        ],
    }
    tick = {"tenant_id": CLOCK_TENANT_ID, "device_id": "clock", "sent_at": 0, "points": []}
    stranger = good | {"tenant_id": "x"}
    log = [
        ("telemetry", 0, "batch", good),
        ("telemetry", 0, "batch", good),
        ("telemetry", 0, "tick", tick),
        ("telemetry", 0, "junk", None),
        ("telemetry", 0, "cut", None),
        ("telemetry.t", 2, "batch", stranger),
    ]
    message, point = Unit.MESSAGE, Unit.POINT
    assert summed(entries for _, entries in entries_of([log])) == {
        ("telemetry", 0, message, Outcome.READ, ""): 5,
        ("telemetry", 0, message, Outcome.TICK, ""): 1,
        ("telemetry", 0, message, Outcome.ACCEPTED, ""): 1,
        ("telemetry", 0, message, Outcome.DUPLICATE, ""): 1,
        ("telemetry", 0, message, Outcome.REJECTED, "bad_magic"): 1,
        ("telemetry", 0, message, Outcome.REJECTED, "avro_invalid"): 1,
        ("telemetry", 0, point, Outcome.READ, ""): 10,
        ("telemetry", 0, point, Outcome.ACCEPTED, ""): 2,
        ("telemetry", 0, point, Outcome.DUPLICATE, ""): 5,
        ("telemetry", 0, point, Outcome.REJECTED, "nan"): 2,
        ("telemetry", 0, point, Outcome.REJECTED, "out_of_range"): 1,
        ("telemetry.t", 2, message, Outcome.READ, ""): 1,
        ("telemetry.t", 2, message, Outcome.REJECTED, "tenant_mismatch"): 1,
    }


def test_what_the_reject_limit_judges_is_every_message_but_ticks():
    messages = [("telemetry", 0, JUNK["junk"]), ("telemetry", 1, JUNK["cut"])]
    tick = {"tenant_id": CLOCK_TENANT_ID, "device_id": "clock", "sent_at": 0, "points": []}
    messages.append(("telemetry", 0, encode_record(Topic.TELEMETRY, tick, SCHEMA_ID)))
    raw = raw_block(messages)
    raw = replace(raw, keys=[None, None, b"clock"])
    decoded = decode_telemetry(raw, "", lambda _: schema_of(Topic.TELEMETRY))
    judged = unpack_frames(account_section(raw, decoded).payload)["judged"]
    assert judged.select("topic", "partition", "offset", "reason").rows() == [
        ("telemetry", 0, 0, "bad_magic"),
        ("telemetry", 1, 1, "avro_invalid"),
    ]
    # Nobody knows who sends without a key: each message counts as a sender.
    assert judged["sender"].n_unique() == 2
