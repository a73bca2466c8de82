"""Sends control events, and the tombstones that end them, and waits until the broker has them."""

from collections.abc import Sequence
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as KafkaMessage

from jobs.settings import Settings
from schemas.control import ControlEvent, control_key
from schemas.control_records import control_record
from schemas.errors import SettingsError, Unavailable
from schemas.records import encode_record
from schemas.registry import SchemaRegistry
from schemas.topics import Topic, topic_name

DELIVERY_TIMEOUT_S = 15.0
METADATA_TIMEOUT_S = 10.0
FORBIDDEN = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
    }
)


@dataclass(frozen=True)
class Sent:
    """One message that the broker has.

    Args:
        key: on the topic.
        append_time_ms: from which it acts, UTC ms.
    """

    key: str
    append_time_ms: int


def send_events(settings: Settings, events: Sequence[ControlEvent]) -> list[Sent]:
    """Send control events in order.

    Raises:
        SettingsError: there is no such topic, or the broker does not allow it.
        Unavailable: broker or registry does not answer; says how many of the events were sent.
    """
    prefix = settings.kafka.topic_prefix
    registry = SchemaRegistry(settings.registry.url, settings.registry.timeout_s)
    try:
        schema_id = registry.register(Topic.CONTROL, prefix)
    finally:
        registry.close()
    return _send(
        settings,
        [
            (control_key(event), encode_record(Topic.CONTROL, control_record(event), schema_id))
            for event in events
        ],
    )


def send_end(settings: Settings, key: str) -> Sent:
    """Send the tombstone of a key; see `send_events`."""
    (sent,) = _send(settings, [(key, None)])
    return sent


def _send(settings: Settings, messages: Sequence[tuple[str, bytes | None]]) -> list[Sent]:
    address = settings.kafka.bootstrap_servers
    topic = topic_name(Topic.CONTROL, settings.kafka.topic_prefix)
    producer = Producer(
        {
            "bootstrap.servers": address,
            "client.id": "fleetpulse-control",
            "acks": "all",
            "enable.idempotence": True,
            # As Java's clients: a key has one partition, whoever sends it, or its order is lost.
            "partitioner": "murmur2_random",
            "linger.ms": 0,
            "message.timeout.ms": int(DELIVERY_TIMEOUT_S * 1000),
            "log_level": 2,
        }
    )
    _require_topic(producer, topic, address)
    sent: list[Sent] = []
    for key, value in messages:
        # One after the other: they are few, and what was sent is known exactly.
        cause, append_time_ms = _deliver(producer, topic, key, value)
        if append_time_ms is None:
            _refuse_if_forbidden(topic, cause)
            why = "no answer" if cause is None else cause.str()
            raise Unavailable(f"Kafka at {address}: {why}; {_progress(sent, len(messages))}")
        sent.append(Sent(key, append_time_ms))
    return sent


def _deliver(
    producer: Producer, topic: str, key: str, value: bytes | None
) -> tuple[KafkaError | None, int | None]:
    """Return why a message was not taken, or the broker's time at which it was."""
    answers: list[tuple[KafkaError | None, KafkaMessage]] = []

    def on_delivery(error: KafkaError | None, message: KafkaMessage) -> None:
        answers.append((error, message))

    producer.produce(topic, value, key.encode(), on_delivery=on_delivery)
    producer.flush(DELIVERY_TIMEOUT_S + 1)
    if not answers or answers[0][0] is not None:
        return (answers[0][0] if answers else None), None
    return None, answers[0][1].timestamp()[1]


def _progress(sent: Sequence[Sent], count: int) -> str:
    return f"{len(sent)} of {count} were sent; sending all of them again does no harm"


def _require_topic(producer: Producer, topic: str, address: str) -> None:
    try:
        known = producer.list_topics(timeout=METADATA_TIMEOUT_S).topics
    except KafkaException as error:
        raise Unavailable(f"Kafka at {address}: {error.args[0].str()}") from error
    if topic not in known:
        raise SettingsError(
            "kafka.topic_prefix",
            value=topic,
            allowed=f"a prefix whose topics exist on {address}",
            cure="create them with `fleetpulse topics`, or correct the prefix",
        )


def _refuse_if_forbidden(topic: str, cause: KafkaError | None) -> None:
    if cause is not None and cause.code() in FORBIDDEN:
        raise SettingsError(
            "kafka.bootstrap_servers",
            value=cause.str(),
            allowed="a broker that lets us write",
            cure=f"grant WRITE and DESCRIBE on {topic}",
        )
