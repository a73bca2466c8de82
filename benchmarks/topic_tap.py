"""Reads a topic while something is measured, and stamps what comes with the wall clock."""

import contextlib
import threading
from collections.abc import Callable

from confluent_kafka import Consumer

from benchmarks.freshness_probe import now_ms
from jobs.settings import Settings
from schemas.topics import Topic, topic_name

READ_MAX_MESSAGES = 2_000
READ_TIMEOUT_S = 0.02
"""The client waits so long to fill a batch: each stamp is late by at most this."""

OnMessage = Callable[[bytes, int, int], None]
"""Gets the value, when it was sent, and when it arrived here; UTC ms."""


class TopicTap:
    """Hands every message of a topic on, from a thread of its own, while the block runs.

    Args:
        settings: of a running stack.
        topic: from its beginning on.
        on_message: called in that thread.
    """

    def __init__(self, settings: Settings, topic: Topic, on_message: OnMessage) -> None:
        self._settings, self._topic, self._on_message = settings, topic, on_message
        self._is_reading = threading.Event()
        self._thread = threading.Thread(target=self._guarded, name=f"tap-{topic.value}")
        self._failure: BaseException | None = None

    def __enter__(self) -> "TopicTap":
        """Start to read."""
        self._is_reading.set()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the thread."""
        self._is_reading.clear()
        self._thread.join()

    def check(self) -> None:
        """Raise what has ended the thread."""
        if self._failure is not None:
            raise self._failure

    def _guarded(self) -> None:
        try:
            self._read()
        except BaseException as error:  # noqa: BLE001 - raised again where the tap is checked
            self._failure = error

    def _read(self) -> None:
        kafka = self._settings.kafka
        config = {
            "bootstrap.servers": kafka.bootstrap_servers,
            "group.id": f"{kafka.topic_prefix}tap-{self._topic.value}",
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
        with contextlib.closing(Consumer(config)) as consumer:
            consumer.subscribe([topic_name(self._topic, kafka.topic_prefix)])
            while self._is_reading.is_set():
                messages = consumer.consume(READ_MAX_MESSAGES, READ_TIMEOUT_S)
                at_ms = now_ms()
                for message in messages:
                    value = message.value()
                    if message.error() is None and value is not None:
                        self._on_message(value, message.timestamp()[1], at_ms)
