"""Reads a topic from its beginning to where it ends now."""

import contextlib
import time
from collections.abc import Iterator, Mapping

from jobs.load_source import LoadSource
from jobs.settings import KafkaSettings
from schemas.errors import Unavailable
from schemas.topics import Topic, topic_name
from sinks.messages import Message

POLL_MAX_MESSAGES = 500
POLL_TIMEOUT_S = 0.1
"""How long a poll waits for more messages when there are fewer; so short is the end of a scan."""
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
        yield from read_to_ends(source, name, ends)


def read_to_ends(
    source: LoadSource,
    name: str,
    ends: Mapping[int, int],
    poll_max_messages: int = POLL_MAX_MESSAGES,
    stall_max_s: float = STALL_MAX_S,
) -> Iterator[Message]:
    """Yield what is delivered of an assigned topic until all its ends are reached.

    Args:
        source: to which the partitions are assigned.
        name: of the topic on the broker.
        ends: by partition, the offset that ends it; more may be delivered.
        poll_max_messages: at once.
        stall_max_s: so long nothing may come.

    Raises:
        Unavailable: the broker stops delivering.
    """
    give_up_at_s = time.monotonic() + stall_max_s
    while not source.has_reached(name, ends):
        arrived = source.poll(poll_max_messages, POLL_TIMEOUT_S).get(name, [])
        if arrived:
            give_up_at_s = time.monotonic() + stall_max_s
        elif time.monotonic() > give_up_at_s:
            raise Unavailable(f"{name} is not delivered to its end")
        yield from arrived
