"""A loop as one writes it by hand: confluent-kafka, fastavro, a dictionary of windows."""

from collections import defaultdict

from confluent_kafka import Consumer, Producer

from benchmarks.peers.task import (
    Marks,
    Stats,
    Task,
    folded,
    given_task,
    read_batch,
    read_schema,
    result_value,
)

READ_MESSAGES = 1_000


def main() -> None:
    """Read all, then write all windows."""
    task = given_task()
    windows = read_windows(task, marks := Marks(task))
    producer = Producer({"bootstrap.servers": task.servers, "queue.buffering.max.messages": 0})
    for (device_id, metric, window_start), stats in windows.items():
        producer.produce(task.results, result_value(device_id, metric, window_start, stats))
    producer.flush()
    marks.tell("done")


def read_windows(task: Task, marks: Marks) -> dict[tuple[str, str, int], Stats]:
    """Return the stats of every device, metric and window."""
    schema, windows = (
        read_schema(task),
        defaultdict[tuple[str, str, int], Stats | None](lambda: None),
    )
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
        messages = consumer.consume(READ_MESSAGES, 0.2)
        for message in messages:
            batch = read_batch(message.value(), schema)
            for point in batch["points"]:
                window_start = point["timestamp"] // task.window_ms * task.window_ms
                key = batch["device_id"], point["name"], window_start
                windows[key] = folded(windows[key], point["value"])
        marks.add(len(messages))
    consumer.close()
    return {key: stats for key, stats in windows.items() if stats is not None}


if __name__ == "__main__":
    main()
