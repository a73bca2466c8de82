"""Telemetry in, window deltas and dead letters out, exactly once.

telemetry -> decode block -> split by shard -> duplicates, windows -> windows, dead-letters
(raw)        (Arrow batch)   (flat map)        (keyed state)          (one transaction)
"""

from pyflink.common import Types

from jobs.environment import table_environment
from jobs.result_rows import result_schema, result_type
from jobs.settings import Settings, WindowSettings
from jobs.telemetry_source import container_query, create_raw_source
from schemas.registry import SchemaRegistry
from schemas.topics import Topic, topic_name
from sinks.result_topics_table import create_result_topics
from udfs.aggregate_operator import AggregateShards
from udfs.decode_function import BlockUse
from udfs.split_operator import element_type, split_container
from udfs.windows import WindowPolicy

JOB_NAME = "fleetpulse-aggregate"
SECOND_MS = 1000


def submit(settings: Settings, restore_path: str | None = None) -> str:
    """Build the job, submit it to the cluster and return its id."""
    tables = table_environment(settings, JOB_NAME, restore_path)
    prefix = settings.kafka.topic_prefix
    windows_topic = topic_name(Topic.WINDOWS, prefix)
    dead_letters_topic = topic_name(Topic.DEAD_LETTERS, prefix)
    registry = SchemaRegistry(settings.registry.url, timeout_s=settings.registry.timeout_s)
    aggregate = AggregateShards(
        window_policy(settings.windows),
        windows_topic=windows_topic,
        dead_letters_topic=dead_letters_topic,
        windows_schema_id=registry.register(Topic.WINDOWS, prefix),
    )
    source = create_raw_source(tables, settings, Topic.TELEMETRY, JOB_NAME, has_tenant_topics=True)
    query = container_query(tables, settings, source, BlockUse.BATCHES)
    rows = (
        tables.to_data_stream(tables.sql_query(query))
        .flat_map(split_container, output_type=element_type())
        .uid("split-batches")
        .key_by(lambda element: element[0], key_type=Types.INT())
        .process(aggregate, output_type=result_type())
        .uid("aggregate-shards")
        .name("aggregate shards")
    )
    tables.create_temporary_view("results", tables.from_data_stream(rows, result_schema()))
    sink = create_result_topics(
        tables,
        settings.kafka.bootstrap_servers,
        [windows_topic, dead_letters_topic],
        transactional_id_prefix=f"{prefix}{JOB_NAME}",
        transaction_timeout_ms=settings.flink.transaction_timeout_ms,
    )
    result = tables.execute_sql(f"insert into {sink} select k, v, topic, headers from results")  # noqa: S608 - our own names
    return str(result.get_job_client().get_job_id())


def window_policy(settings: WindowSettings) -> WindowPolicy:
    """Return the windows' policy from the settings."""
    return WindowPolicy(
        device_window_ms=settings.device_window_s * SECOND_MS,
        group_window_ms=settings.group_window_s * SECOND_MS,
    )
