"""Quix Streams: points, a tumbling window for each device, a dictionary of its metrics in it.

A window is told when the time of its partition has passed it, so the log ends with closers.
State is in RocksDB without changelog topics, which Quix would have: that favours it.
"""

from collections.abc import Iterator
from typing import Any

from quixstreams import Application

from benchmarks.peers.task import (
    Marks,
    folded,
    given_task,
    read_batch,
    read_schema,
    result_value,
)

Measured = tuple[str, int, float]
"""Name, timestamp and value of a point."""


def main() -> None:
    """Run until every message is handled and the last windows are sent."""
    task = given_task()
    marks, schema = Marks(task), read_schema(task)

    def count(_topic: str, _partition: int, _offset: int) -> None:
        marks.add()
        if marks.is_complete:
            app.stop()

    app = Application(
        task.servers,
        consumer_group=task.group,
        auto_offset_reset="earliest",
        state_dir=task.folder,
        use_changelog_topics=False,
        on_message_processed=count,
        loglevel="ERROR",
    )
    source = app.topic(task.topic, key_deserializer="str", value_deserializer="bytes")
    results = app.topic(task.results, key_serializer="str", value_serializer="bytes")

    def points(value: bytes) -> list[Measured]:
        batch = read_batch(value, schema)
        return [(point["name"], point["timestamp"], point["value"]) for point in batch["points"]]

    def rows(closed: dict[str, Any], key: str, _time: int, _headers: Any) -> Iterator[bytes]:
        device_id = key.partition("/")[2]
        for metric, stats in closed["value"].items():
            yield result_value(device_id, metric, closed["start"], stats)

    (
        app.dataframe(source)
        .apply(points, expand=True)
        .set_timestamp(lambda point, _key, _time, _headers: point[1])
        .tumbling_window(task.window_ms, grace_ms=task.window_ms)
        .reduce(add_point, first_point)
        .final(closing_strategy="partition")
        .apply(lambda *of: list(rows(*of)), expand=True, metadata=True)
        .to_topic(results)
    )
    app.run()
    marks.tell("done")


def first_point(point: Measured) -> dict[str, list[float]]:
    """Return a window with one point."""
    return add_point({}, point)


def add_point(window: dict[str, list[float]], point: Measured) -> dict[str, list[float]]:
    """Add a point to a device's window."""
    metric, _, value = point
    window[metric] = folded(window.get(metric), value)
    return window


if __name__ == "__main__":
    main()
