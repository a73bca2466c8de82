"""Topics read back as the broker has them: append times, offsets, decoded records."""

import time
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from jobs.settings import Settings
from schemas.records import decode_record
from schemas.topics import Topic, topic_name

DEADLINE_S = 60.0


class Message:
    """One message as the broker has it."""

    def __init__(self, message: Any, topic: Topic) -> None:
        self.at_ms = message.timestamp()[1]
        self.partition, self.offset = message.partition(), message.offset()
        self.key = message.key().decode()
        self.record = None if message.value() is None else decode_record(topic, message.value())


def read_topic(settings: Settings, topic: Topic) -> list[Message]:
    """Read a topic from its beginning to its present end."""
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
    try:
        partitions = consumer.list_topics(name, timeout=10).topics[name].partitions
        ends = {
            p: consumer.get_watermark_offsets(TopicPartition(name, p), timeout=10)[1]
            for p in partitions
        }
        consumer.assign([TopicPartition(name, p, 0) for p in partitions])
        return _read_until(consumer, name, topic, ends)
    finally:
        consumer.close()


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
