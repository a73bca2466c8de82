"""Who is silent: telemetry, the device registry and what operators say in, alerts out, at once.

    telemetry -> decode block -> split by shard ─┐
                                                 ├─> liveness per shard -> fleet -> alerts,
    devices   -> decode block -> split by shard ─┤   (keyed state)     (one key)  device-status
    control   -> decode block -> to each shard  ─┤
                                                 └─> what cannot be decoded ───> dead-letters

The sink is at-least-once: an alert does not wait for a checkpoint, and an event that is repeated
after a failure carries the same id.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyflink.common import Types
from pyflink.datastream import DataStream
from pyflink.table import StatementSet, StreamTableEnvironment

from jobs.environment import hold_blocks, pinned_insert, table_environment
from jobs.offline_settings import offline_policy
from jobs.result_rows import result_schema, result_type
from jobs.settings import Settings
from jobs.telemetry_source import containers, create_raw_source
from schemas.registry import SchemaRegistry
from schemas.topics import Topic, topic_name
from sinks.result_topics_table import create_result_topics, insert_sql
from udfs.decode_function import BlockUse
from udfs.fleet_operator import WatchFleet
from udfs.liveness_operator import WatchShards, transition_type
from udfs.result_operator import SendLetters
from udfs.split_operator import SpreadContainer, element_type, is_for_shards, split_container

JOB_NAME = "fleetpulse-offline"

EventTopics = dict[Topic, tuple[str, int]]
"""Name on the broker and schema id of each topic of events."""


USES = {
    Topic.TELEMETRY: BlockUse.CONTACTS,
    Topic.DEVICES: BlockUse.DEVICES,
    Topic.CONTROL: BlockUse.CONTROLS,
}


def submit(
    settings: Settings, restore_path: str | None = None, replay: "Replay | None" = None
) -> str:
    """Build the job, submit it to the cluster and return its id."""
    size = settings.offline.block_max_messages
    tables = table_environment(settings, JOB_NAME, restore_path, block_max_messages=size)
    result = build(tables, settings, _topics(settings), replay).execute()
    return str(result.get_job_client().get_job_id())


def _topics(settings: Settings) -> EventTopics:
    prefix = settings.kafka.topic_prefix
    registry = SchemaRegistry(settings.registry.url, timeout_s=settings.registry.timeout_s)
    return {
        topic: (topic_name(topic, prefix), registry.register(topic, prefix))
        for topic in (Topic.ALERTS, Topic.DEVICE_STATUS)
    }


@dataclass(frozen=True)
class Replay:
    """A log that ends.

    Args:
        ends: of each topic that is read, by partition, the offset at which it ends.
        end_ms: just after its last record.
    """

    ends: Mapping[Topic, Mapping[int, int]]
    end_ms: int


def build(
    tables: StreamTableEnvironment,
    settings: Settings,
    topics: EventTopics,
    replay: Replay | None = None,
) -> StatementSet:
    """Build the job without submitting it; of a replay it ends with the log."""
    prefix = settings.kafka.topic_prefix
    policy = offline_policy(settings.offline)
    telemetry, registry, control = (
        _blocks(tables, settings, topic, use, replay) for topic, use in USES.items()
    )
    # One step splits what all sources give, and Flink names each part's key in the same call of
    # Python: each step more is one more way there and back for all contacts.
    spread = SpreadContainer(settings.flink.shard_count)
    elements = _split(telemetry.union(registry, control), spread, "split-blocks")
    quiet = _split(registry.union(control), split_container, "split-letters")
    dead_letters_topic = topic_name(Topic.DEAD_LETTERS, prefix)
    # Telemetry that cannot be decoded is the aggregate job's to report: here only the quiet topics.
    letters = quiet.flat_map(
        SendLetters(dead_letters_topic, JOB_NAME), output_type=result_type()
    ).uid("send-letters")
    rows = (
        elements.filter(is_for_shards)
        .key_by(lambda element: element[0], key_type=Types.INT())
        .process(WatchShards(policy, has_end=replay is not None), output_type=transition_type())
        .uid("watch-shards")
        .name("watch shards")
        .key_by(lambda _: 0, key_type=Types.INT())
        .process(_fleet_stage(settings, topics, replay), output_type=result_type())
        .uid("watch-fleet")
        .name("watch fleet")
        .union(letters)
    )
    tables.create_temporary_view("results", tables.from_data_stream(rows, result_schema()))
    names = [name for name, _ in topics.values()] + [dead_letters_topic]
    create_result_topics(tables, settings.kafka.bootstrap_servers, names)
    hold_blocks([telemetry, registry, control], settings.flink.block_max_age_ms)
    return pinned_insert(tables, insert_sql("results"), "write-results")


def _fleet_stage(settings: Settings, topics: EventTopics, replay: Replay | None) -> WatchFleet:
    is_live = settings.kafka.clock == "log"
    policy = offline_policy(settings.offline)
    end_ms = None if replay is None else replay.end_ms
    return WatchFleet(policy, settings.flink.shard_count, topics, is_live=is_live, end_ms=end_ms)


def _blocks(
    tables: StreamTableEnvironment,
    settings: Settings,
    topic: Topic,
    use: BlockUse,
    replay: Replay | None,
) -> DataStream:
    ends = None if replay is None else replay.ends[topic]
    source = create_raw_source(tables, settings, topic, JOB_NAME, ends)
    return containers(tables, settings, source, use)


def _split(blocks: DataStream, split: Any, uid: str) -> DataStream:
    return blocks.flat_map(split, output_type=element_type()).uid(uid)
