"""What has become strange: windows in, findings and alerts out.

    windows -> decode block -> split by shard ─┐                                ┌─> drift
                                               ├─> complete windows, detectors ─┼─> rollouts
    control -> decode block -> to each shard  ─┘   per shard, then one stage    └─> alerts

A job of its own: what goes wrong here must not keep anybody from hearing of a silent device. For
the same reason it has several sinks. Findings and verdicts on rollouts leave exactly once, in
transactions; alerts at once and at least once, with ids that are a function of the log: an open
transaction of this job would hold back all alerts from those who read what is committed.
"""

from pyflink.common import Types
from pyflink.table import StreamTableEnvironment

from jobs.drift_settings import rollout_policy
from jobs.environment import attach_insert, hold_blocks, submit_attached, table_environment
from jobs.offline_settings import offline_policy
from jobs.result_rows import result_schema, result_type
from jobs.settings import Settings
from jobs.topic_admin import topic_partition_counts
from jobs.windows_source import lag_after_ms, window_streams
from schemas.registry import SchemaRegistry
from schemas.topics import Topic, topic_name
from sinks.result_topics_table import create_result_topics, insert_sql
from udfs.decode_function import BlockUse
from udfs.drift.budget import parse_budget
from udfs.drift.complete_policy import CompletePolicy
from udfs.drift.drift_shard import DriftPolicy
from udfs.drift_operator import DriftTopics, FindDrift
from udfs.drift_stage_operator import TellDrift
from udfs.split_operator import element_type

JOB_NAME = "fleetpulse-drift"
FINDINGS, VERDICTS, ALERTS = "finding_topics", "verdict_topics", "alert_topics"
SECOND_MS = 1000


def submit(settings: Settings, restore_path: str | None = None) -> str:
    """Build the job, submit it to the cluster and return its id."""
    tables = table_environment(settings, JOB_NAME, restore_path)
    build(tables, settings, _topics(settings))
    return submit_attached(tables, JOB_NAME)


def _topics(settings: Settings) -> DriftTopics:
    prefix = settings.kafka.topic_prefix
    registry = SchemaRegistry(settings.registry.url, timeout_s=settings.registry.timeout_s)
    windows = topic_name(Topic.WINDOWS, prefix)
    return DriftTopics(
        drift=topic_name(Topic.DRIFT, prefix),
        drift_schema_id=registry.register(Topic.DRIFT, prefix),
        alerts=topic_name(Topic.ALERTS, prefix),
        alerts_schema_id=registry.register(Topic.ALERTS, prefix),
        rollouts=topic_name(Topic.ROLLOUTS, prefix),
        rollouts_schema_id=registry.register(Topic.ROLLOUTS, prefix),
        windows_partition_count=topic_partition_counts(settings.kafka)[windows],
    )


def build(tables: StreamTableEnvironment, settings: Settings, topics: DriftTopics) -> None:
    """Attach the job to its environment without submitting it."""
    streams = window_streams(tables, settings, JOB_NAME, BlockUse.DRIFT_WINDOWS)
    policy = drift_policy(settings, topics.windows_partition_count)
    rows = (
        streams.sections.process(FindDrift(policy), output_type=element_type())
        .uid("find-drift")
        .name("find drift")
        .key_by(lambda _: 0, key_type=Types.INT())
        .process(TellDrift(policy, topics), output_type=result_type())
        .uid("tell-drift")
        .name("tell drift")
    )
    tables.create_temporary_view("results", tables.from_data_stream(rows, result_schema()))
    _create_sinks(tables, settings, topics)
    hold_blocks(streams.raw, settings.flink.block_max_age_ms)
    findings = insert_sql("results", name=FINDINGS, topic=topics.drift)
    attach_insert(tables, findings, "write-findings")
    verdicts = insert_sql("results", name=VERDICTS, topic=topics.rollouts)
    attach_insert(tables, verdicts, "write-verdicts")
    attach_insert(tables, insert_sql("results", name=ALERTS, topic=topics.alerts), "write-alerts")


def _create_sinks(tables: StreamTableEnvironment, settings: Settings, topics: DriftTopics) -> None:
    prefix, servers = settings.kafka.topic_prefix, settings.kafka.bootstrap_servers
    # The connector lets rows name their topic only where there are several; no row names this one.
    unused = topic_name(Topic.DEAD_LETTERS, prefix)
    for topic, name, of_sink in (
        (topics.drift, FINDINGS, ""), (topics.rollouts, VERDICTS, "-rollouts")
    ):  # fmt: skip
        create_result_topics(
            tables,
            servers,
            [topic, unused],
            name=name,
            transactional_id_prefix=f"{prefix}{JOB_NAME}{of_sink}",
            transaction_timeout_ms=settings.flink.transaction_timeout_ms,
        )
    create_result_topics(tables, servers, [topics.alerts, unused], name=ALERTS)


def drift_policy(settings: Settings, windows_partition_count: int) -> DriftPolicy:
    """Return the policy of the job from the settings."""
    return DriftPolicy(
        windows=CompletePolicy(
            complete_after_ms=settings.drift.complete_after_s * SECOND_MS,
            # Devices are compared with their group, whose windows are complete by the clock alone.
            is_early=False,
            step_ms=settings.drift.step_s * SECOND_MS,
        ),
        routes=offline_policy(settings.offline),
        partition_count=windows_partition_count,
        lag_after_ms=lag_after_ms(settings),
        rollouts=rollout_policy(settings),
        budget=parse_budget(settings.drift.budget),
        shard_count=settings.flink.shard_count,
    )
