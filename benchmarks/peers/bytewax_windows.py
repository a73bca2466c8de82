"""Bytewax: points keyed by device and metric, folded in tumbling windows of event time.

The end of the log closes what is open. One worker, as the other peers have.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.operators.windowing import EventClock, TumblingWindower, fold_window
from bytewax.testing import run_main

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

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WAIT = timedelta(minutes=10)
"""Longer than points of one device are late; the wall clock of the run is added to event time."""

Measured = tuple[int, float]
"""Timestamp and value of a point."""


def main() -> None:
    """Run the flow to the end of the topic."""
    task = given_task()
    marks = Marks(task)
    run_main(flow_of(task, marks))
    assert marks.is_complete, "the source ended early"
    marks.tell("done")


def flow_of(task: Task, marks: Marks) -> Dataflow:
    """Build the flow: messages, points, windows, results."""
    schema = read_schema(task)

    def points(message: Any) -> Iterable[tuple[str, Measured]]:
        batch = read_batch(message.value, schema)
        marks.add()
        device_id = batch["device_id"]
        return [
            (f"{device_id}|{point['name']}", (point["timestamp"], point["value"]))
            for point in batch["points"]
        ]

    flow = Dataflow("windows")
    source = KafkaSource([task.servers], [task.topic], tail=False)
    keyed = op.flat_map("points", op.input("read", flow, source), points)
    clock = EventClock(
        lambda point: datetime.fromtimestamp(point[0] / 1000, UTC),
        wait_for_system_duration=WAIT,
        to_system_utc=lambda _: None,
    )
    length = timedelta(milliseconds=task.window_ms)
    windows = fold_window(
        "windows",
        keyed,
        clock,
        TumblingWindower(length, align_to=EPOCH),
        lambda: None,
        lambda stats, point: folded(stats, point[1]),
        merged,
    )
    op.output(
        "write",
        op.map("encode", windows.down, encode(task)),
        KafkaSink([task.servers], task.results),
    )
    return flow


def encode(task: Task) -> Callable[[tuple[str, tuple[int, Stats]]], KafkaSinkMessage[None, bytes]]:
    """Return what encodes a window; aligned to the epoch, its number tells its beginning."""

    def message_of(told: tuple[str, tuple[int, Stats]]) -> KafkaSinkMessage[None, bytes]:
        key, (number, stats) = told
        device_id, _, metric = key.partition("|")
        return KafkaSinkMessage(
            None, result_value(device_id, metric, number * task.window_ms, stats)
        )

    return message_of


def merged(left: Stats, right: Stats) -> Stats:
    """Add two parts of a window; tumbling windows never need it."""
    smallest, largest = min(left[2], right[2]), max(left[3], right[3])
    return [left[0] + right[0], left[1] + right[1], smallest, largest]


if __name__ == "__main__":
    main()
