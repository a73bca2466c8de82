"""Probes of freshness: messages whose way from the telemetry topic to the table is timed.

    sent --> telemetry --> Flink --> windows (written) --> windows (committed) --> table (readable)
             append time             the record's time     seen by a reader       seen by a query

A probe is an ordinary batch of an ordinary device with one point, whose metric nobody else has. It
takes the way of all others, in the same blocks, transactions and inserts.
"""

import contextlib
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from confluent_kafka import Consumer, KafkaError, Message

from benchmarks.fleet_topics import connected_producer, registered_schema_id
from jobs.query import run_query
from jobs.settings import Settings
from schemas.records import Record, encode_record
from schemas.topics import Topic, device_key, topic_name

TENANT_ID = "freshness"
DEVICE_COUNT = 16
"""Probes take turns among them, so they come to several partitions and shards."""
METRIC_PREFIX = "freshness_probe_"
METRIC = re.compile(rf"{METRIC_PREFIX}(\d{{6}})".encode())
SEEN_SQL = f"""
SELECT DISTINCT metric FROM windows
WHERE tenant_id = '{TENANT_ID}' AND scope = 'tenant' AND metric >= '{METRIC_PREFIX}{{first:06}}'
"""  # noqa: S608 - our own constants
SEND_INTERVAL_S = 1.0
READ_TIMEOUT_S = 0.1


@dataclass
class Probe:
    """One message and when it was where, UTC ms; None: not yet."""

    number: int
    appended_ms: int | None = None
    written_ms: int | None = None
    committed_ms: int | None = None
    readable_ms: int | None = None


@dataclass
class Probes:
    """All probes of a run; each thread writes fields of its own."""

    sent: list[Probe] = field(default_factory=list)
    query_s: list[float] = field(default_factory=list)
    """How long each look at the table took."""

    @property
    def waiting(self) -> list[Probe]:
        """Return the probes that no query has shown yet, in the order of sending."""
        return [probe for probe in self.sent if probe.readable_ms is None]


def now_ms() -> int:
    """Return the wall clock of this machine, which is the broker's, too; UTC ms."""
    return time.time_ns() // 1_000_000


def probe_record(number: int, at_ms: int) -> Record:
    """Return the batch of one probe."""
    point = {"name": f"{METRIC_PREFIX}{number:06}", "value": 1.0, "timestamp": at_ms, "tags": {}}
    return {
        "tenant_id": TENANT_ID,
        "device_id": f"probe-{number % DEVICE_COUNT:02}",
        "boot_id": "freshness",
        "sequence": number,
        "sent_at": at_ms,
        "points": [point],
    }


class ProbeRun:
    """Sends probes and watches for them, each in a thread of its own, while the block runs.

    Args:
        settings: of the running stack.
        poll_interval_s: pause between two looks at the table.
    """

    def __init__(self, settings: Settings, poll_interval_s: float) -> None:
        self.probes = Probes()
        self._settings = settings
        self._poll_interval_s = poll_interval_s
        self._is_sending = threading.Event()
        self._is_watching = threading.Event()
        self._threads: list[threading.Thread] = []
        self._failures: list[BaseException] = []

    def __enter__(self) -> "ProbeRun":
        """Start to send and to watch."""
        self._is_sending.set()
        self._is_watching.set()
        for work in (self._send, self._tap, self._look):
            thread = threading.Thread(target=self._guarded, args=(work,), name=work.__name__)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        """End all threads."""
        self._is_sending.clear()
        self._is_watching.clear()
        for thread in self._threads:
            thread.join()

    def check(self) -> None:
        """Raise what has ended a thread."""
        if self._failures:
            raise self._failures[0]

    def finish(self, timeout_s: float) -> None:
        """Stop sending and wait until every probe is readable, or the time is over."""
        self._is_sending.clear()
        give_up_at_s = time.monotonic() + timeout_s
        while self.probes.waiting and time.monotonic() < give_up_at_s:
            self.check()
            time.sleep(self._poll_interval_s)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again where the run is checked
            self._failures.append(error)

    def _send(self) -> None:
        producer = connected_producer(self._settings)
        schema_id = registered_schema_id(self._settings, Topic.TELEMETRY)
        topic = topic_name(Topic.TELEMETRY, self._settings.kafka.topic_prefix)
        due_s = time.monotonic()
        while self._is_sending.is_set():
            record = probe_record(len(self.probes.sent), now_ms())
            probe = Probe(len(self.probes.sent))
            self.probes.sent.append(probe)
            producer.produce(
                topic,
                key=device_key(TENANT_ID, record["device_id"]),
                value=encode_record(Topic.TELEMETRY, record, schema_id),
                on_delivery=_on_delivery(probe),
            )
            due_s += SEND_INTERVAL_S
            while self._is_sending.is_set() and (left_s := due_s - time.monotonic()) > 0:
                producer.poll(min(left_s, READ_TIMEOUT_S))
        producer.flush()
        producer.close()

    def _tap(self) -> None:
        """Read the windows topic as the loader does: what is committed, as soon as it is."""
        config = {
            "bootstrap.servers": self._settings.kafka.bootstrap_servers,
            "group.id": f"{self._settings.kafka.topic_prefix}freshness",
            "isolation.level": "read_committed",
            "auto.offset.reset": "latest",
            "enable.auto.commit": False,
        }
        with contextlib.closing(Consumer(config)) as consumer:
            consumer.subscribe([topic_name(Topic.WINDOWS, self._settings.kafka.topic_prefix)])
            while self._is_watching.is_set():
                for message in consumer.consume(500, READ_TIMEOUT_S):
                    self._note_committed(message)

    def _note_committed(self, message: Message) -> None:
        key, value = message.key(), message.value()
        if message.error() is not None or not (key or b"").startswith(TENANT_ID.encode()):
            return
        at_ms = now_ms()
        for number in METRIC.findall(value or b""):
            probe = self.probes.sent[int(number)]
            if probe.committed_ms is None:
                probe.written_ms, probe.committed_ms = message.timestamp()[1], at_ms

    def _look(self) -> None:
        """Ask the table, as `fleetpulse query` does, for the probes that were not there yet."""
        while self._is_watching.is_set():
            waiting = self.probes.waiting
            if waiting:
                began_s = time.monotonic()
                found = run_query(self._settings, SEEN_SQL.format(first=waiting[0].number))
                at_ms = now_ms()
                self.probes.query_s.append(time.monotonic() - began_s)
                for metric in found["metric"]:
                    probe = self.probes.sent[int(metric.removeprefix(METRIC_PREFIX))]
                    probe.readable_ms = probe.readable_ms or at_ms
            time.sleep(self._poll_interval_s)


def _on_delivery(probe: Probe) -> Callable[[KafkaError | None, Message], None]:
    def note(error: KafkaError | None, message: Message) -> None:
        assert error is None, error
        probe.appended_ms = message.timestamp()[1]  # of a LogAppendTime topic, the broker's

    return note
