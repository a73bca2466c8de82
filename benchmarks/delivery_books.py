"""The books of a simulation: what the broker acknowledged, by what it means.

A message counts when the broker says so, never when it is handed to the client.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from benchmarks.fleet_messages import Message

DeliveryCallback = Callable[[Any, Any], None]


@dataclass
class DeliveryCounts:
    """What was acknowledged; a batch is a message with points, a heartbeat one without."""

    device_records: int = 0
    messages: int = 0
    points: int = 0
    heartbeats: int = 0
    duplicate_messages: int = 0
    """Exact copies among `messages`."""
    duplicate_points: int = 0
    """Points of such copies, among `points`."""
    nan_points: int = 0
    """Points that are NaN, copies left out."""
    failed_messages: int = 0
    """Given up by the client, in no other count."""


class DeliveryBooks:
    """Counts deliveries; the client calls back from `poll` and `flush`, in our own thread."""

    def __init__(self) -> None:
        self.counts = DeliveryCounts()
        self.last_error = ""
        # Few kinds of messages exist, so a million deliveries share a handful of callbacks.
        self._callback = cache(self._new_callback)

    def on_batch_sent(self, message: Message) -> DeliveryCallback:
        """Return the callback that books this kind of message."""
        return self._callback(message.point_count, message.nan_count, message.is_copy)

    def on_device_record(self, error: Any, _message: Any) -> None:
        """Book one record of the topic `devices`."""
        if error is not None:
            self._book_failure(error)
        else:
            self.counts.device_records += 1

    def _new_callback(self, point_count: int, nan_count: int, is_copy: bool) -> DeliveryCallback:  # noqa: FBT001 - a cache key
        counts = self.counts

        def book(error: Any, _message: Any) -> None:
            if error is not None:
                self._book_failure(error)
                return
            counts.messages += 1
            counts.points += point_count
            counts.heartbeats += point_count == 0
            counts.duplicate_messages += is_copy
            counts.duplicate_points += point_count * is_copy
            counts.nan_points += nan_count * (not is_copy)

        return book

    def _book_failure(self, error: Any) -> None:
        self.counts.failed_messages += 1
        self.last_error = str(error)


def write_summary(path: Path, counts: DeliveryCounts, **facts: object) -> None:
    """Write the counts and further facts as JSON, complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_bytes(orjson.dumps(asdict(counts) | facts, option=orjson.OPT_INDENT_2))
    part.replace(path)
