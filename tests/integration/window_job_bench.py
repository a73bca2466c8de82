"""A job that reads `windows` on real parts: what tests of such jobs have in common."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, Producer

from jobs.flink_cluster import flink_environment
from jobs.ports import free_port_settings
from jobs.settings import SETTINGS_FILE_VARIABLE, Settings
from jobs.settings_file import settings_path
from jobs.topic_admin import admin_client, log_ends
from schemas.control_records import ControlMessage, control_frame
from schemas.records import encode_record
from schemas.registry import SchemaRegistry
from schemas.topics import Topic, topic_name
from tests.chaos.victims import Victims
from tests.integration.topic_reading import read_topic
from tests.rules_chain import Written
from udfs.frame_bytes import pack_frames

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 90.0
POLL_INTERVAL_S = 0.2
SHARD_COUNT, PARTITION_COUNT = 4, 2


def bench_settings(folder: Path, **groups: dict[str, Any]) -> Settings:
    """Return the settings of a small stack of which a test writes the topics."""
    return free_port_settings(
        folder,
        kafka={"partition_count": PARTITION_COUNT, "clock": "record"},
        flink={
            "shard_count": SHARD_COUNT,
            "checkpoint_interval_ms": 1_000,
            "block_max_age_ms": 100,
        },
        stack={"start_timeout_s": 120.0},
        **groups,
    )


def submit_alone(settings: Settings, job: str) -> None:
    """Submit one job, a module of `jobs`: windows and their marks come from the test."""
    program = f"from jobs import {job}, settings; {job}.submit(settings.load_settings())"
    argv = [sys.executable, "-c", program]
    subprocess.run(argv, env=flink_environment(settings), cwd=ROOT, check=True, timeout=120)


def alerts_told(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return the events on the topic by id; one that was sent again must say the same."""
    found: dict[str, dict[str, Any]] = {}
    for message in read_topic(settings, Topic.ALERTS):
        event = dict(message.record)
        event.pop("emitted_at")
        assert message.key == f"{event['tenant_id']}/{event['subject']}"
        assert found.setdefault(event["id"], event) == event
    return found


class VictimsOf(Victims):
    """The processes of a stack that this test's fixture holds."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._run_dir = settings.stack.data_dir.resolve() / "run"


def control(settings: Settings, *words: str, content: str = "") -> None:
    """Run `fleetpulse control`."""
    subprocess.run(
        [sys.executable, "-m", "jobs.cli", "control", *words],
        env=os.environ | {SETTINGS_FILE_VARIABLE: str(settings_path(settings))},
        input=content, text=True, cwd=ROOT, check=True, timeout=DEADLINE_S,
    )  # fmt: skip


def controls(settings: Settings, after: int) -> bytes:
    """Return what was sent to `control` beyond the first messages, for the pure chain."""
    found = read_topic(settings, Topic.CONTROL)
    messages = [ControlMessage(m.raw_key, m.value, m.at_ms, m.partition, m.offset) for m in found]
    messages.sort(key=lambda m: m.append_time_ms)
    registry = SchemaRegistry(settings.registry.url, 5.0)
    frame, refused = control_frame(messages[after:], registry.schema_by_id)
    registry.close()
    assert refused == []
    return pack_frames({"controls": frame})


def send(settings: Settings, written: Sequence[Written]) -> None:
    """Write messages of the pure aggregate job to `windows`."""
    registry = SchemaRegistry(settings.registry.url, 5.0)
    header = encode_record(Topic.WINDOWS, {"rows": []}, registry.register(Topic.WINDOWS, ""))[:5]
    registry.close()
    producer = Producer({"bootstrap.servers": settings.kafka.bootstrap_servers})
    name = topic_name(Topic.WINDOWS, settings.kafka.topic_prefix)
    for w in written:
        value, headers = w.result.value or b"", list(w.result.headers)
        producer.produce(name, header + value[5:], w.result.key, w.partition, headers=headers)
    assert producer.flush(DEADLINE_S) == 0


def is_read(settings: Settings, topic: Topic, job_name: str) -> bool:
    """Say whether a checkpoint of the job holds all of a topic."""
    name = topic_name(topic, settings.kafka.topic_prefix)
    client = admin_client(settings.kafka)  # it must outlive its answers
    group = ConsumerGroupTopicPartitions(f"{settings.kafka.topic_prefix}{job_name}")
    (answer,) = client.list_consumer_group_offsets([group]).values()
    found = answer.result().topic_partitions or []
    committed = {place.partition: place.offset for place in found if place.topic == name}
    ends = log_ends(name, settings.kafka)
    return all(committed.get(p, 0) >= end for p, end in ends.items())


def wait_for(condition: Callable[[], bool], what: str) -> None:
    give_up_at_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < give_up_at_s, f"no {what} after {DEADLINE_S} s"
        time.sleep(POLL_INTERVAL_S)
