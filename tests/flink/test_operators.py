"""The operators in a real Flink cluster inside the test: types, pickling, keyed state, order."""

import ast
import random
import sys
from collections import Counter
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import numpy as np
import pytest
from pyflink.common import Configuration, Types
from pyflink.datastream import DataStream, StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment

from jobs.aggregate_job import summed
from jobs.environment import PYTHON_OPTIONS
from jobs.result_rows import result_type
from schemas.codec import DecodedBlock
from schemas.records import decode_record, encode_record, schema_of
from schemas.topics import MESSAGE_MAX_BYTES, Topic
from tests.oracle.windows_oracle import LogEntry, windows_of
from tests.unit.test_aggregate import cut, merged, raw_block
from udfs.block_results import AggregateTopics
from udfs.duplicates_operator import MarkDuplicates
from udfs.fleet_operator import WatchFleet
from udfs.liveness_operator import WatchShards, transition_type
from udfs.offline_policy import OfflinePolicy
from udfs.reject_policy import RejectPolicy
from udfs.result_operator import SendLetters, result_rows
from udfs.shards import Section, pack_sections
from udfs.split_operator import element_type, split_container
from udfs.sum_function import SumBlocks
from udfs.telemetry_blocks import (
    RawBlock,
    account_section,
    batch_sections,
    contact_sections,
    dead_letter_section,
    decode_telemetry,
)
from udfs.windows import WindowPolicy

