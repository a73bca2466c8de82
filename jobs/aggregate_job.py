"""Telemetry in, window deltas, dead letters and the account out, exactly once.

telemetry -> decode block -> split by shard -> duplicates,   -> sums of all   -> windows, accounts,
(raw)        (Arrow batch)   (flat map)        reject limit     shards           dead-letters
                                               (keyed state)    (Arrow batch)    (one transaction)
"""

from pyflink.common import Types
from pyflink.datastream import DataStream
from pyflink.table import DataTypes, StatementSet, StreamTableEnvironment
from pyflink.table.udf import udf

from jobs.environment import hold_blocks, pinned_insert, table_environment
from jobs.result_rows import result_schema, result_type
from jobs.settings import DeadLetterSettings, Settings, WindowSettings
from jobs.telemetry_source import containers, create_raw_source
from jobs.topic_admin import topic_partition_counts
from schemas.registry import SchemaRegistry
from schemas.topics import Topic, topic_name
from sinks.result_topics_table import create_result_topics, insert_sql
from udfs.block_results import AggregateTopics
from udfs.decode_function import BlockUse
from udfs.duplicates_operator import MarkDuplicates
from udfs.reject_policy import RejectPolicy
from udfs.result_operator import result_rows
from udfs.split_operator import element_type, split_container
from udfs.sum_function import SumBlocks
from udfs.windows import WindowPolicy

JOB_NAME = "fleetpulse-aggregate"
SUM_QUERY = """
    select results from (
        select sum_blocks(shard, kind, payload) as results from judged
    ) where results is not null
"""
SECOND_MS = 1000


def submit(settings: Settings, restore_path: str | None = None) -> str:
    """Build the job, submit it to the cluster and return its id."""
    tables = table_environment(settings, JOB_NAME, restore_path)
    result = build(tables, settings, _topics(settings)).execute()
    return str(result.get_job_client().get_job_id())


def build(
    tables: StreamTableEnvironment, settings: Settings, topics: AggregateTopics
) -> StatementSet:
    """Build the job without submitting it."""
    prefix = settings.kafka.topic_prefix
    source = create_raw_source(tables, settings, Topic.TELEMETRY, JOB_NAME)
    blocks = containers(tables, settings, source, BlockUse.BATCHES)
    judged = (
        blocks.flat_map(split_container, output_type=element_type())
        .uid("split-batches")
        .key_by(lambda element: element[0], key_type=Types.INT())
        .process(
            MarkDuplicates(reject_policy(settings.dead_letters, prefix)),
            output_type=element_type(),
        )
        .uid("aggregate-shards")
        .name("mark duplicates")
    )
    rows = (
        summed(tables, judged, SumBlocks(window_policy(settings.windows), topics))
        .flat_map(result_rows, output_type=result_type())
        .uid("split-results")
    )
    tables.create_temporary_view("results", tables.from_data_stream(rows, result_schema()))
    create_result_topics(
        tables,
        settings.kafka.bootstrap_servers,
        [topics.windows, topics.accounts, topics.dead_letters],
        transactional_id_prefix=f"{prefix}{JOB_NAME}",
        transaction_timeout_ms=settings.flink.transaction_timeout_ms,
    )
    hold_blocks([blocks], settings.flink.block_max_age_ms)
    return pinned_insert(tables, insert_sql("results"), "write-results")


def summed(tables: StreamTableEnvironment, judged: DataStream, function: SumBlocks) -> DataStream:
    """Return the packed results of judged sections."""
    tables.create_temporary_function(
        "sum_blocks", udf(function, result_type=DataTypes.BYTES(), func_type="pandas")
    )
    sections = tables.from_data_stream(judged).alias("shard", "kind", "payload")
    tables.create_temporary_view("judged", sections)
    return tables.to_data_stream(tables.sql_query(SUM_QUERY))


def _topics(settings: Settings) -> AggregateTopics:
    prefix = settings.kafka.topic_prefix
    registry = SchemaRegistry(settings.registry.url, timeout_s=settings.registry.timeout_s)
    partition_counts = topic_partition_counts(settings.kafka)
    return AggregateTopics(
        component=JOB_NAME,
        windows=topic_name(Topic.WINDOWS, prefix),
        windows_schema_id=registry.register(Topic.WINDOWS, prefix),
        accounts=topic_name(Topic.ACCOUNTS, prefix),
        accounts_schema_id=registry.register(Topic.ACCOUNTS, prefix),
        dead_letters=topic_name(Topic.DEAD_LETTERS, prefix),
        windows_partition_count=partition_counts[topic_name(Topic.WINDOWS, prefix)],
        telemetry=topic_name(Topic.TELEMETRY, prefix),
        telemetry_partition_count=partition_counts[topic_name(Topic.TELEMETRY, prefix)],
    )


def window_policy(settings: WindowSettings) -> WindowPolicy:
    """Return the windows' policy from the settings."""
    return WindowPolicy(
        device_window_ms=settings.device_window_s * SECOND_MS,
        group_window_ms=settings.group_window_s * SECOND_MS,
    )


def reject_policy(settings: DeadLetterSettings, topic_prefix: str) -> RejectPolicy:
    """Return how much may be rejected, from the settings."""
    shared = topic_name(Topic.TELEMETRY, topic_prefix)
    return RejectPolicy(
        max_ratio=settings.max_ratio,
        window_count=settings.window_count,
        min_count=min(settings.min_count, settings.window_count),
        max_run_count=settings.max_consecutive,
        topics=None if settings.has_tenant_topics else (shared,),
    )
