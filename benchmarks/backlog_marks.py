"""A backlog of telemetry, with marks in it that tell how far a job has come.

    telemetry   1 min of the fleet | mark 0 | 1 min | mark 1 | ... | mark n-1
    device-status                      ^ leaves when all before it is settled

A mark is the first heartbeat of a registered device of a tenant of its own: the offline job writes
its status, in the order of the log. So what is timed is the whole way, not the reading alone.
"""

import time

from benchmarks.dying_fleet import SENT_AGAIN, fleet_of
from benchmarks.fleet import FleetPlan, SimulatedClock, build_fleet, device_record
from benchmarks.fleet_faults import NO_FAULTS, FaultPlan, FaultScript
from benchmarks.fleet_messages import FleetEncoder
from benchmarks.fleet_topics import connected_producer, registered_schema_id
from benchmarks.freshness_probe import now_ms
from benchmarks.simulator import FleetSender, report_interval_s
from jobs.settings import Settings
from schemas.records import Record, decode_record, encode_record
from schemas.topics import Topic, device_key, topic_name

TENANT_ID = "backlog-marks"
MINUTE_MS = 60_000
BLOCKS_PER_MINUTE = 6
FAULTS = FaultPlan(**{**NO_FAULTS.__dict__, "resend_ratio": SENT_AGAIN})


class Marks:
    """Sends the marks, and notes when the offline job has reached them.

    Args:
        settings: of a running stack.
        count: of the marks.
    """

    def __init__(self, settings: Settings, count: int) -> None:
        self._settings = settings
        self._producer = connected_producer(settings)
        self._fleet = build_fleet(FleetPlan(tenant_id=TENANT_ID, device_count=count))
        self.reached_ms: dict[str, int] = {}
        """Wall clock of the arrival of each mark's status, by device."""

    @property
    def device_ids(self) -> list[str]:
        """Return the marks in the order of the log."""
        return self._fleet.device_ids

    def register(self) -> None:
        """Put the marks on the topic of devices."""
        interval_s = report_interval_s(self._fleet.plan, self._settings.fleet.speed)
        for index in range(len(self.device_ids)):
            record = device_record(self._fleet, index, report_interval_s=interval_s)
            self._send(Topic.DEVICES, record)

    def send(self, index: int) -> None:
        """Append one mark to telemetry."""
        record = {
            "tenant_id": TENANT_ID,
            "device_id": self.device_ids[index],
            "boot_id": "mark",
            "sequence": index,
            "sent_at": now_ms(),
            "points": [],
        }
        self._send(Topic.TELEMETRY, record)

    def close(self) -> None:
        """End the producer: all marks are sent."""
        self._producer.close()

    def on_status(self, value: bytes, _sent_ms: int, arrived_ms: int) -> None:
        """Note a message of the topic of device statuses, when it is of a mark."""
        # Most are of the fleet: only its own are worth decoding.
        if TENANT_ID.encode() in value:
            record = decode_record(Topic.DEVICE_STATUS, value)
            if record["status"] == "online":
                self.reached_ms.setdefault(record["device_id"], arrived_ms)

    def _send(self, topic: Topic, record: Record) -> None:
        schema_id = registered_schema_id(self._settings, topic)
        self._producer.produce(
            topic_name(topic, self._settings.kafka.topic_prefix),
            key=device_key(TENANT_ID, record["device_id"]),
            value=encode_record(topic, record, schema_id),
        )
        assert self._producer.flush(10) == 0, "a mark was not acknowledged"


def fill_backlog(settings: Settings, marks: Marks) -> list[int]:
    """Send a minute of the fleet before each mark, as fast as it goes.

    Returns:
        How many messages of the fleet lie before each mark.
    """
    script = FaultScript(fleet_of(settings), FAULTS)
    sender = FleetSender(settings, script)
    sender.register_devices()
    marks.register()
    minutes = len(marks.device_ids)
    clock = SimulatedClock(started_at_ms=int(time.time() * 1000) - minutes * MINUTE_MS)
    encoder = FleetEncoder(script, clock, registered_schema_id(settings, Topic.TELEMETRY))
    counts, step_ms = [], MINUTE_MS // BLOCKS_PER_MINUTE
    for minute in range(minutes):
        for start_ms in range(minute * MINUTE_MS, (minute + 1) * MINUTE_MS, step_ms):
            sender.send_span(encoder, start_ms, start_ms + step_ms)
        counts.append(sender.flush().messages)
        marks.send(minute)
    marks.close()
    sender.close()
    return counts
