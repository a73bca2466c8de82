"""Messages that must end in the dead letters, sent among good ones; what is expected of each."""

import itertools
import threading
from dataclasses import dataclass
from typing import Any, Self

from confluent_kafka import Producer

from jobs.settings import Settings
from schemas.dead_letter import CONNECT, OURS, REASON, REPLAY_OF
from schemas.records import encode_record, wire_header
from schemas.registry import SchemaRegistry
from schemas.topics import CLOCK_TENANT_ID, MESSAGE_MAX_BYTES, Topic, topic_name

TENANT_WITH_TOPIC = "acme"
UNKNOWN_SCHEMA_ID = 999_999
TRACE = ("trace", b"\x00\xff")
PACE_S = 3.0
REPLAY = ((REPLAY_OF, b"dead-letters/0/7"), ("dlq.attempt", b"1"))
CODECS = ("zstd", "gzip", "snappy", "lz4", "none")
"""In turn: whatever a producer chooses, the jobs must be able to read."""
FAR_SEQUENCE = 1_000_000
"""That no simulated device reaches."""


@dataclass
class Sent:
    """One message that was sent, with what the broker made of it.

    Args:
        reason: why it will be rejected; None when it is accepted.
        is_for_tenant: whether it goes to the tenant's own topic.
        place: topic, partition and offset.
        at_ms: append time.
    """

    key: bytes | None
    value: bytes | None
    reason: str | None
    headers: tuple[tuple[str, bytes], ...] = ()
    is_for_tenant: bool = False
    place: tuple[str, int, int] | None = None
    at_ms: int = 0


class PoisonSender:
    """Sends messages to telemetry; those of `poison` at their own pace, in a thread."""

    def __init__(self, settings: Settings) -> None:
        registry = SchemaRegistry(settings.registry.url, timeout_s=10.0)
        self.schema_id = registry.register(Topic.TELEMETRY, settings.kafka.topic_prefix)
        registry.close()
        self.sent: list[Sent] = poison(self.schema_id)
        self._name = topic_name(Topic.TELEMETRY, settings.kafka.topic_prefix)
        self._producers = itertools.cycle(
            [
                Producer(
                    {
                        "bootstrap.servers": settings.kafka.bootstrap_servers,
                        # What is over the limit of a value compresses well: the broker takes it.
                        "message.max.bytes": 2 * MESSAGE_MAX_BYTES,
                        "compression.type": codec,
                    }
                )
                for codec in CODECS
            ]
        )
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        """Begin to send."""
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Return when all is sent, or at once when the test has failed."""
        if kind is not None:
            self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        for message in self.sent:
            self.send(message)
            if self._stopped.wait(PACE_S):
                return

    def send_replay(self, tenant_id: str, device_id: str) -> None:
        """Send a good message of a device as a replay does."""
        record = batch(tenant_id=tenant_id, device_id=device_id, sequence=FAR_SEQUENCE)
        value = encode_record(Topic.TELEMETRY, record, self.schema_id)
        self.send(Sent(f"{tenant_id}/{device_id}".encode(), value, None, REPLAY))

    def send(self, message: Sent) -> None:
        """Send one message and note where the broker has put it."""
        producer = next(self._producers)
        producer.produce(
            f"{self._name}.{TENANT_WITH_TOPIC}" if message.is_for_tenant else self._name,
            key=message.key,
            value=message.value,
            headers=list(message.headers),
            on_delivery=_place_of(message),
        )
        assert producer.flush(30) == 0


def _place_of(sent: Sent) -> Any:
    def delivered(error: Any, message: Any) -> None:
        assert error is None, error
        sent.place = (message.topic(), message.partition(), message.offset())
        sent.at_ms = message.timestamp()[1]

    return delivered


def batch(**changes: Any) -> dict[str, Any]:
    """Return a good batch of the tenant's device."""
    point = {"name": "cpu", "value": 0.5, "timestamp": 1_790_000_100_000, "tags": {}}
    identity = {"tenant_id": TENANT_WITH_TOPIC, "device_id": "d", "boot_id": "b", "sequence": 1}
    return identity | {"sent_at": 0, "points": [point]} | changes


def poison(schema_id: int) -> list[Sent]:
    """Return messages for every reason that telemetry knows, and one that is good."""

    def encoded(**changes: Any) -> bytes:
        return encode_record(Topic.TELEMETRY, batch(**changes), schema_id)

    point = batch()["points"][0]
    many_tags = [point | {"tags": {str(i): "" for i in range(33)}}]
    good, key = encoded(), b"acme/d"
    return [
        Sent(None, b"not avro at all", "bad_magic", (TRACE, ("empty", b""))),
        Sent(key, None, "bad_magic"),
        Sent(b"", b"", "bad_magic"),
        Sent(key, wire_header(UNKNOWN_SCHEMA_ID) + b"\x02", "schema_unknown", (TRACE,)),
        Sent(key, b'{"metrics": [', "json_invalid"),
        Sent(key, good[:-3], "avro_invalid"),
        Sent(key, good + b"\0", "avro_invalid"),
        Sent(key, encoded(tenant_id="a/b"), "identity_invalid"),
        Sent(key, encoded(tenant_id=CLOCK_TENANT_ID), "identity_invalid"),
        Sent(key, encoded(points=many_tags), "limit_exceeded", (TRACE,)),
        Sent(key, good[:5].ljust(MESSAGE_MAX_BYTES + 10, b"\0"), "oversize"),
        Sent(b"x/d", encoded(tenant_id="x"), "tenant_mismatch", (TRACE,), is_for_tenant=True),
        Sent(key, good, None, is_for_tenant=True),
    ]


def letter_of(sent: Sent) -> dict[str, Any]:
    """Return what the dead letter of a message must say."""
    assert sent.place is not None
    topic, partition, offset = sent.place
    return {
        "key": sent.key,
        "value": sent.value if sent.value is None else sent.value[:MESSAGE_MAX_BYTES],
        "at_ms": sent.at_ms,
        "original": dict(sent.headers),
        "reason": (sent.reason or "").encode(),
        "origin": (topic.encode(), b"%d" % partition, b"%d" % offset),
    }


def told_by(letter: Any) -> dict[str, Any]:
    """Return what a message of the dead-letter topic says, in the same form."""
    ours = (CONNECT, OURS)
    place = ("topic", "partition", "offset")
    return {
        "key": letter.raw_key,
        "value": letter.value,
        "at_ms": letter.at_ms,
        "original": {n: v for n, v in letter.headers.items() if not n.startswith(ours)},
        "reason": letter.headers[REASON],
        "origin": tuple(letter.headers[f"{CONNECT}{name}"] for name in place),
    }
