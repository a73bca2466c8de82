"""A seeded log of telemetry in a real broker, written before anybody is timed, and its oracle.

    fleet -> content -> messages -> topic <prefix>telemetry (append times of the broker)
                   └--> points   -> count, sum, min, max by device, metric, window: the oracle

The oracle sees the numbers before they are encoded, so it shares no code with any reader. Behind
the last message of each partition lies a closer: one point an hour later, of a device of its own,
because some engines tell a window only when something later comes.
"""

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from benchmarks.dying_fleet import SENT_AGAIN
from benchmarks.fleet import FleetPlan, SimulatedClock, build_fleet
from benchmarks.fleet_faults import NO_FAULTS, FaultPlan, FaultScript
from benchmarks.fleet_messages import Content, FleetEncoder
from benchmarks.fleet_schedule import transmissions
from benchmarks.fleet_topics import connected_producer, registered_schema_id
from benchmarks.fleet_values import METRICS, POINTS_PER_METRIC
from jobs.settings import Settings
from jobs.topic_admin import create_topics, topic_partition_counts
from schemas.records import encode_record
from schemas.topics import Topic, device_key, topic_name

TENANT_ID = "bench"
BATCH_INTERVAL_MS = 300_000
WINDOW_MS = 300_000
HOUR_MS = 3_600_000
SPAN_MAX_MESSAGES = 20_000
"""Encoded at once: bounds the memory of the writer."""
FLUSH_TIMEOUT_S = 120.0
POLL_INTERVAL_S = 0.2
CLOSER = "closer-"
KEYS = ("device_id", "metric", "window_start")


@dataclass(frozen=True)
class LogPlan:
    """What decides a log: the same plan and beginning give the same messages.

    Args:
        device_count: of the fleet.
        batches: of 50 points, of each device, 5 minutes of event time apart.
        seed: of values, identities and order.
        has_heartbeats: four more messages, without points, between two batches of a device.
        is_faulty: one message in a hundred comes twice.
    """

    device_count: int
    batches: int
    seed: int = 1
    has_heartbeats: bool = False
    is_faulty: bool = False

    def fleet(self) -> FleetPlan:
        """Return the plan of the fleet that sends it."""
        beat_ms = BATCH_INTERVAL_MS // 5 if self.has_heartbeats else BATCH_INTERVAL_MS
        return FleetPlan(TENANT_ID, self.device_count, self.seed, BATCH_INTERVAL_MS, beat_ms)


@dataclass
class PreparedLog:
    """What lies in the topic.

    Args:
        settings: with the prefix of its topics.
        message_count: closers included.
        point_count: closers and copies included.
        points: device (index), metric (index), window_start (ms) and value of each point that is
            no copy and not of a closer.
    """

    settings: Settings
    message_count: int = 0
    point_count: int = 0
    points: list[pl.DataFrame] = field(default_factory=list)

    @property
    def topic(self) -> str:
        """Return the topic's name."""
        return topic_name(Topic.TELEMETRY, self.settings.kafka.topic_prefix)

    def oracle(self) -> pl.DataFrame:
        """Return count, sum, min and max by device, metric and window, sorted."""
        summed = (
            pl.concat(self.points)
            .group_by("device", "metric", "window_start")
            .agg(
                count=pl.len().cast(pl.Int64),
                sum=pl.col("value").sum(),
                min=pl.col("value").min(),
                max=pl.col("value").max(),
            )
        )
        device_id = pl.format("edge-{}", pl.col("device").cast(pl.String).str.zfill(6))
        named = pl.col("metric").replace_strict(dict(enumerate(METRICS)))
        return summed.select(
            device_id.alias("device_id"), named.alias("metric"), pl.exclude("device", "metric")
        ).sort(KEYS)


def prefixed(settings: Settings, prefix: str) -> Settings:
    """Return settings of the same stack whose topics have another prefix."""
    return settings.model_copy(
        update={"kafka": settings.kafka.model_copy(update={"topic_prefix": prefix})}
    )


