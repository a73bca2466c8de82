"""A backtest through a broker and the real job: the same records, the same events.

    lines -> devices, control   read to their end first: in the job they wait for their time
          -> telemetry          with the log's times (`kafka.clock=record`), to its last record
          -> offline job        ends when all is read -> alerts

The job is not stopped at `engine` lines: what a stop changes, who is told of a backlog (C7), is
applied to its events. Everything lies in a folder of its own, which is removed afterwards.
"""

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]  # public, but not exported

from jobs.backtest_log import LineType, LogLine
from jobs.job_failures import job_states
from jobs.local_stack import INFRASTRUCTURE, LocalStack
from jobs.offline_settings import offline_policy
from jobs.ports import free_port_settings
from jobs.replay_records import ReplayRecord, encoder, replay_record
from jobs.replay_submit import ReplayPlan, replay_program
from jobs.settings import OfflineSettings, Settings
from jobs.stack_status import group_lags
from jobs.topic_admin import admin_client
from jobs.whole_topic import whole_topic
from schemas.errors import Unavailable
from schemas.records import decode_record
from schemas.registry import SchemaRegistry
from schemas.topics import Topic, topic_name
from udfs.alerts import AlertRecord
from udfs.notices import hush_pairs
from udfs.partition_clocks import PARTITION_ROW, low_clock_ms

QUIET_TOPICS = (Topic.DEVICES, Topic.CONTROL)
READ_TOPICS = (Topic.TELEMETRY, *QUIET_TOPICS)
POLL_INTERVAL_S = 0.5
READ_TIMEOUT_S = 120.0
JOB_TIMEOUT_S = 240.0
RECORDS_PER_S_MIN = 2_000
"""Slower than any machine that can run the engine: a replay that takes longer is stuck."""
FLUSH_TIMEOUT_S = 60.0


def run_in_flink(lines: Sequence[LogLine], offline: OfflineSettings) -> list[AlertRecord]:
    """Return the events of a whole log, in order.

    Args:
        lines: in log order, ticks included.
        offline: the rules.

    Raises:
        Unavailable: a part of the engine did not start, or ended.
    """
    read = _read_lines(lines)
    if not any(line.type in (LineType.CONTACT, LineType.TICK) for line in read):
        return []
    partition_count = 1 + max(line.partition for line in read)
    with tempfile.TemporaryDirectory(prefix="fleetpulse-backtest-") as folder:
        settings = free_port_settings(
            Path(folder),
            kafka={"partition_count": partition_count, "clock": "record"},
            flink={"checkpoint_interval_ms": 1_000, "parallelism": 1},
            offline=offline.model_dump(),
        )
        with LocalStack(settings, parts=INFRASTRUCTURE) as stack:
            events = _replayed(stack, read)
    blind_after_ms = offline_policy(offline).blind_after_ms
    for low_ms, until_ms in _outages(lines, blind_after_ms):
        hush_pairs([event for event in events if event["time"] >= low_ms], until_ms)
    return events


def _read_lines(lines: Sequence[LogLine]) -> list[LogLine]:
    """Return what the engine reads: not what comes after its last stop."""
    read: list[LogLine] = []
    missed: list[LogLine] = []
    is_down = False
    for line in lines:
        if line.type is LineType.ENGINE:
            is_down = line.fields["event"] == "stop"
            read, missed = (read, missed) if is_down else ([*read, *missed], [])
        else:
            (missed if is_down else read).append(line)
    return read


def _outages(lines: Sequence[LogLine], blind_after_ms: int) -> list[tuple[int, int]]:
    """Return of each stop the clock that had been reached, and when the engine was back."""
    found: list[tuple[int, int]] = []
    clocks_ms: dict[int, int] = {}
    heard_ms: dict[int, int] = {}
    stopped_ms: int | None = None
    for line in lines:
        if line.type in (LineType.CONTACT, LineType.TICK):
            before_ms = clocks_ms.get(line.partition, line.at_ms)
            clocks_ms[line.partition] = max(before_ms, line.at_ms)
            heard_ms[line.partition] = max(clocks_ms.values())
        elif line.type is LineType.ENGINE and line.fields["event"] == "stop":
            partitions = np.zeros(len(clocks_ms), PARTITION_ROW)
            partitions["clock_ms"] = [*clocks_ms.values()]
            partitions["heard_ms"] = [*heard_ms.values()]
            low_ms = low_clock_ms(partitions, blind_after_ms)
            stopped_ms = low_ms if stopped_ms is None else stopped_ms
        elif line.type is LineType.ENGINE and stopped_ms is not None:
            found.append((stopped_ms, line.at_ms))
            stopped_ms = None
    return found


