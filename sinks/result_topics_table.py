"""The Kafka sink of a job: one table that writes to several topics."""

from collections.abc import Sequence

from pyflink.table import StreamTableEnvironment

from schemas.topics import DEAD_LETTER_MAX_BYTES

TABLE_NAME = "result_topics"


def create_result_topics(
    tables: StreamTableEnvironment,
    bootstrap_servers: str,
    topics: Sequence[str],
    *,
    name: str = TABLE_NAME,
    transactional_id_prefix: str | None = None,
    transaction_timeout_ms: int | None = None,
) -> None:
    """Create the sink table (k, v, topic, headers, written_at); see `insert_sql`.

    Args:
        tables: environment of the job.
        bootstrap_servers: of Kafka.
        topics: names on the broker that rows may name; at least two.
        name: of the table.
        transactional_id_prefix: unique per job and sink: rows appear with the checkpoint, once.
        None:
            rows appear at once and may be repeated after a failure (at-least-once).
        transaction_timeout_ms: below the broker's transaction.max.timeout.ms.
    """
    guarantee = (
        "'sink.delivery-guarantee' = 'at-least-once'"
        if transactional_id_prefix is None
        else f"""'sink.delivery-guarantee' = 'exactly-once',
            'sink.transactional-id-prefix' = '{transactional_id_prefix}',
            'properties.transaction.timeout.ms' = '{transaction_timeout_ms}'"""
    )
    tables.execute_sql(f"""
        create table {name} (
            k bytes,
            v bytes,
            topic string not null metadata,
            headers map<string, bytes> metadata,
            written_at timestamp_ltz(3) metadata from 'timestamp'
        ) with (
            'connector' = 'kafka',
            'topic' = '{";".join(topics)}',
            'properties.bootstrap.servers' = '{bootstrap_servers}',
            'properties.compression.type' = 'lz4',
            'properties.linger.ms' = '20',
            'properties.max.request.size' = '{DEAD_LETTER_MAX_BYTES}',
            'key.format' = 'raw',
            'key.fields' = 'k',
            'value.format' = 'raw',
            'value.fields-include' = 'EXCEPT_KEY',
            {guarantee}
        )""")


def insert_sql(source: str, *, name: str = TABLE_NAME, topic: str | None = None) -> str:
    """Return the statement that sends the rows of a view (`jobs.result_rows`) to the topics.

    Without a timestamp a message gets the time at which it is sent.

    Args:
        source: the view.
        name: of the table.
        topic: the only one whose rows are sent; None: all.
    """
    chosen = "" if topic is None else f" where topic = '{topic}'"
    return f"""
        insert into {name}
        select k, v, topic, headers, to_timestamp_ltz(timestamp_ms, 3) from {source}{chosen}"""  # noqa: S608 - our own names
