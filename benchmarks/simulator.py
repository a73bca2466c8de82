"""Sends the simulated fleet to Kafka, paced by the wall clock.

    registry <- schema ids        devices <- one record a device
    each turn: transmissions due by now -> columns -> Avro -> telemetry -> acknowledged, booked

Simulated time runs `fleet.speed` times as fast as the wall clock; all timestamps are real: a
5-minute batch at speed 30 covers the 10 real seconds before it is sent.
"""

import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import structlog

from benchmarks.delivery_books import DeliveryBooks, DeliveryCounts, write_summary
from benchmarks.fleet import FleetPlan, SimulatedClock, build_fleet, device_record
from benchmarks.fleet_faults import FaultPlan, FaultScript
from benchmarks.fleet_messages import FleetEncoder
from benchmarks.fleet_schedule import transmissions
from benchmarks.fleet_topics import SENT_TOPICS, connected_producer, registered_schema_id
from jobs.settings import Settings, load_settings
from schemas.errors import FleetpulseError, SettingsError, Unavailable
from schemas.records import encode_record
from schemas.topics import Topic, device_key, topic_name

TURN_S = 0.05
REPORT_INTERVAL_S = 10.0
BLOCK_MAX_CONTACTS = 20_000
"""Bounds the memory of one turn, also when the simulator has fallen behind."""
FLUSH_TIMEOUT_S = 60.0
READY_MARKER = "simulator.ready"
SUMMARY_FILE = "simulator.json"

log = structlog.get_logger("simulator")


@dataclass(frozen=True)
class Progress:
    """Where a running simulation is."""

    elapsed_s: float
    behind_s: float
    """Real seconds by which sending lags what is due."""
    counts: DeliveryCounts


OnProgress = Callable[[Progress], None]


def fleet_plan(settings: Settings) -> FleetPlan:
    """Return the plan of the fleet that the settings ask for."""
    return FleetPlan(
        tenant_id=settings.fleet.tenant_id,
        device_count=settings.fleet.device_count,
        seed=settings.fleet.seed,
        batch_interval_ms=max(1, round(settings.fleet.batch_interval_s * 1000)),
    )


def report_interval_s(plan: FleetPlan, speed: float) -> int:
    """Return the real seconds between two contacts of a device, rounded up, at least 1.

    >>> report_interval_s(FleetPlan(), 30.0)
    2
    """
    return max(1, math.ceil(plan.slot_ms / 1000 / speed))


def run_simulation(
    settings: Settings,
    *,
    duration_s: float | None,
    on_progress: OnProgress | None = None,
    faults: FaultPlan | None = None,
) -> DeliveryCounts:
    """Send the fleet until the time is over or the process is asked to stop.

    Args:
        settings: of the whole project.
        duration_s: real seconds; None for no end.
        on_progress: called about every 10 s.
        faults: what goes wrong; the default plan when None.

    Returns:
        What the broker acknowledged; also written to `<data_dir>/run/simulator.json`.

    Raises:
        SettingsError: a topic is missing.
        Unavailable: Kafka or the registry does not answer, or messages were given up.
    """
    fleet = build_fleet(fleet_plan(settings))
    script = FaultScript(fleet, faults or FaultPlan())
    sender = FleetSender(settings, script)
    with stopped_by_signals() as stop:
        sender.register_devices()
        sender.send_until(duration_s, stop, on_progress)
    return sender.close()


