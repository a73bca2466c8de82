"""Bare Flink SQL, no line of Python at run time: count the points, or sum them in windows.

    python -m benchmarks.peers.flink_sql_job '{"topic": ...}' decode|windows JAR

The environment is that of the engine's own jobs: same cluster, parallelism and checkpoints. The
topic is read to its present end, so the job finishes; prints its id.
"""

import sys
from pathlib import Path

from pyflink.table import Schema, StreamTableEnvironment

from benchmarks.peers.task import Task, given_task
from jobs.environment import table_environment
from jobs.settings import load_settings

# A batch covers the 5 minutes before it was sent; partitions have watermarks of their own.
TELEMETRY = """
CREATE TABLE telemetry (
    device_id STRING NOT NULL,
    sent_at TIMESTAMP(3) NOT NULL,
    points ARRAY<ROW<name STRING NOT NULL, `value` DOUBLE NOT NULL,
        `timestamp` TIMESTAMP(3) NOT NULL> NOT NULL> NOT NULL,
    WATERMARK FOR sent_at AS sent_at - INTERVAL '5' MINUTE
) WITH (
    'connector' = 'kafka',
    'topic' = '{task.topic}',
    'properties.bootstrap.servers' = '{task.servers}',
    'properties.group.id' = '{task.group}',
    'scan.startup.mode' = 'earliest-offset',
    'scan.bounded.mode' = 'latest-offset',
    'format' = 'avro-confluent',
    'avro-confluent.url' = '{task.registry}'
)"""
POINTS = """
SELECT device_id, p.name AS metric, p.`value` AS v, p.`timestamp` AS ts
FROM telemetry CROSS JOIN UNNEST(points) AS p (name, `value`, `timestamp`)"""
WINDOWS_SINK = """
CREATE TABLE results (
    device_id STRING, metric STRING, window_start BIGINT,
    `count` BIGINT, `sum` DOUBLE, `min` DOUBLE, `max` DOUBLE
) WITH ('connector' = 'kafka', 'format' = 'json', {place})"""
WINDOWS = """
INSERT INTO results
SELECT device_id, metric,
    1000 * CAST(TIMESTAMPDIFF(SECOND, TIMESTAMP '1970-01-01 00:00:00', window_start) AS BIGINT),
    COUNT(*), SUM(v), MIN(v), MAX(v)
FROM TABLE(TUMBLE(TABLE points, DESCRIPTOR(ts), INTERVAL '{minutes}' MINUTES))
GROUP BY device_id, metric, window_start, window_end"""
COUNT_SINK = """
CREATE TABLE results (id INT, `count` BIGINT, PRIMARY KEY (id) NOT ENFORCED) WITH (
    'connector' = 'upsert-kafka', 'key.format' = 'json', 'value.format' = 'json', {place})"""
COUNT = "INSERT INTO results SELECT 0, COUNT(v) FROM points"
PLACE = """'topic' = '{task.results}', 'properties.bootstrap.servers' = '{task.servers}'"""


def main() -> None:
    """Submit one of the two jobs and print its id."""
    task, kind, jar = given_task(), sys.argv[2], Path(sys.argv[3])
    tables = table_environment(load_settings(), f"flink-sql-{kind}")
    tables.get_config().set("pipeline.jars", jar.resolve().as_uri())
    tables.execute_sql(TELEMETRY.format(task=task))
    result = tables.execute_sql(windows(tables, task) if kind == "windows" else count(tables, task))
    sys.stdout.write(f"{result.get_job_client().get_job_id()}\n")


def windows(tables: StreamTableEnvironment, task: Task) -> str:
    """Return the statement that sums points by device, metric and window of their own time.

    SQL can make a rowtime of a column of a table, not of a field of its array: the points go
    through a stream, in Java, and keep the watermarks of the source.
    """
    stream = tables.to_data_stream(tables.sql_query(POINTS))
    schema = (
        Schema.new_builder()
        .column("device_id", "STRING")
        .column("metric", "STRING")
        .column("v", "DOUBLE")
        .column("ts", "TIMESTAMP(3)")
        .watermark("ts", "SOURCE_WATERMARK()")
        .build()
    )
    tables.create_temporary_view("points", tables.from_data_stream(stream, schema))
    tables.execute_sql(WINDOWS_SINK.format(place=PLACE.format(task=task)))
    return WINDOWS.format(minutes=task.window_ms // 60_000)


def count(tables: StreamTableEnvironment, task: Task) -> str:
    """Return the statement that decodes, unnests and counts what comes out.

    Counts are gathered before they leave: what each point would update is not the point here.
    """
    config = tables.get_config()
    config.set("table.exec.mini-batch.enabled", "true")
    config.set("table.exec.mini-batch.allow-latency", "1 s")
    config.set("table.exec.mini-batch.size", "100000")
    tables.create_temporary_view("points", tables.sql_query(POINTS))
    tables.execute_sql(COUNT_SINK.format(place=PLACE.format(task=task)))
    return COUNT


if __name__ == "__main__":
    main()
