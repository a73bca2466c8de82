"""A steady load for the loader: windows, each row a key of its own, and alerts between them.

One message of windows is encoded once; another one is the same bytes with other devices or
another start of the windows, so a thousand rows cost two copies. As each message has a name and a
start of its own, what was stored of it can be counted.
"""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.avro_template import avro_long
from jobs.settings import Settings
from schemas.records import encode_record
from schemas.topics import Topic, topic_name
from tests.loader_input import START_MS, WindowInput, alert

ROWS_A_MESSAGE = 1_000
FLEET_MESSAGES = 300
"""So many messages make a window of each device: 300,000 devices."""
WINDOW_MS = 300_000
PLACE = "m{:07}"
"""Of a message in its fleet, with a fixed width: a part of the devices' names."""
ALERTS_PER_S = 5.0
FLUSH_TIMEOUT_S = 60.0


@dataclass
class Sent:
    """What was acknowledged."""

    window_messages: int = 0
    alerts: int = 0


class WindowTemplate:
    """The bytes of a message of windows, of which only the start changes.

    Args:
        seed: of the figures.
        schema_id: of windows in the registry.
    """

    def __init__(self, seed: int, schema_id: int) -> None:
        rows = WindowInput(seed).deltas(ROWS_A_MESSAGE)
        for number, row in enumerate(rows):
            # 1 in a column that adds up tells how often a row has landed.
            row |= {
                "scope": "device",
                "device_id": f"{PLACE.format(0)}-{number}",
                "window_start": START_MS,
                "duplicate_count": 1,
            }
        self.point_count = sum(row["count"] for row in rows)
        self._start, self._place = avro_long(START_MS), PLACE.format(0).encode()
        self._bytes = encode_record(Topic.WINDOWS, {"rows": rows}, schema_id)
        assert self._bytes.count(self._start) == ROWS_A_MESSAGE
        assert self._bytes.count(self._place) == ROWS_A_MESSAGE

    def message(self, number: int) -> bytes:
        """Return the message of a number, from 0."""
        round_number, place = divmod(number, FLEET_MESSAGES)
        start = avro_long(START_MS + round_number * WINDOW_MS)
        assert len(start) == len(self._start)
        placed = self._bytes.replace(self._place, PLACE.format(place).encode())
        return placed.replace(self._start, start)


@dataclass
class AlertWatch:
    """How old alerts are when a reader of their topic gets them."""

    ages_ms: list[float] = field(default_factory=list)

    def taken(self) -> list[float]:
        """Return the ages since the last call, ms."""
        ages, self.ages_ms = self.ages_ms, []
        return ages


class SteadyLoad:
    """Sends until it is stopped.

    Args:
        settings: of the stack.
        schema_ids: of the topics' schemas.
        rows_per_s: windows a second; alerts come at their own pace.
        seed: of the figures.
    """

    def __init__(
        self, settings: Settings, schema_ids: dict[Topic, int], rows_per_s: float, seed: int
    ) -> None:
        self.sent = Sent()
        self.watch = AlertWatch()
        self.template = WindowTemplate(seed, schema_ids[Topic.WINDOWS])
        self._settings = settings
        self._alert_schema_id = schema_ids[Topic.ALERTS]
        self._messages_per_s = rows_per_s / ROWS_A_MESSAGE
        self._stops = {name: threading.Event() for name in ("windows", "alerts", "reader")}
        self._threads = {
            "windows": threading.Thread(target=self._send_windows),
            "alerts": threading.Thread(target=self._send_alerts),
            "reader": threading.Thread(target=self._read_alerts),
        }

    def start(self) -> None:
        """Begin to send, and to read the alerts back."""
        for thread in self._threads.values():
            thread.start()

    def stop(self, *names: str) -> None:
        """Stop the windows, the alerts or the reader; what was sent is acknowledged."""
        for name in names:
            self._stops[name].set()
            self._threads[name].join()

    def stop_all(self) -> None:
        """Stop everything."""
        self.stop(*self._threads)

    def _send_windows(self) -> None:
        topic = topic_name(Topic.WINDOWS, self._settings.kafka.topic_prefix)
        partitions = self._settings.kafka.partition_count
        producer = self._producer()
        for number in self._paced("windows", self._messages_per_s):
            producer.produce(topic, self.template.message(number), partition=number % partitions)
            producer.poll(0)
            self.sent.window_messages = number + 1
        assert producer.flush(FLUSH_TIMEOUT_S) == 0, "windows were not acknowledged"

    def _send_alerts(self) -> None:
        topic = topic_name(Topic.ALERTS, self._settings.kafka.topic_prefix)
        producer = self._producer()
        for number in self._paced("alerts", ALERTS_PER_S):
            event = alert(f"e{number}", emitted_at=now_ms())
            value = encode_record(Topic.ALERTS, event, self._alert_schema_id)
            producer.produce(topic, value, key=str(now_ms()))
            producer.poll(0)
            self.sent.alerts = number + 1
        assert producer.flush(FLUSH_TIMEOUT_S) == 0, "alerts were not acknowledged"

    def _read_alerts(self) -> None:
        topic = topic_name(Topic.ALERTS, self._settings.kafka.topic_prefix)
        consumer = Consumer(
            {
                "bootstrap.servers": self._settings.kafka.bootstrap_servers,
                "group.id": "outage-watch",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
            }
        )
        partitions = range(self._settings.kafka.partition_count)
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        while not self._stops["reader"].is_set():
            message = consumer.poll(0.2)
            if message is not None and message.error() is None:
                key = message.key()
                assert key is not None
                self.watch.ages_ms.append(now_ms() - int(key))
        consumer.close()

    def _paced(self, name: str, per_s: float) -> Iterator[int]:
        """Count from 0 at a pace, until stopped; what was late is made up for."""
        began_s, number = time.monotonic(), 0
        while not self._stops[name].wait(max(0.0, began_s + number / per_s - time.monotonic())):
            yield number
            number += 1

    def _producer(self) -> Producer:
        servers = self._settings.kafka.bootstrap_servers
        return Producer({"bootstrap.servers": servers, "linger.ms": 5})


def now_ms() -> int:
    """Return the time, UTC."""
    return time.time_ns() // 1_000_000
