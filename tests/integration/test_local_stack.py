"""The local stack on real parts: broker, registry, Flink and clock on free ports."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from jobs.flink_cluster import ask_flink, running_jobs
from jobs.local_stack import INFRASTRUCTURE, LocalStack, Part
from jobs.ports import free_port_settings, ports_of, require_free_ports
from jobs.process_records import read_records
from jobs.settings import KafkaSettings, Settings
from jobs.settings_file import child_environment, write_settings_file
from jobs.stack_status import group_lags, topic_ends
from jobs.topic_admin import (
    admin_client,
    check_topics,
    create_topics,
    topic_configs,
    topic_partition_counts,
)
from schemas.errors import Reason, Rejected, SettingsError, Unavailable
from schemas.records import decode_record, schema_id_of, schema_of
from schemas.registry import SchemaRegistry
from schemas.topics import MESSAGE_MAX_BYTES, TOPIC_SPECS, Topic, topic_name

pytestmark = pytest.mark.integration

DEADLINE_S = 60.0
PARTITION_COUNT = 3


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    settings = free_port_settings(
        tmp_path_factory.mktemp("stack"),
        kafka={"partition_count": PARTITION_COUNT, "tick_interval_s": 0.5},
    )
    with LocalStack(settings, parts=(*INFRASTRUCTURE, Part.CLOCK)) as running:
        yield running
        pids = {process.pid for process in running.processes()}
        assert len(pids) == 5
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
    require_free_ports(settings.stack)


@pytest.fixture
def registry(stack):
    registry = SchemaRegistry(stack.settings.registry.url, 5.0)
    yield registry
    registry.close()


def wait_for(condition: Callable[[], object], what: str) -> None:
    give_up_at_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < give_up_at_s, f"no {what} after {DEADLINE_S} s"
        time.sleep(0.05)


def living(settings: Settings) -> list[str]:
    records = read_records(settings.stack.data_dir / "run")
    return [record.name for record in records if record.process() is not None]


def test_every_process_is_alive_and_measured(stack):
    processes = {process.name: process for process in stack.processes()}
    assert {"kafka", "registry", "jobmanager", "taskmanager", "clock"} <= set(processes)
    assert all(process.is_alive for process in processes.values())
    assert all(process.rss_bytes > 10 * 1024 * 1024 for process in processes.values())


def test_nothing_listens_beyond_loopback(stack):
    pids = {process.pid for process in stack.processes()}
    listening = [
        connection.laddr
        for connection in psutil.net_connections(kind="tcp")
        if connection.status == psutil.CONN_LISTEN and connection.pid in pids
    ]
    assert {use.port for use in ports_of(stack.settings.stack)} & {at.port for at in listening}
    assert {address.ip.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}


def test_topics_have_their_settings(stack):
    kafka = stack.settings.kafka
    counts = topic_partition_counts(kafka)
    names = {spec.topic: topic_name(spec.topic) for spec in TOPIC_SPECS}
    assert {counts[name] for name in names.values()} == {PARTITION_COUNT}
    configs = topic_configs(names.values(), kafka)
    telemetry = configs[names[Topic.TELEMETRY]]
    assert telemetry["message.timestamp.type"] == "LogAppendTime"
    assert telemetry["max.message.bytes"] == str(MESSAGE_MAX_BYTES)
    assert configs[names[Topic.DEVICES]]["cleanup.policy"] == "compact"
    assert configs[names[Topic.DEAD_LETTERS]]["retention.ms"] == "-1"


def test_creating_the_topics_again_changes_nothing(stack):
    before = topic_partition_counts(stack.settings.kafka)
    create_topics(stack.settings.kafka)
    assert topic_partition_counts(stack.settings.kafka) == before


def with_prefix(stack: LocalStack, prefix: str) -> KafkaSettings:
    return stack.settings.kafka.model_copy(update={"topic_prefix": prefix})


def test_missing_topics_are_refused_with_one_line(stack):
    with pytest.raises(
        SettingsError, match=r"^topic nowhere\.telemetry = 'missing'.*fleetpulse up"
    ):
        check_topics(with_prefix(stack, "nowhere."))


def test_telemetry_with_create_time_is_refused_unless_it_is_a_replay(stack):
    kafka = with_prefix(stack, "old.")
    create_topics(kafka)
    check_topics(kafka)
    entry = ConfigEntry(
        "message.timestamp.type",
        "CreateTime",
        incremental_operation=AlterConfigOpType.SET,
    )
    resource = ConfigResource(ResourceType.TOPIC, "old.telemetry", incremental_configs=[entry])
    client = admin_client(kafka)
    for answer in client.incremental_alter_configs([resource]).values():
        answer.result()
    name = "old.telemetry"
    wait_for(
        lambda: topic_configs([name], kafka)[name]["message.timestamp.type"] == "CreateTime",
        "change of the topic at the broker",
    )
    with pytest.raises(SettingsError, match=r"old\.telemetry = 'CreateTime'.*kafka\.clock=record"):
        check_topics(kafka)
    check_topics(kafka.model_copy(update={"clock": "record"}))


def test_a_broker_that_is_away_is_unavailable():
    with pytest.raises(Unavailable, match=r"Kafka at 127\.0\.0\.1:1 does not answer"):
        check_topics(KafkaSettings(bootstrap_servers="127.0.0.1:1"))


def test_registered_schema_is_found_by_its_id(registry):
    schema_id = registry.register(Topic.TELEMETRY)
    assert registry.schema_by_id(schema_id) == schema_of(Topic.TELEMETRY)
    assert registry.register(Topic.TELEMETRY) == schema_id


def test_unknown_schema_id_is_rejected(registry):
    with pytest.raises(Rejected) as rejection:
        registry.schema_by_id(987_654)
    assert rejection.value.reason is Reason.SCHEMA_UNKNOWN


def test_registry_that_is_away_is_unavailable_and_known_ids_still_answer():
    away = SchemaRegistry("http://127.0.0.1:1", 1.0)
    with pytest.raises(Unavailable, match=r"schema registry at http://127\.0\.0\.1:1"):
        away.schema_by_id(1)
    away.close()


def schema_with(fields: list[dict[str, object]]) -> str:
    return json.dumps({"type": "record", "name": "Probe", "fields": fields})


def test_compatible_change_is_accepted_and_incompatible_change_refused_with_the_reason(registry):
    count = {"name": "count", "type": "long"}
    first = registry.register_text("probe-value", schema_with([count]))
    added = {"name": "site", "type": ["null", "string"], "default": None}
    assert registry.register_text("probe-value", schema_with([count, added])) != first
    renamed = {"name": "count", "type": "string"}
    with pytest.raises(SettingsError, match=r"^schema of probe-value = 'HTTP 409'") as refusal:
        registry.register_text("probe-value", schema_with([renamed]))
    assert "FULL_TRANSITIVE" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_clock_ticks_arrive_in_every_partition(stack):
    consumer = Consumer(
        {"bootstrap.servers": stack.settings.kafka.bootstrap_servers, "group.id": "test-ticks"}
    )
    consumer.assign([TopicPartition("telemetry", p, 0) for p in range(PARTITION_COUNT)])
    ticks: dict[int, int] = {}

    def has_two_each() -> bool:
        for message in consumer.consume(100, timeout=0.1):
            record = decode_record(Topic.TELEMETRY, message.value())
            assert (record["tenant_id"], record["points"]) == ("__clock__", [])
            assert message.key() == b"__clock__/clock"
            assert schema_id_of(message.value()) > 0
            ticks[message.partition()] = ticks.get(message.partition(), 0) + 1
        return len(ticks) == PARTITION_COUNT and min(ticks.values()) >= 2

    wait_for(has_two_each, "two ticks in each partition")
    consumer.close()


def test_flink_has_slots_and_no_jobs(stack):
    assert ask_flink(stack.settings, "/overview")["slots-total"] >= 4
    assert running_jobs(stack.settings) == {}


def test_status_counts_ticks_and_shows_what_a_reader_has_not_read(stack):
    kafka = stack.settings.kafka
    wait_for(
        lambda: {end.name: end.end_offset for end in topic_ends(kafka)}["telemetry"] >= 3, "ticks"
    )
    reader = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": "test-lag"})
    reader.commit(offsets=[TopicPartition("telemetry", 0, 0)], asynchronous=False)
    reader.close()
    lags = {(lag.group, lag.topic): lag.lag for lag in group_lags(kafka)}
    assert lags["test-lag", "telemetry"] >= 1


def test_a_second_stack_in_the_same_folder_is_refused(stack):
    with pytest.raises(SettingsError, match=r"stack\.data_dir = .*kafka \(\d+\).*fleetpulse down"):
        LocalStack(stack.settings).start()
    assert all(process.is_alive for process in stack.processes())


def test_a_second_stack_on_the_same_ports_is_refused_before_anything_starts(stack, tmp_path):
    other = stack.settings.stack.model_copy(update={"data_dir": tmp_path})
    settings = stack.settings.model_copy(update={"stack": other})
    with pytest.raises(SettingsError, match=r"^stack\.kafka_port = \d+;.*java"):
        LocalStack(settings).start()
    assert living(settings) == []


def test_a_failed_start_says_why_and_leaves_nothing_running(tmp_path):
    settings = free_port_settings(tmp_path)
    broken = tmp_path / "kafka" / "log" / "meta.properties"
    broken.parent.mkdir(parents=True)
    broken.write_text("version=1\nnode.id=77\ncluster.id=somebody-elses\n")
    with pytest.raises(Unavailable, match=r"kafka ended with exit code \d+; its log"):
        LocalStack(settings, parts=INFRASTRUCTURE).start()
    assert living(settings) == []
    require_free_ports(settings.stack)


def hear_interrupts():
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_that_is_interrupted_leaves_nothing_running(tmp_path, number):
    settings = free_port_settings(tmp_path)
    command = [sys.executable, "-m", "jobs.cli", "up"]
    environment = child_environment(settings)
    write_settings_file(settings)
    # Whoever runs the tests in the background has SIGINT ignored, and children inherit that.
    up = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.DEVNULL,
        preexec_fn=hear_interrupts,  # noqa: PLW1509 - no other thread runs here
    )
    wait_for(lambda: len(living(settings)) >= 3, "processes of the stack")
    started = {record.pid for record in read_records(tmp_path / "run")}
    os.kill(up.pid, number)
    assert up.wait(DEADLINE_S) != 0
    wait_for(lambda: not any(is_running(pid) for pid in started), "end of the processes")
    require_free_ports(settings.stack)


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_what_the_parts_keep_is_in_one_folder(stack):
    data_dir: Path = stack.data_dir
    assert {"kafka", "registry", "flink", "logs", "run"} <= {p.name for p in data_dir.iterdir()}
    assert (data_dir / "logs" / "kafka.log").stat().st_size > 0
