"""Kafka and the schema registry, as the simulated fleet sees them."""

from contextlib import closing

from confluent_kafka import KafkaException, Producer

from jobs.settings import Settings
from schemas.errors import SettingsError, Unavailable
from schemas.registry import SchemaRegistry
from schemas.topics import Topic, topic_name

METADATA_TIMEOUT_S = 10.0
SENT_TOPICS = (Topic.TELEMETRY, Topic.DEVICES)


def connected_producer(settings: Settings) -> Producer:
    """Return a producer whose broker answers and has the topics we send to.

    Raises:
        Unavailable: no broker answers.
        SettingsError: a topic is missing.
    """
    address = settings.kafka.bootstrap_servers
    producer = Producer(
        {
            "bootstrap.servers": address,
            "enable.idempotence": True,
            "acks": "all",
            "compression.type": "lz4",
            "linger.ms": 50,
            # As Java clients do it, so that a device stays on one partition whoever sends.
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": 200_000,
            "queue.buffering.max.kbytes": 256 * 1024,
        }
    )
    try:
        known = producer.list_topics(timeout=METADATA_TIMEOUT_S).topics
    except KafkaException as error:
        raise Unavailable(f"simulator: no Kafka broker answers at {address}: {error}") from error
    for topic in SENT_TOPICS:
        name = topic_name(topic, settings.kafka.topic_prefix)
        if name not in known:
            raise SettingsError(
                "kafka.topic_prefix",
                value=settings.kafka.topic_prefix,
                allowed=f"a prefix whose topic {name} exists on {address}",
                cure="start the stack with `fleetpulse up`, or correct the prefix",
            )
    return producer


def registered_schema_id(settings: Settings, topic: Topic) -> int:
    """Return the registry's id of a topic's schema, registering it when it is new.

    Raises:
        Unavailable: the registry does not answer.
        SettingsError: it refuses the schema.
    """
    registry = SchemaRegistry(settings.registry.url, settings.registry.timeout_s)
    with closing(registry):
        return registry.register(topic, settings.kafka.topic_prefix)
