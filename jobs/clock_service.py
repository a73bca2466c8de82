"""Sends clock ticks: one batch of the reserved tenant to every partition of telemetry topics.

The log is the clock (DESIGN, L2). Without ticks a silent fleet would look like a stopped clock, so
this service sends one every few seconds, whatever else happens. A tick that comes late or twice
does no harm: it says only that the broker's time has passed.
"""

import re
import signal
import sys
import threading
import time
from pathlib import Path

import structlog
from confluent_kafka import KafkaException, Producer

from jobs.settings import Settings, load_settings
from schemas.errors import FleetpulseError, SettingsError, Unavailable
from schemas.records import Record, encode_record
from schemas.registry import SchemaRegistry
from schemas.topics import CLOCK_TENANT_ID, Topic, device_key, telemetry_pattern, topic_name

CLOCK_DEVICE_ID = "clock"
DELIVERY_TIMEOUT_S = 10.0
METADATA_TIMEOUT_S = 5.0
LONGEST_SILENCE_S = 600.0
"""Without an acknowledged tick for so long the service ends, so that somebody notices."""

log = structlog.get_logger()


def tick(now_ms: int) -> Record:
    """Return one clock tick: a batch without points.

    >>> tick(7)["tenant_id"], tick(7)["points"]
    ('__clock__', [])
    """
    return {
        "tenant_id": CLOCK_TENANT_ID,
        "device_id": CLOCK_DEVICE_ID,
        "sent_at": now_ms,
        "points": [],
    }


class ClockService:
    """Ticks until it is stopped.

    Args:
        settings: name the broker, the topic and the interval.
    """

    def __init__(self, settings: Settings) -> None:
        self._interval_s = settings.kafka.tick_interval_s
        self._topic = topic_name(Topic.TELEMETRY, settings.kafka.topic_prefix)
        self._pattern = re.compile(telemetry_pattern(settings.kafka.topic_prefix))
        registry = SchemaRegistry(settings.registry.url, settings.registry.timeout_s)
        self._schema_id = registry.register(Topic.TELEMETRY, settings.kafka.topic_prefix)
        registry.close()
        self._producer = Producer(
            {
                "bootstrap.servers": settings.kafka.bootstrap_servers,
                "client.id": "fleetpulse-clock",
                "acks": "all",
                "linger.ms": 0,
                "message.timeout.ms": int(DELIVERY_TIMEOUT_S * 1000),
                "log_level": 3,
            }
        )
        self._acknowledged_at_s = time.monotonic()
        self.stopped = threading.Event()

    def run(self, ready_marker: Path) -> None:
        """Tick at the interval; touch the marker when the first ticks are acknowledged.

        Raises:
            SettingsError: the topic is missing.
            Unavailable: Kafka does not answer, at the start at once, later for ten minutes.
        """
        self.tick_once()
        self._producer.flush(DELIVERY_TIMEOUT_S)
        ready_marker.touch()
        log.info("ready", interval_s=self._interval_s, topic=self._topic)
        while not self.stopped.wait(self._interval_s):
            self._tick_if_possible()
        self._producer.flush(DELIVERY_TIMEOUT_S)

    def _tick_if_possible(self) -> None:
        """Tick; while Kafka is away the next tick tries again, up to a limit."""
        try:
            self.tick_once()
        except Unavailable as error:
            log.warning("no tick", cause=str(error))
        silence_s = time.monotonic() - self._acknowledged_at_s
        if silence_s > LONGEST_SILENCE_S + self._interval_s:
            raise Unavailable(f"no tick was acknowledged by Kafka for {silence_s:.0f} s")

    def tick_once(self) -> None:
        """Send one tick to every partition; new ones, and new topics, are found each time."""
        value = encode_record(Topic.TELEMETRY, tick(int(time.time() * 1000)), self._schema_id)
        key = device_key(CLOCK_TENANT_ID, CLOCK_DEVICE_ID)
        for topic, partition_count in self._partition_counts().items():
            for partition in range(partition_count):
                self._producer.produce(topic, value, key, partition, on_delivery=self._on_delivery)
        self._producer.poll(0)

    def _partition_counts(self) -> dict[str, int]:
        """Return the partitions of the shared topic and of tenants' own."""
        try:
            found = self._producer.list_topics(timeout=METADATA_TIMEOUT_S).topics
        except KafkaException as error:
            raise Unavailable(f"Kafka does not answer ({error.args[0].str()})") from error
        if self._topic not in found or not found[self._topic].partitions:
            raise SettingsError(
                f"topic {self._topic}",
                value="missing",
                allowed="an existing topic",
                cure="create the topics with `fleetpulse up`",
            )
        ticked = [name for name in found if self._pattern.fullmatch(name)]
        return {name: len(found[name].partitions) for name in sorted(ticked)}

    def _on_delivery(self, error: object, message: object) -> None:
        del message
        if error is None:
            self._acknowledged_at_s = time.monotonic()
        else:
            log.warning("tick lost", cause=str(error))


def run(settings: Settings) -> None:
    """Tick until SIGTERM or Ctrl-C."""
    service = ClockService(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: service.stopped.set())
    run_dir = settings.stack.data_dir.resolve() / "run"
    run_dir.mkdir(parents=True, exist_ok=True)
    service.run(run_dir / "clock.ready")


def main() -> int:
    """Run as a process of its own; return the exit code."""
    try:
        run(load_settings())
    except FleetpulseError as error:
        print(f"fleetpulse clock: {error}", file=sys.stderr)
        return 2 if isinstance(error, SettingsError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
