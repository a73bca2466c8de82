"""What a running stack is doing: ends of the topics, lag of their readers, jobs, ports."""

from dataclasses import dataclass

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, but not exported
    AdminClient,
    OffsetSpec,
)

from jobs.ports import is_answering, ports_of
from jobs.settings import KafkaSettings, StackSettings
from jobs.topic_admin import admin_client, topic_partition_counts
from schemas.errors import Unavailable

REQUEST_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class TopicEnd:
    """How much one topic holds.

    Args:
        name: on the broker.
        partition_count: of the topic.
        end_offset: sum over the partitions; in a transactional topic markers count too.
    """

    name: str
    partition_count: int
    end_offset: int


@dataclass(frozen=True)
class GroupLag:
    """How far one group of readers is behind in one topic, in messages."""

    group: str
    topic: str
    lag: int


@dataclass(frozen=True)
class PortState:
    """Whether somebody answers at a port of the stack."""

    setting: str
    port: int
    is_answering: bool


def topic_ends(kafka: KafkaSettings) -> list[TopicEnd]:
    """Return the ends of every topic with our prefix.

    Raises:
        Unavailable: the broker does not answer.
    """
    counts = _own_topics(kafka)
    ends = _end_offsets(admin_client(kafka), counts, kafka)
    totals = dict.fromkeys(counts, 0)
    for (topic, _), end in ends.items():
        totals[topic] += end
    return [TopicEnd(name, counts[name], totals[name]) for name in sorted(counts)]


def group_lags(kafka: KafkaSettings) -> list[GroupLag]:
    """Return how far each group of readers is behind in each of our topics.

    Raises:
        Unavailable: the broker does not answer.
    """
    client = admin_client(kafka)
    ends = _end_offsets(client, _own_topics(kafka), kafka)
    lags: dict[tuple[str, str], int] = {}
    for group in _group_names(client, kafka):
        for (topic, partition), committed in _committed(client, group, kafka).items():
            if (topic, partition) in ends:
                behind = max(0, ends[topic, partition] - committed)
                lags[group, topic] = lags.get((group, topic), 0) + behind
    return [GroupLag(group, topic, lag) for (group, topic), lag in sorted(lags.items())]


def port_states(stack: StackSettings) -> list[PortState]:
    """Try every port of the stack."""
    uses = list(ports_of(stack))
    return [PortState(f"stack.{use.field}", use.port, is_answering(use.port)) for use in uses]


def _own_topics(kafka: KafkaSettings) -> dict[str, int]:
    counts = topic_partition_counts(kafka)
    return {
        name: count
        for name, count in counts.items()
        if name.startswith(kafka.topic_prefix) and not name.startswith("__")
    }


def _end_offsets(
    client: AdminClient, counts: dict[str, int], kafka: KafkaSettings
) -> dict[tuple[str, int], int]:
    asked = {
        TopicPartition(name, partition): OffsetSpec.latest()  # type: ignore[no-untyped-call]  # the client has no types
        for name, count in counts.items()
        for partition in range(count)
    }
    if not asked:
        return {}
    try:
        answers = client.list_offsets(asked, request_timeout=REQUEST_TIMEOUT_S)
        return {(tp.topic, tp.partition): answer.result().offset for tp, answer in answers.items()}
    except KafkaException as error:
        raise _unavailable(kafka, error) from error


def _group_names(client: AdminClient, kafka: KafkaSettings) -> list[str]:
    try:
        answer = client.list_consumer_groups(request_timeout=REQUEST_TIMEOUT_S).result()
    except KafkaException as error:
        raise _unavailable(kafka, error) from error
    return [group.group_id for group in answer.valid]


def _committed(client: AdminClient, group: str, kafka: KafkaSettings) -> dict[tuple[str, int], int]:
    asked = [ConsumerGroupTopicPartitions(group)]
    try:
        (answer,) = client.list_consumer_group_offsets(asked).values()
        found = answer.result().topic_partitions or []
    except KafkaException as error:
        raise _unavailable(kafka, error) from error
    return {(tp.topic, tp.partition): tp.offset for tp in found if tp.offset >= 0}


def _unavailable(kafka: KafkaSettings, error: KafkaException) -> Unavailable:
    cause = error.args[0].str()
    return Unavailable(f"Kafka at {kafka.bootstrap_servers} does not answer ({cause})")