class FleetSender:
    """Sends one fleet through one producer and keeps the books."""

    def __init__(self, settings: Settings, script: FaultScript) -> None:
        self._settings, self._script = settings, script
        prefix = settings.kafka.topic_prefix
        self._topics = {topic: topic_name(topic, prefix) for topic in SENT_TOPICS}
        self._books = DeliveryBooks()
        self._producer = connected_producer(settings)
        self._started_s = time.monotonic()
        self._run_dir = settings.stack.data_dir / "run"
        self._ready = self._run_dir / READY_MARKER
        self._ready.unlink(missing_ok=True)

    def register_devices(self) -> None:
        """Put a record of every device on `devices` and wait until all are acknowledged."""
        fleet = self._script.fleet
        interval_s = report_interval_s(fleet.plan, self._settings.fleet.speed)
        schema_id = registered_schema_id(self._settings, Topic.DEVICES)
        for index, device_id in enumerate(fleet.device_ids):
            record = device_record(
                fleet,
                index,
                report_interval_s=interval_s,
                is_commissioned=not self._script.is_uncommissioned[index],
            )
            self._produce(
                Topic.DEVICES,
                device_key(fleet.plan.tenant_id, device_id),
                encode_record(Topic.DEVICES, record, schema_id),
                self._books.on_device_record,
            )
        self.flush()

    def send_until(
        self, duration_s: float | None, stop: threading.Event, on_progress: OnProgress | None
    ) -> None:
        """Send what is due, turn by turn, in the pace of the wall clock."""
        speed = self._settings.fleet.speed
        clock = SimulatedClock(started_at_ms=int(time.time() * 1000), speed=speed)
        schema_id = registered_schema_id(self._settings, Topic.TELEMETRY)
        encoder = FleetEncoder(self._script, clock, schema_id)
        end_s = math.inf if duration_s is None else duration_s
        self._started_s = time.monotonic()
        sent_ms, report_at_s = 0, REPORT_INTERVAL_S
        while not stop.is_set() and sent_ms < end_s * 1000 * speed:
            due_ms = int(min(self._elapsed_s(), end_s) * 1000 * speed)
            until_ms = min(due_ms, sent_ms + self._block_ms())
            self.send_span(encoder, sent_ms, until_ms)
            sent_ms = until_ms
            self._producer.poll(0)
            self._mark_ready()
            if self._elapsed_s() >= report_at_s:
                report_at_s += REPORT_INTERVAL_S
                self._report((due_ms - sent_ms) / 1000 / speed, on_progress)
            if sent_ms == due_ms:
                stop.wait(TURN_S)

    def close(self) -> DeliveryCounts:
        """Wait for the last acknowledgements and write the summary.

        Raises:
            Unavailable: some messages were given up.
        """
        self.flush()
        self._producer.close()
        counts = self._books.counts
        elapsed_s = round(self._elapsed_s(), 3)
        write_summary(self._run_dir / SUMMARY_FILE, counts, elapsed_s=elapsed_s)
        log.info("stopped", elapsed_s=elapsed_s, **asdict(counts))
        if counts.failed_messages > 0:
            lost = f"{counts.failed_messages} messages were given up"
            raise Unavailable(f"simulator: {lost}: {self._books.last_error}")
        return counts

    def send_span(self, encoder: FleetEncoder, from_ms: int, until_ms: int) -> None:
        """Send what is due in [from_ms, until_ms) of simulated time, as fast as it goes."""
        sent = transmissions(self._script, from_ms, until_ms)
        if len(sent) == 0:
            return
        for message in encoder.messages(encoder.content(sent)):
            on_delivery = self._books.on_batch_sent(message)
            self._produce(Topic.TELEMETRY, message.key, message.value, on_delivery)

    def _produce(self, topic: Topic, key: bytes, value: bytes, on_delivery: Any) -> None:
        """Hand one message to the client; while its queue is full, serve deliveries."""
        while True:
            try:
                self._producer.produce(
                    self._topics[topic], value=value, key=key, on_delivery=on_delivery
                )
            except BufferError:
                self._producer.poll(TURN_S)
            else:
                return

    def flush(self) -> DeliveryCounts:
        """Wait until all is acknowledged; return the counts.

        Raises:
            Unavailable: the broker takes too long.
        """
        left = self._producer.flush(FLUSH_TIMEOUT_S)
        if left > 0:
            address = self._settings.kafka.bootstrap_servers
            raise Unavailable(f"simulator: {left} messages not acknowledged by Kafka at {address}")
        return self._books.counts

    def _mark_ready(self) -> None:
        if self._books.counts.points > 0 and not self._ready.exists():
            self._run_dir.mkdir(parents=True, exist_ok=True)
            self._ready.touch()

    def _block_ms(self) -> int:
        plan = self._script.fleet.plan
        return max(1, plan.slot_ms * BLOCK_MAX_CONTACTS // plan.device_count)

    def _elapsed_s(self) -> float:
        return time.monotonic() - self._started_s

    def _report(self, behind_s: float, on_progress: OnProgress | None) -> None:
        counts = self._books.counts
        elapsed_s = round(self._elapsed_s(), 1)
        log.info("sending", elapsed_s=elapsed_s, behind_s=round(behind_s, 1), **asdict(counts))
        if on_progress is not None:
            on_progress(Progress(elapsed_s=elapsed_s, behind_s=behind_s, counts=counts))


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """Turn SIGTERM and Ctrl-C into an event while the block runs; only in the main thread."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    caught = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in caught}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main() -> int:
    """Run until stopped, with the settings of the environment; return the exit code."""
    try:
        run_simulation(load_settings(), duration_s=None)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except FleetpulseError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