def _replayed(stack: LocalStack, lines: Sequence[LogLine]) -> list[AlertRecord]:
    """Send the log, run the job over it and read what it told."""
    settings = stack.settings
    _order_alerts(settings)
    registry = SchemaRegistry(settings.registry.url, settings.registry.timeout_s)
    prefix = settings.kafka.topic_prefix
    encode = encoder({topic: registry.register(topic, prefix) for topic in READ_TOPICS})
    registry.close()
    records = [replay_record(line, encode) for line in lines]
    quiet = [record for record in records if record.topic in QUIET_TOPICS]
    _send(settings, quiet)
    stack.run_program(replay_program(settings, _plan(settings, records)))
    _wait(lambda: _is_read(settings, quiet), READ_TIMEOUT_S, "the registry's records are not read")
    _send(settings, [record for record in records if record.topic is Topic.TELEMETRY])
    timeout_s = JOB_TIMEOUT_S + len(records) / RECORDS_PER_S_MIN
    _wait(lambda: _has_finished(settings), timeout_s, "the job has not come to the log's end")
    messages = whole_topic(settings.kafka, Topic.ALERTS, "fleetpulse-backtest")
    return [decode_record(Topic.ALERTS, message.value or b"") for message in messages]


def _order_alerts(settings: Settings) -> None:
    """Make the alerts one partition that keeps old times: their order is part of the answer."""
    name = topic_name(Topic.ALERTS, settings.kafka.topic_prefix)
    client = admin_client(settings.kafka)
    client.delete_topics([name])[name].result()
    _wait(lambda: name not in client.list_topics().topics, READ_TIMEOUT_S, f"{name} stays")
    topic = NewTopic(name, num_partitions=1, config={"retention.ms": "-1"})
    client.create_topics([topic])[name].result()


def _plan(settings: Settings, records: Sequence[ReplayRecord]) -> ReplayPlan:
    counts = Counter((record.topic, record.partition) for record in records)
    partitions = range(settings.kafka.partition_count)
    ends = {topic: [counts[topic, number] for number in partitions] for topic in READ_TOPICS}
    heard_ms = [record.at_ms for record in records if record.topic is Topic.TELEMETRY]
    return ReplayPlan(ends, max(heard_ms) + 1)


def _send(settings: Settings, records: Sequence[ReplayRecord]) -> None:
    producer = Producer(
        {
            "bootstrap.servers": settings.kafka.bootstrap_servers,
            "client.id": "fleetpulse-backtest",
            "enable.idempotence": True,
            "queue.buffering.max.messages": max(100_000, len(records)),
            "log_level": 2,
        }
    )
    for topic, partition, at_ms, key, value in records:
        name = topic_name(topic, settings.kafka.topic_prefix)
        producer.produce(name, value, key, partition, timestamp=at_ms)
        producer.poll(0)
    if producer.flush(FLUSH_TIMEOUT_S) > 0:
        raise Unavailable(f"Kafka at {settings.kafka.bootstrap_servers} took not all of the log")


def _is_read(settings: Settings, quiet: Sequence[ReplayRecord]) -> bool:
    """Return whether a checkpoint says that the job has all of the quiet topics."""
    _raise_if_failed(settings)
    names = {topic_name(record.topic, settings.kafka.topic_prefix) for record in quiet}
    lags = {lag.topic: lag.lag for lag in group_lags(settings.kafka)}
    return all(lags.get(name) == 0 for name in names)


def _has_finished(settings: Settings) -> bool:
    _raise_if_failed(settings)
    return all(job.state == "FINISHED" for job in job_states(settings))


def _raise_if_failed(settings: Settings) -> None:
    for job in job_states(settings):
        if job.is_failed:
            raise Unavailable(f"{job.name} has failed: {job.cause}")


def _wait(is_done: Callable[[], bool], timeout_s: float, what: str) -> None:
    give_up_at_s = time.monotonic() + timeout_s
    while not is_done():
        if time.monotonic() > give_up_at_s:
            raise Unavailable(f"backtest: {what} after {timeout_s:.0f} s")
        time.sleep(POLL_INTERVAL_S)
