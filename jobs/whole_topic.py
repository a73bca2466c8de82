"""Reads a topic from its beginning to where it ends now."""

import contextlib
import time
from collections.abc import Iterator

from jobs.load_source import LoadSource
from jobs.settings import KafkaSettings
from schemas.errors import Unavailable
from schemas.topics import Topic, topic_name
from sinks.messages import Message

POLL_MAX_MESSAGES = 500
POLL_TIMEOUT_S = 0.1
STALL_MAX_S = 30.0


def whole_topic(kafka: KafkaSettings, topic: Topic, group_id: str) -> Iterator[Message]:
    """Yield everything that lies in a topic now, in order within each partition.

    Args:
        kafka: names the broker and the prefix.
        topic: which.
        group_id: without the prefix; only shown to the broker.

    Raises:
        SettingsError: the topic is missing.
        Unavailable: the broker does not deliver it.
    """
    name = topic_name(topic, kafka.topic_prefix)
    source = LoadSource(kafka.bootstrap_servers, f"{kafka.topic_prefix}{group_id}")
    with contextlib.closing(source):
        limits = source.limits(name, source.partitions([name])[name])
        ends = {partition: end for partition, (low, end) in limits.items() if end > low}
        source.assign({name: {partition: limits[partition][0] for partition in ends}})
        give_up_at_s = time.monotonic() + STALL_MAX_S
        while not source.has_reached(name, ends):
            arrived = source.poll(POLL_MAX_MESSAGES, POLL_TIMEOUT_S).get(name, [])
            if arrived:
                give_up_at_s = time.monotonic() + STALL_MAX_S
            elif time.monotonic() > give_up_at_s:
                raise Unavailable(f"{name} is not delivered to its end")
            yield from arrived