def write_log(settings: Settings, plan: LogPlan, started_at_ms: int) -> PreparedLog:
    """Write a log and wait until the broker has all of it.

    Args:
        settings: of a running broker and registry; topics are created when missing.
        plan: what to write.
        started_at_ms: event time of its beginning, UTC; its end must not be in the future.
    """
    _create_topics(settings)
    faults = FaultPlan(**{**NO_FAULTS.__dict__, "resend_ratio": SENT_AGAIN})
    script = FaultScript(build_fleet(plan.fleet()), faults if plan.is_faulty else NO_FAULTS)
    encoder = FleetEncoder(
        script, SimulatedClock(started_at_ms), registered_schema_id(settings, Topic.TELEMETRY)
    )
    log = PreparedLog(settings)
    producer = connected_producer(settings)
    span_ms = max(1, script.fleet.plan.slot_ms * SPAN_MAX_MESSAGES // plan.device_count)
    end_ms = plan.batches * BATCH_INTERVAL_MS
    for start_ms in range(0, end_ms, span_ms):
        content = encoder.content(transmissions(script, start_ms, min(start_ms + span_ms, end_ms)))
        for message in encoder.messages(content):
            produced(producer, log.topic, message.value, message.key)
            log.message_count += 1
            log.point_count += message.point_count
        log.points.append(block_points(content))
    assert producer.flush(FLUSH_TIMEOUT_S) == 0, "messages were not acknowledged"
    _close(producer, log, started_at_ms + end_ms + HOUR_MS)
    return log


def _create_topics(settings: Settings) -> None:
    """Create the topics and wait until the broker shows them: it answers before it does."""
    create_topics(settings.kafka)
    give_up_at_s = time.monotonic() + FLUSH_TIMEOUT_S
    names = {topic_name(topic, settings.kafka.topic_prefix) for topic in Topic}
    while not names <= set(topic_partition_counts(settings.kafka)):
        assert time.monotonic() < give_up_at_s, "the topics do not appear"
        time.sleep(POLL_INTERVAL_S)


def produced(producer: Any, topic: str, value: bytes, key: bytes) -> None:
    """Hand one message to the client; while its queue is full, wait for the broker."""
    while True:
        try:
            producer.produce(topic, value, key)
        except BufferError:
            producer.poll(0.05)
        else:
            return


def block_points(content: Content) -> pl.DataFrame:
    """Return the points of a block that are no copies, one row each."""
    is_first = ~content.sent.is_copy[content.is_batch]
    device = content.sent.device_index[content.is_batch][is_first]
    times_ms = content.point_time_ms[is_first]
    metric_count = len(METRICS)
    return pl.DataFrame(
        {
            "device": np.repeat(device, POINTS_PER_METRIC * metric_count).astype(np.uint32),
            "metric": np.tile(np.arange(metric_count, dtype=np.uint8), times_ms.size),
            "window_start": np.repeat(times_ms // WINDOW_MS * WINDOW_MS, metric_count),
            "value": content.values[is_first].ravel(),
        }
    )


def _close(producer: Any, log: PreparedLog, at_ms: int) -> None:
    schema_id = registered_schema_id(log.settings, Topic.TELEMETRY)
    for partition in range(log.settings.kafka.partition_count):
        device_id = f"{CLOSER}{partition}"
        point = {"name": METRICS[0], "value": 1.0, "timestamp": at_ms, "tags": {}}
        record = {
            "tenant_id": TENANT_ID, "device_id": device_id, "boot_id": "closer", "sequence": 0,
            "sent_at": at_ms, "points": [point],
        }  # fmt: skip
        value = encode_record(Topic.TELEMETRY, record, schema_id)
        key = device_key(TENANT_ID, device_id)
        producer.produce(log.topic, value, key, partition)
        log.message_count += 1
        log.point_count += 1
    assert producer.flush(FLUSH_TIMEOUT_S) == 0, "closers were not acknowledged"
