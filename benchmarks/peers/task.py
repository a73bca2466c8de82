"""What every peer is given and what it tells: one JSON argument, one JSON line for each mark.

    start ... warm (so many messages are handled) ... done (all results are written)

It needs only fastavro, so that it runs in the environment of any peer.
"""

import json
import sys
import time
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro

WIRE_HEADER_BYTES = 5
"""A zero and the id of the schema, in front of each datum."""

Stats = list[float]
"""Count, sum, smallest and largest value."""


@dataclass(frozen=True)
class Task:
    """What a peer has to do.

    Args:
        servers: the broker.
        topic: telemetry, read from its beginning.
        results: topic of the results: JSON, one message a window.
        group: of the consumer, never used before.
        schema: file of the telemetry's Avro schema.
        message_count: how many messages lie in the topic.
        warm_count: how many of them are warm-up.
        window_ms: length of a window by a point's timestamp.
        folder: for what it keeps while it runs; empty.
        registry: address of the schema registry.
    """

    servers: str
    topic: str
    results: str
    group: str
    schema: str
    message_count: int
    warm_count: int
    window_ms: int
    folder: str
    registry: str


def given_task() -> Task:
    """Return the task of the command line."""
    return Task(**json.loads(sys.argv[1]))


class Marks:
    """Counts messages and tells when the warm-up and everything is over.

    Args:
        task: says how many messages are warm-up.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self.handled = 0

    def add(self, count: int = 1) -> None:
        """Count handled messages."""
        before = self.handled
        self.handled += count
        if before < self._task.warm_count <= self.handled:
            self.tell("warm")

    @property
    def is_complete(self) -> bool:
        """Say whether every message was handled."""
        return self.handled >= self._task.message_count

    def tell(self, mark: str) -> None:
        """Print wall clock, CPU time of this process and messages so far."""
        told = {"mark": mark, "at_s": time.time(), "cpu_s": time.process_time()}
        sys.stdout.write(json.dumps(told | {"messages": self.handled}) + "\n")
        sys.stdout.flush()


def read_schema(task: Task) -> Any:
    """Return the schema without logical types: times stay integers, which is faster to read."""
    text = Path(task.schema).read_text(encoding="utf-8")
    return fastavro.parse_schema(json.loads(text, object_hook=_without_logical_type))


def _without_logical_type(node: dict[str, Any]) -> Any:
    return node["type"] if "logicalType" in node else node


def read_batch(value: bytes, schema: Any) -> dict[str, Any]:
    """Decode one message."""
    return fastavro.schemaless_reader(BytesIO(value[WIRE_HEADER_BYTES:]), schema, None)


def folded(stats: Stats | None, value: float) -> Stats:
    """Add a value to a window's stats, in place."""
    if stats is None:
        return [1, value, value, value]
    stats[0] += 1
    stats[1] += value
    stats[2] = min(stats[2], value)
    stats[3] = max(stats[3], value)
    return stats


def result_value(device_id: str, metric: str, window_start: int, stats: Stats) -> bytes:
    """Encode one window."""
    count, total, smallest, largest = stats
    row = {"device_id": device_id, "metric": metric, "window_start": window_start}
    row |= {"count": count, "sum": total, "min": smallest, "max": largest}
    return json.dumps(row).encode()
