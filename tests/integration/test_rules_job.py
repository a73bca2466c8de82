"""The rules job on a real Kafka, registry and Flink, killed and restarted, against the pure chain.

windows    r r M ..      r r M r M ..         r M ..               M = marks
control      rule                                  tombstone
alerts            firing   x   resolved  firing        resolved    x = the worker is killed
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Producer

from jobs.flink_cluster import are_tasks_running, flink_environment
from jobs.local_stack import INFRASTRUCTURE, LocalStack
from jobs.ports import free_port_settings
from jobs.rules_job import JOB_NAME
from jobs.settings import SETTINGS_FILE_VARIABLE, Settings
from jobs.settings_file import settings_path, write_settings_file
from jobs.topic_admin import admin_client, create_topics, log_ends
from schemas.control import control_fields
from schemas.control_records import ControlMessage, control_frame
from schemas.records import encode_record
from schemas.registry import SchemaRegistry
from schemas.topics import Topic, topic_name
from tests.alert_logs import TENANT, Event
from tests.chaos.victims import Victims
from tests.integration.topic_reading import read_topic
from tests.oracle.threshold_oracle import Heard
from tests.rules_chain import Aggregate, RulesChain, Written
from tests.threshold_logs import rule
from udfs.frame_bytes import pack_frames
from udfs.rules_shard import RulesPolicy

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 90.0
POLL_INTERVAL_S = 0.2
MINUTE_MS = 60_000
WINDOW_MS = 5 * MINUTE_MS
AHEAD_MS = 4 * WINDOW_MS
"""Rules judge windows that begin after they were sent: the fleet of this test lives in a while."""
SHARD_COUNT, PARTITION_COUNT = 4, 2


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    settings = free_port_settings(
        tmp_path_factory.mktemp("rules"),
        kafka={"partition_count": PARTITION_COUNT, "clock": "record"},
        flink={
            "shard_count": SHARD_COUNT,
            "checkpoint_interval_ms": 1_000,
            "block_max_age_ms": 100,
        },
        stack={"start_timeout_s": 120.0},
    )
    with LocalStack(settings, parts=INFRASTRUCTURE):
        create_topics(settings.kafka)
        write_settings_file(settings)
        submit_rules_job(settings)
        wait_for(lambda: are_tasks_running(settings), "running tasks")
        yield settings


def submit_rules_job(settings: Settings) -> None:
    """Submit the rules job alone: windows and their marks come from this test."""
    program = "from jobs import rules_job, settings; rules_job.submit(settings.load_settings())"
    argv = [sys.executable, "-c", program]
    subprocess.run(argv, env=flink_environment(settings), cwd=ROOT, check=True, timeout=120)


def test_a_killed_job_tells_the_breaches_of_the_pure_chain_under_the_same_ids(settings):
    begin_ms = (time.time_ns() // 1_000_000 + AHEAD_MS) // WINDOW_MS * WINDOW_MS
    hot = rule(aggregate="max", channels=["pager"])
    control(settings, "rule", "-", content=json.dumps(control_fields(hot)))
    wait_for(lambda: is_read(settings, Topic.CONTROL), "read rule")
    chain, expected = RulesChain(SHARD_COUNT, RulesPolicy(partition_count=PARTITION_COUNT)), []
    expected += chain.control(controls(settings, after=0))

    # d0, d1   0-5 hot, 5-10 good, 10-15 hot | d2 is good throughout
    levels = {"d0": [90, 60, 95], "d1": [81, 80, 81], "d2": [70, 75, 80]}
    log = [
        Heard(at_ms, device, "g", (("temp", at_ms, float(values[minute // 5])),))
        for device, values in levels.items()
        for minute in range(15)
        if (at_ms := begin_ms + minute * MINUTE_MS + 1_000)
    ]
    written = Aggregate(MINUTE_MS).windows(log, begin_ms + 40 * MINUTE_MS)
    first = [w for w in written if w.at_ms < begin_ms + 7 * MINUTE_MS]
    second = [w for w in written if first[-1].at_ms < w.at_ms <= begin_ms + 30 * MINUTE_MS]
    last = [w for w in written if w.at_ms > begin_ms + 30 * MINUTE_MS]

    send(settings, first)
    expected += chain.windows(first)
    wait_for(lambda: len(told(settings)) >= len(expected) > 0, "first firing")
    Victims.worker(VictimsOf(settings), JOB_NAME).kill()
    send(settings, second)
    expected += chain.windows(second)
    wait_for(lambda: len(told(settings)) >= len(expected), "events after the kill")
    wait_for(lambda: is_read(settings, Topic.WINDOWS), "read windows")
    control(settings, "end", f"{TENANT}/rule/hot")
    wait_for(lambda: is_read(settings, Topic.CONTROL), "read tombstone")
    expected += chain.control(controls(settings, after=1))
    send(settings, last)
    expected += chain.windows(last)
    wait_for(lambda: len(told(settings)) >= len(expected), "the end of the rule")

    assert told(settings) == {event["id"]: event for event in expected}
    story = [(e["subject"], e["status"], e["reason"]) for e in in_order(expected)]
    of_device = [("firing", None), ("resolved", None), ("firing", None)]
    of_device += [("resolved", "rule_changed")]
    assert story == [(f"device/{d}", *said) for d in ("d0", "d1") for said in of_device]


class VictimsOf(Victims):
    """The processes of a stack that this test's fixture holds."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._run_dir = settings.stack.data_dir.resolve() / "run"


def in_order(events: Sequence[Event]) -> list[Event]:
    return sorted(events, key=lambda e: (e["subject"], e["starts_at"], e["seq"]))


def told(settings: Settings) -> dict[str, Event]:
    """Return the events on the topic by id; one that was sent again must say the same."""
    found: dict[str, Event] = {}
    for message in read_topic(settings, Topic.ALERTS):
        event = dict(message.record)
        event.pop("emitted_at")
        assert message.key == f"{event['tenant_id']}/{event['subject']}"
        assert found.setdefault(event["id"], event) == event
    return found


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


def is_read(settings: Settings, topic: Topic) -> bool:
    """Say whether a checkpoint of the job holds all of a topic."""
    name = topic_name(topic, settings.kafka.topic_prefix)
    client = admin_client(settings.kafka)  # it must outlive its answers
    group = ConsumerGroupTopicPartitions(f"{settings.kafka.topic_prefix}{JOB_NAME}")
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
