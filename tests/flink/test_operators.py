"""The operators in a real Flink cluster inside the test: types, pickling, keyed state, order."""

import random
import sys
from dataclasses import asdict
from typing import Any

import pytest
from pyflink.common import Configuration, Types
from pyflink.datastream import DataStream, StreamExecutionEnvironment

from jobs.environment import PYTHON_OPTIONS
from jobs.result_rows import result_type
from schemas.records import decode_record, schema_of
from schemas.topics import Topic
from tests.oracle.windows_oracle import LogEntry, windows_of
from tests.unit.test_aggregate import cut, merged, raw_block
from udfs.aggregate_operator import AggregateShards
from udfs.fleet_operator import WatchFleet
from udfs.liveness_operator import WatchShards, transition_type
from udfs.offline_policy import OfflinePolicy
from udfs.shards import Section, pack_sections
from udfs.split_operator import element_type, split_container
from udfs.telemetry_blocks import (
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


def rows_of(containers: list[bytes], build: Any) -> list[tuple[str, bytes]]:
    """Run containers through what `build` adds, on two subtasks; return (topic, value) rows."""
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
    elements = source.flat_map(split_container, output_type=element_type()).set_parallelism(1)
    with build(elements).execute_and_collect() as results:
        return [(row[0], as_bytes(row[2])) for row in results]


def as_bytes(signed: Any) -> bytes:
    """Return bytes as collected: Java's are signed."""
    return bytes(byte & 0xFF for byte in signed)


def by_shard(elements: DataStream) -> DataStream:
    return elements.key_by(lambda element: element[0], key_type=Types.INT())


def containers_of(log: list[LogEntry], sections_of: Any) -> list[bytes]:
    containers = []
    for block in cut(log, seed=7):
        raw = raw_block(block)
        decoded = decode_telemetry(raw, "", lambda _: schema_of(Topic.TELEMETRY))
        containers.append(pack_sections(sections_of(raw, decoded)))
    return containers


def aggregated(elements: DataStream) -> DataStream:
    aggregate = AggregateShards(
        WindowPolicy(),
        windows_topic="windows",
        dead_letters_topic="dead-letters",
        windows_schema_id=7,
    )
    return by_shard(elements).process(aggregate, output_type=result_type())


def watched(elements: DataStream) -> DataStream:
    topics = {Topic.ALERTS: ("alerts", 1), Topic.DEVICE_STATUS: ("device-status", 2)}
    transitions = by_shard(elements).process(
        WatchShards(OfflinePolicy()), output_type=transition_type()
    )
    return transitions.key_by(lambda _: 0, key_type=Types.INT()).process(
        WatchFleet(OfflinePolicy(), SHARD_COUNT, topics), output_type=result_type()
    )


def test_windows_that_leave_flink_equal_the_oracle():
    chance = random.Random(11)
    sent = [(NOON_MS + 1000 * i, batch(i % 20, i // 20, NOON_MS + 900 * i)) for i in range(200)]
    sent += [(NOON_MS + 250_000 + i, again) for i, (_, again) in enumerate(chance.sample(sent, 30))]
    log = log_of(sent)

    def sections(raw: Any, decoded: Any) -> list[Section]:
        return batch_sections(raw, decoded, SHARD_COUNT) + dead_letter_section(raw, decoded)

    rows = rows_of(containers_of(log, sections), aggregated)
    assert {row[0] for row in rows} == {"windows"}
    found = {key: asdict(row) for key, row in merged([row[1] for row in rows]).items()}
    assert found == {key: asdict(row) for key, row in windows_of(log).items()}


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
        log, lambda raw, decoded: contact_sections(raw, decoded, SHARD_COUNT)
    )
    rows = rows_of(containers, watched)
    alerts = [decode_record(Topic.ALERTS, row[1]) for row in rows if row[0] == "alerts"]
    told = [
        (alert["subject"], alert["status"], alert["seq"], alert["time"] - NOON_MS)
        for alert in alerts
        if alert["type"] == "fleetpulse.alert.device-offline"
    ]
    assert told == [("device/d0", "firing", 1, 300_000), ("device/d0", "resolved", 2, 655_000)]
    assert len({alert["episode_id"] for alert in alerts if alert["status"] != "info"}) == 1
