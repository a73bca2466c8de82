"""Topics read back as the broker has them: append times, offsets, bytes, decoded records."""

import time
from functools import cached_property
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from jobs.settings import Settings
from schemas.records import decode_record
from schemas.topics import Topic, topic_name

DEADLINE_S = 60.0


class Message:
    """One message as the broker has it; its record is decoded when it is asked for."""

    def __init__(self, message: Any, topic: Topic) -> None:
        self.topic = topic
        self.at_ms = message.timestamp()[1]
        self.partition, self.offset = message.partition(), message.offset()
        self.place = (message.topic(), self.partition, self.offset)
        self.raw_key: bytes | None = message.key()
        self.value: bytes | None = message.value()
        self.headers: dict[str, bytes] = dict(message.headers() or [])

    @property
    def key(self) -> str:
        """Return the key as text; it must have one."""
        assert self.raw_key is not None
        return self.raw_key.decode()

    @cached_property
    def record(self) -> Any:
        """Return the decoded value; None for a tombstone."""
        return None if self.value is None else decode_record(self.topic, self.value)


def read_topic(settings: Settings, topic: Topic, tenant_id: str | None = None) -> list[Message]:
    """Read a topic, or a tenant's own, from its beginning to its present end."""
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka.bootstrap_servers,
            "group.id": "end-to-end-test",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": False,
        }
    )
    name = topic_name(topic, settings.kafka.topic_prefix)
    name = name if tenant_id is None else f"{name}.{tenant_id}"
    try:
        ends = _ends(consumer, name)
        consumer.assign([TopicPartition(name, p, 0) for p in ends])
        return _read_until(consumer, name, topic, ends)
    finally:
        consumer.close()


def _ends(consumer: Consumer, name: str) -> dict[int, int]:
    partitions = consumer.list_topics(name, timeout=10).topics[name].partitions
    return {
        p: consumer.get_watermark_offsets(TopicPartition(name, p), timeout=10)[1]
        for p in partitions
    }


def _read_until(consumer: Consumer, name: str, topic: Topic, ends: dict[int, int]) -> list[Message]:
    messages: list[Message] = []
    give_up_at_s = time.monotonic() + DEADLINE_S
    while any(_position(consumer, name, p) < end for p, end in ends.items() if end > 0):
        assert time.monotonic() < give_up_at_s, f"{name} is not read to its end"
        for message in consumer.consume(10_000, timeout=0.2):
            assert message.error() is None, message.error()
            messages.append(Message(message, topic))
    return [m for m in messages if m.offset < ends[m.partition]]


def _position(consumer: Consumer, name: str, partition: int) -> int:
    return int(consumer.position([TopicPartition(name, partition)])[0].offset)
