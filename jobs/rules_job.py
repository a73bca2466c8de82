"""What a metric may not do: windows and rules in, alerts out, at once.

    windows -> decode block -> split by shard ─┐
                                               ├─> threshold rules per shard -> alerts
    control -> decode block -> to each shard  ─┘   (keyed state)

A job of its own: what goes wrong with a rule must not keep anybody from hearing of a silent device.
The sink is at-least-once: an event that is repeated after a failure carries the same id. Messages
that cannot be decoded are told by who reads them too: windows by the loader, controls by
`offline_job`.
"""

from dataclasses import dataclass

from pyflink.table import StatementSet, StreamTableEnvironment

from jobs.environment import hold_blocks, pinned_insert, table_environment
from jobs.offline_settings import offline_policy
from jobs.result_rows import result_schema, result_type
from jobs.settings import Settings
from jobs.topic_admin import topic_partition_counts
from jobs.windows_source import lag_after_ms, window_streams
from schemas.registry import SchemaRegistry
from schemas.topics import Topic, topic_name
from sinks.result_topics_table import create_result_topics, insert_sql
from udfs.decode_function import BlockUse
from udfs.rules_operator import ApplyRules
from udfs.rules_shard import RulesPolicy

JOB_NAME = "fleetpulse-rules"


@dataclass(frozen=True)
class RulesTopics:
    """What the job must know of its topics.

    Args:
        alerts: name on the broker.
        alerts_schema_id: of AlertEvent.
        windows_partition_count: all are waited for.
    """

    alerts: str
    alerts_schema_id: int
    windows_partition_count: int


def submit(settings: Settings, restore_path: str | None = None) -> str:
    """Build the job, submit it to the cluster and return its id."""
    tables = table_environment(settings, JOB_NAME, restore_path)
    result = build(tables, settings, _topics(settings)).execute()
    return str(result.get_job_client().get_job_id())


def _topics(settings: Settings) -> RulesTopics:
    prefix = settings.kafka.topic_prefix
    registry = SchemaRegistry(settings.registry.url, timeout_s=settings.registry.timeout_s)
    return RulesTopics(
        alerts=topic_name(Topic.ALERTS, prefix),
        alerts_schema_id=registry.register(Topic.ALERTS, prefix),
        windows_partition_count=topic_partition_counts(settings.kafka)[
            topic_name(Topic.WINDOWS, prefix)
        ],
    )


def build(tables: StreamTableEnvironment, settings: Settings, topics: RulesTopics) -> StatementSet:
    """Build the job without submitting it."""
    streams = window_streams(tables, settings, JOB_NAME, BlockUse.WINDOWS)
    apply = ApplyRules(_policy(settings, topics), topics.alerts, topics.alerts_schema_id)
    rows = (
        streams.sections.process(apply, output_type=result_type())
        .uid("apply-rules")
        .name("apply rules")
    )
    tables.create_temporary_view("results", tables.from_data_stream(rows, result_schema()))
    # The connector lets rows name their topic only where there are several; no row names this one.
    unused = topic_name(Topic.DEAD_LETTERS, settings.kafka.topic_prefix)
    create_result_topics(tables, settings.kafka.bootstrap_servers, [topics.alerts, unused])
    hold_blocks(streams.raw, settings.flink.block_max_age_ms)
    return pinned_insert(tables, insert_sql("results"), "write-results")


def _policy(settings: Settings, topics: RulesTopics) -> RulesPolicy:
    return RulesPolicy(
        routes=offline_policy(settings.offline),
        partition_count=topics.windows_partition_count,
        lag_after_ms=lag_after_ms(settings),
    )
