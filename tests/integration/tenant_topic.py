"""A tenant's own topic, and its one device in the registry."""

from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic

from jobs.settings import Settings
from jobs.topic_admin import admin_client
from schemas.records import encode_record
from schemas.registry import SchemaRegistry
from schemas.topics import Topic, device_key, topic_name
from tests.integration.poison import TENANT_WITH_TOPIC, batch


def create_tenant_topic(settings: Settings) -> None:
    """Create the topic to which some of the poison goes; jobs that run find it by themselves."""
    name = f"{topic_name(Topic.TELEMETRY, settings.kafka.topic_prefix)}.{TENANT_WITH_TOPIC}"
    topic = NewTopic(name, num_partitions=2, config={"message.timestamp.type": "LogAppendTime"})
    client = admin_client(settings.kafka)  # it must outlive its answers
    client.create_topics([topic])[name].result()


def register_tenant_device(settings: Settings) -> None:
    """Tell the registry of the device that sends there, so that it can be missed."""
    device_id, prefix = batch()["device_id"], settings.kafka.topic_prefix
    registry = SchemaRegistry(settings.registry.url, timeout_s=10.0)
    schema_id = registry.register(Topic.DEVICES, prefix)
    registry.close()
    record = {"tenant_id": TENANT_WITH_TOPIC, "device_id": device_id, "status": "active"}
    producer = Producer({"bootstrap.servers": settings.kafka.bootstrap_servers})
    producer.produce(
        topic_name(Topic.DEVICES, prefix),
        encode_record(Topic.DEVICES, record, schema_id),
        device_key(TENANT_WITH_TOPIC, device_id),
    )
    assert producer.flush(30.0) == 0