pytestmark = [
    pytest.mark.flink,
    # Beam and what it imports deprecate each other while they load.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    # PyFlink keeps its Java gateway until the interpreter ends; its threads end with the cluster.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]

NOON_MS = 1_790_000_100_000
SHARD_COUNT = 4
LIMIT = RejectPolicy(window_count=20, min_count=10)
TOPICS = AggregateTopics(
    component="fleetpulse-aggregate",
    windows="windows",
    windows_schema_id=7,
    accounts="accounts",
    accounts_schema_id=8,
    dead_letters="dead-letters",
)


def batch(device: int, sequence: int, at_ms: int, *, value: float = 1.5) -> dict[str, Any]:
    point = {"name": "cpu", "value": value, "timestamp": at_ms, "tags": {}}
    return {
        "tenant_id": "t",
        "device_id": f"d{device}",
        "boot_id": "b",
        "sequence": sequence,
        "sent_at": at_ms,
        "deployment_group": "g",
        "model_version": f"v{device % 2}",
        "points": [point],
    }


def tick() -> dict[str, Any]:
    return {"tenant_id": "__clock__", "device_id": "clock", "sent_at": 0, "points": []}


def log_of(batches: list[tuple[int, dict[str, Any]]]) -> list[LogEntry]:
    return [LogEntry(at_ms, 0, offset, batch) for offset, (at_ms, batch) in enumerate(batches)]


class Sent(NamedTuple):
    """One message that a job sent to its sink."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]
    timestamp_ms: int | None


def rows_of(containers: list[bytes], build: Any, split: Any = split_container) -> list[Sent]:
    """Run containers through what `build` adds, on two subtasks; return what it sends."""
    configuration = Configuration()
    for key, value in PYTHON_OPTIONS.items():
        configuration.set_string(key, value)
    configuration.set_string("python.executable", sys.executable)
    environment = StreamExecutionEnvironment.get_execution_environment(configuration)
    environment.set_parallelism(2)
    some_bytes = Types.PRIMITIVE_ARRAY(Types.BYTE())
    source = environment.from_collection(
        [(container,) for container in containers], type_info=Types.TUPLE([some_bytes])
    ).set_parallelism(1)
    # One subtask splits, as one source subtask does for its partitions: blocks stay in order.
    elements = source.flat_map(split, output_type=element_type()).set_parallelism(1)
    # Apart, so that the rows take the way through Java; what is collected must not be null.
    texts = build(elements).map(text_of, output_type=Types.STRING()).disable_chaining()
    with texts.execute_and_collect() as results:
        return [Sent(*ast.literal_eval(text)) for text in results]


def text_of(row: Any) -> str:
    return repr((row[0], row[1], row[2], dict(row[3]), row[4]))


def by_shard(elements: DataStream) -> DataStream:
    return elements.key_by(lambda element: element[0], key_type=Types.INT())


def containers_of(log: list[LogEntry], sections_of: Any) -> list[bytes]:
    return [container_of(raw_block(block), sections_of) for block in cut(log, seed=7)]


def container_of(raw: RawBlock, sections_of: Any) -> bytes:
    decoded = decode_telemetry(raw, "", lambda _: schema_of(Topic.TELEMETRY))
    return pack_sections(sections_of(raw, decoded))


def job_sections(raw: RawBlock, decoded: DecodedBlock) -> list[Section]:
    """Return what the aggregate job makes of a block."""
    letters = dead_letter_section(raw, decoded)
    account = account_section(raw, decoded)
    return [*batch_sections(raw, decoded, SHARD_COUNT), *letters, account]


def aggregated(elements: DataStream) -> DataStream:
    judged = by_shard(elements).process(MarkDuplicates(LIMIT), output_type=element_type())
    tables = StreamTableEnvironment.create(elements.get_execution_environment())
    return summed(tables, judged, SumBlocks(WindowPolicy(), TOPICS)).flat_map(
        result_rows, output_type=result_type()
    )


def watched(elements: DataStream) -> DataStream:
    topics = {Topic.ALERTS: ("alerts", 1), Topic.DEVICE_STATUS: ("device-status", 2)}
    transitions = by_shard(elements).process(
        WatchShards(OfflinePolicy()), output_type=transition_type()
    )
    return transitions.key_by(lambda _: 0, key_type=Types.INT()).process(
        WatchFleet(OfflinePolicy(), SHARD_COUNT, topics, is_live=False),
        output_type=result_type(),
    )


def test_windows_that_leave_flink_equal_the_oracle():
    chance = random.Random(11)
    sent = [(NOON_MS + 1000 * i, batch(i % 20, i // 20, NOON_MS + 900 * i)) for i in range(200)]
    sent += [(NOON_MS + 250_000 + i, again) for i, (_, again) in enumerate(chance.sample(sent, 30))]
    log = log_of(sent)
    rows = rows_of(containers_of(log, job_sections), aggregated)
    assert {row.topic for row in rows} == {"windows", "accounts"}
    windows = merged([row.value for row in rows if row.topic == "windows"])
    found = {key: asdict(row) for key, row in windows.items()}
    assert found == {key: asdict(row) for key, row in windows_of(log).items()}
    # 200 batches of one point, 30 of them twice
    assert account_of(rows) == {
        ("message", "read", ""): 230,
        ("message", "accepted", ""): 200,
        ("message", "duplicate", ""): 30,
        ("point", "read", ""): 230,
        ("point", "accepted", ""): 200,
        ("point", "duplicate", ""): 30,
    }


def account_of(rows: list[Sent]) -> dict[tuple[str, str, str], int]:
    account: Counter[tuple[str, str, str]] = Counter()
    for sent in rows:
        if sent.topic == "accounts":
            for row in decode_record(Topic.ACCOUNTS, sent.value)["rows"]:
                account[row["unit"], row["outcome"], row["reason"]] += row["count"]
    return dict(account)


def poisoned_block(values: list[bytes | None], **parts: Any) -> RawBlock:
    """Lay values into partition 3 from offset 70 on; each has a key of its own."""
    raw = RawBlock(
        topics=["telemetry"] * len(values),
        keys=[b"t/d%d" % row for row in range(len(values))],
        values=values,
        append_time_ms=NOON_MS + np.arange(len(values)),
        partitions=np.full(len(values), 3, np.int32),
        offsets=70 + np.arange(len(values)),
    )
    return replace(raw, **parts)


def test_letters_keep_null_keys_tombstones_headers_time_and_a_value_of_one_mebibyte():
    good = encode_record(Topic.TELEMETRY, batch(0, 0, NOON_MS), 7)
    values = [good, None, b"junk", bytes(5).ljust(MESSAGE_MAX_BYTES, b"x")]
    raw = poisoned_block(
        values, keys=[b"t/d0", None, b"", b"t/d3"], headers={2: (("trace", b"\x00\xff"),)}
    )
    rows = rows_of([container_of(raw, job_sections)], aggregated)
    letters = [row for row in rows if row.topic == "dead-letters"]
    assert [(row.key, row.value) for row in letters] == [
        (None, None),
        (b"", b"junk"),
        (b"t/d3", values[3]),
    ]
    assert [row.timestamp_ms for row in letters] == [NOON_MS + 1, NOON_MS + 2, NOON_MS + 3]
    assert ["trace" in row.headers for row in letters] == [False, True, False]
    assert letters[1].headers["trace"] == b"\x00\xff"
    assert letters[1].headers["__connect.errors.offset"] == b"72"
    reasons = [row.headers["dlq.reason"].decode() for row in letters]
    assert reasons == ["bad_magic", "bad_magic", "avro_invalid"]
    account = account_of(rows)
    assert account["message", "read", ""] == 4
    assert account["message", "accepted", ""] == 1
    assert account["message", "rejected", "bad_magic"] == 2
    assert account["message", "rejected", "avro_invalid"] == 1


def test_a_job_that_rejects_too_much_fails_with_one_line_that_names_the_cure():
    good = encode_record(Topic.TELEMETRY, batch(0, 0, NOON_MS), 7)
    raw = poisoned_block([good] * 6 + [b"junk"] * 14)
    with pytest.raises(Exception, match="RejectLimitExceeded") as raised:
        rows_of([container_of(raw, job_sections)], aggregated)
    # the seventh bad one is the first to be more than half
    expected = "telemetry partition 3, offset 82: 7 of the last 13 messages were rejected, most of"
    (line,) = {
        line.partition("RejectLimitExceeded: ")[2]
        for line in str(raised.value).splitlines()
        if "RejectLimitExceeded: " in line
    }
    assert line.startswith(expected)
    assert "cure:" in line


def test_sections_of_letters_become_rows_and_others_do_not():
    raw = poisoned_block([encode_record(Topic.TELEMETRY, batch(0, 0, NOON_MS), 7), b"junk"])

    def sent(elements: DataStream) -> DataStream:
        return elements.flat_map(SendLetters("dead-letters", "job"), output_type=result_type())

    (row,) = rows_of([container_of(raw, job_sections)], sent)
    assert (row.topic, row.value) == ("dead-letters", b"junk")
    assert row.headers["__connect.errors.connector.name"] == b"job"


def test_a_silent_device_raises_one_warning_and_is_resolved_when_it_returns():
    # d0  x-------------------------W----------------------------x   x = contact, W = warning
    # d1  x  x  x  x  x  x  x  x  x  x  x  x  x  x  x  x  x  x  x  x
    #     0 s                     300 s                        600 s
    sent = [(NOON_MS, batch(0, 0, NOON_MS))]
    for i in range(1, 131):
        at_ms = NOON_MS + 5_000 * i
        sent.append((at_ms, batch(1, i, at_ms)))
        sent.append((at_ms, tick()))
    sent.append((NOON_MS + 655_000, batch(0, 1, NOON_MS + 655_000)))
    sent += [(NOON_MS + 660_000 + 5_000 * i, tick()) for i in range(3)]
    log = log_of(sent)
    containers = containers_of(
        log, lambda raw, decoded: contact_sections(raw, decoded, SHARD_COUNT, "")
    )
    rows = rows_of(containers, watched)
    alerts = [decode_record(Topic.ALERTS, row.value) for row in rows if row.topic == "alerts"]
    told = [
        (alert["subject"], alert["status"], alert["seq"], alert["time"] - NOON_MS)
        for alert in alerts
        if alert["type"] == "fleetpulse.alert.device-offline"
    ]
    assert told == [("device/d0", "firing", 1, 300_000), ("device/d0", "resolved", 2, 655_000)]
    assert len({alert["episode_id"] for alert in alerts if alert["status"] != "info"}) == 1
