"""The raw Kafka sources: bytes and their place in the log, nothing decoded in the JVM."""

from collections.abc import Mapping

from pyflink.datastream import DataStream
from pyflink.table import DataTypes, StreamTableEnvironment
from pyflink.table.udf import udf

from jobs.environment import pin_source
from jobs.settings import Settings
from schemas.topics import Topic, telemetry_pattern, topic_name
from udfs.decode_function import BlockUse, DecodeBlock

CONTAINER_QUERY = """
    select container from (
        select {function}(
            log_topic, k, v, append_time, log_partition, log_offset,
            case when cardinality(log_headers) > 0 then map_keys(log_headers) end,
            case when cardinality(log_headers) > 0 then map_values(log_headers) end
        ) as container
        from {source}
    ) where container is not null
"""

PARTITION_DISCOVERY_MS = 30_000


def create_raw_source(
    tables: StreamTableEnvironment,
    settings: Settings,
    topic: Topic,
    group_id: str,
    ends: Mapping[int, int] | None = None,
) -> str:
    """Create the table of a topic's raw records and return its name.

    Of telemetry the topics of single tenants, `telemetry.<tenant_id>`, are read too.

    The group's offsets are committed with each checkpoint. They show the lag, and they are where a
    job without state goes on; a job restored from a checkpoint has its own.

    Args:
        tables: environment of the job.
        settings: of the whole engine.
        topic: the shared topic.
        group_id: without the prefix.
        ends: of a replay, by partition, the offset at which its log ends; None reads for ever.
    """
    name = f"raw_{topic.value.replace('-', '_')}"
    tables.execute_sql(f"""
        create table {name} (
            k bytes,
            v bytes,
            append_time timestamp(3) metadata from 'timestamp' virtual,
            log_topic string metadata from 'topic' virtual,
            log_partition int metadata from 'partition' virtual,
            log_offset bigint metadata from 'offset' virtual,
            log_headers map<string not null, bytes> metadata from 'headers' virtual
        ) with (
            'connector' = 'kafka',
            {_topic_option(settings, topic, is_replay=ends is not None)},
            'properties.bootstrap.servers' = '{settings.kafka.bootstrap_servers}',
            'properties.group.id' = '{settings.kafka.topic_prefix}{group_id}',
            'properties.isolation.level' = 'read_committed',
            'properties.auto.offset.reset' = 'earliest',
            'scan.startup.mode' = 'group-offsets',
            {_end_options(ends)},
            'key.format' = 'raw',
            'key.fields' = 'k',
            'value.format' = 'raw',
            'value.fields-include' = 'EXCEPT_KEY'
        )""")
    return name


def _end_options(ends: Mapping[int, int] | None) -> str:
    if ends is None:
        return f"'scan.topic-partition-discovery.interval' = '{PARTITION_DISCOVERY_MS} ms'"
    places = ";".join(f"partition:{number},offset:{end}" for number, end in ends.items())
    return f"'scan.bounded.mode' = 'specific-offsets','scan.bounded.specific-offsets' = '{places}'"


def _topic_option(settings: Settings, topic: Topic, *, is_replay: bool) -> str:
    prefix = settings.kafka.topic_prefix
    if topic is Topic.TELEMETRY and not is_replay:
        return f"'topic-pattern' = '{telemetry_pattern(prefix)}'"
    return f"'topic' = '{topic_name(topic, prefix)}'"


def containers(
    tables: StreamTableEnvironment, settings: Settings, source: str, use: BlockUse
) -> DataStream:
    """Return the containers of a raw source, decoded for one use."""
    function = f"decode_{use.value}"
    decode = DecodeBlock(
        use,
        topic_prefix=settings.kafka.topic_prefix,
        shard_count=settings.flink.shard_count,
        registry_url=settings.registry.url,
        registry_timeout_s=settings.registry.timeout_s,
    )
    vectorised = udf(decode, result_type=DataTypes.BYTES(), func_type="pandas")
    tables.create_temporary_function(function, vectorised)
    query = CONTAINER_QUERY.format(function=function, source=source)
    stream = tables.to_data_stream(tables.sql_query(query))
    return pin_source(stream, f"read-{use.value}")
