"""chDB alone: blocks of messages as a file of its own format, summed by its own SQL.

    messages -> block -> AvroConfluent file -> INSERT ... SELECT ... GROUP BY -> merge tree

The results stay where they are and are read once at the end; that is its own work, too.
"""

from collections.abc import Iterator
from pathlib import Path

from chdb.session import Session
from confluent_kafka import Consumer, Producer

from benchmarks.peers.task import Marks, Task, given_task

BLOCK_MESSAGES = 10_000
CREATE = """
CREATE TABLE windows (
    device_id String, metric LowCardinality(String), window_start Int64,
    count SimpleAggregateFunction(sum, UInt64), sum SimpleAggregateFunction(sum, Float64),
    min SimpleAggregateFunction(min, Float64), max SimpleAggregateFunction(max, Float64)
) ENGINE = AggregatingMergeTree ORDER BY (device_id, metric, window_start)"""
INSERT = """
INSERT INTO windows
SELECT device_id, point.1 AS metric,
    intDiv(point.3, {window_ms}) * {window_ms} AS window_start,
    count(), sum(point.2), min(point.2), max(point.2)
FROM file('{block}', AvroConfluent, 'device_id String, points Array({point})')
ARRAY JOIN points AS point GROUP BY ALL
SETTINGS format_avro_schema_registry_url = '{registry}'"""
POINT = "Tuple(name String, value Float64, timestamp Int64, tags Map(String, String))"
RESULTS = """
SELECT device_id, metric, window_start, sum(count) AS count, sum(sum) AS sum,
    min(min) AS min, max(max) AS max
FROM windows GROUP BY ALL"""


def main() -> None:
    """Read and sum all blocks, then read the windows."""
    task = given_task()
    marks = Marks(task)
    session = Session(f"{task.folder}/chdb")
    session.query("CREATE DATABASE bench")
    session.query("USE bench")
    session.query(CREATE)
    block = Path(task.folder) / "block.avro"
    insert = INSERT.format(
        window_ms=task.window_ms, block=block, point=POINT, registry=task.registry
    )
    for values in blocks(task, marks):
        block.write_bytes(b"".join(values))
        session.query(insert)
        marks.add(len(values))
    # 64-bit integers would come as texts.
    rows = session.query(
        f"{RESULTS} SETTINGS output_format_json_quote_64bit_integers = 0", "JSONEachRow"
    ).bytes()
    marks.tell("done")
    send(task, rows)


def blocks(task: Task, marks: Marks) -> Iterator[list[bytes]]:
    """Yield the values of the topic, some thousands at once."""
    consumer = Consumer(
        {
            "bootstrap.servers": task.servers,
            "group.id": task.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([task.topic])
    while not marks.is_complete:
        wanted = min(BLOCK_MESSAGES, task.message_count - marks.handled)
        yield [message.value() for message in consumer.consume(wanted, 2.0)]
    consumer.close()


def send(task: Task, rows: bytes) -> None:
    """Send the windows to where they are compared; not measured."""
    producer = Producer({"bootstrap.servers": task.servers, "queue.buffering.max.messages": 0})
    for line in rows.splitlines():
        producer.produce(task.results, line)
    producer.flush()


if __name__ == "__main__":
    main()
