"""Creates the topics and refuses to start on topics that would give wrong answers."""

import re
from collections.abc import Iterable
from dataclasses import replace

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, but not exported
    AdminClient,
    ConfigResource,
    OffsetSpec,
    ResourceType,
)
from confluent_kafka.cimpl import NewTopic

from jobs.settings import KafkaSettings, Settings
from schemas.errors import SettingsError, Unavailable
from schemas.topics import TOPIC_SPECS, Topic, TopicSpec, telemetry_pattern, topic_name

REQUEST_TIMEOUT_S = 10.0
TIMESTAMP_TYPE = "message.timestamp.type"
TRANSACTION_MAX = "transaction.max.timeout.ms"
WORST_RESTART_MS = 120_000
"""How long a job may be away while a checkpoint's results wait for their commit: 50 s until a dead
task manager is missed, 5 s before the restart, and twice what a busy machine took to start it."""


def admin_client(kafka: KafkaSettings) -> AdminClient:
    """Return a client for the broker's administration; it connects when it is used."""
    return AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 2})


def topic_config(spec: TopicSpec, kafka: KafkaSettings) -> dict[str, str]:
    """Return the configuration with which a topic is created.

    >>> telemetry = TOPIC_SPECS[0]
    >>> topic_config(telemetry, KafkaSettings())["message.timestamp.type"]
    'LogAppendTime'
    >>> topic_config(telemetry, KafkaSettings(clock="record"))["retention.ms"]
    '-1'
    """
    if kafka.clock == "log" or not spec.has_log_append_time:
        return spec.config()
    # A replay brings its own times, which may be old: retention would delete them at once.
    return replace(spec, has_log_append_time=False, retention_ms=-1).config()


def create_topics(kafka: KafkaSettings) -> list[str]:
    """Create the topics that are missing; those that exist stay as they are.

    Returns:
        The names of all topics.

    Raises:
        Unavailable: the broker does not answer.
        SettingsError: it refuses a topic.
    """
    wanted = [_new_topic(spec, kafka) for spec in TOPIC_SPECS]
    client = admin_client(kafka)  # it must outlive its answers
    answers = client.create_topics(wanted, request_timeout=REQUEST_TIMEOUT_S)
    for name, answer in answers.items():
        try:
            answer.result()
        except KafkaException as error:
            _raise_unless_exists(name, error, kafka)
    return list(answers)


def _new_topic(spec: TopicSpec, kafka: KafkaSettings) -> NewTopic:
    return NewTopic(
        topic_name(spec.topic, kafka.topic_prefix),
        num_partitions=kafka.partition_count,
        config=topic_config(spec, kafka),
    )


def _raise_unless_exists(name: str, error: KafkaException, kafka: KafkaSettings) -> None:
    cause = error.args[0]
    if cause.code() == KafkaError.TOPIC_ALREADY_EXISTS:
        return
    if cause.retriable() or cause.code() in (KafkaError._TRANSPORT, KafkaError._TIMED_OUT):  # noqa: SLF001 - librdkafka's public error codes
        raise _unavailable(kafka, error) from error
    raise SettingsError(
        f"topic {name}", value=cause.str(), allowed="a topic the broker creates", cure="see value"
    ) from error


def check_topics(kafka: KafkaSettings) -> None:
    """Refuse to start when a topic is missing or telemetry does not carry the broker's time.

    Raises:
        Unavailable: the broker does not answer.
        SettingsError: names the topic, what was found and the cure.
    """
    found = topic_partition_counts(kafka)
    for spec in TOPIC_SPECS:
        name = topic_name(spec.topic, kafka.topic_prefix)
        if name not in found:
            raise SettingsError(
                f"topic {name}",
                value="missing",
                allowed=f"a topic on {kafka.bootstrap_servers}",
                cure="create the topics with `fleetpulse up`, or check kafka.topic_prefix",
            )
    if kafka.clock == "log":
        clocked = [name for name in found if _is_clocked(name, kafka.topic_prefix)]
        _require_append_time(clocked, kafka)


def check_transaction_timeout(settings: Settings) -> None:
    """Refuse a transaction timeout that the broker does not grant or that would lose results.

    What a complete checkpoint has counted lies in a transaction that is committed after it. If the
    job dies in between, that happens after its restart: by then the broker must not have ended it.

    Raises:
        Unavailable: the broker does not answer.
        SettingsError: names the value, what is allowed and the cure.
    """
    asked_ms = settings.flink.transaction_timeout_ms
    least_ms = settings.flink.checkpoint_interval_ms + WORST_RESTART_MS
    most_ms = _transaction_max_ms(settings.kafka)
    if not least_ms < asked_ms <= most_ms:
        raise SettingsError(
            "flink.transaction_timeout_ms",
            value=asked_ms,
            allowed=f"above {least_ms} (checkpoint interval and {WORST_RESTART_MS} for a restart)"
            f" and at most {most_ms} ({TRANSACTION_MAX} of the broker)",
            cure=f"set it between the two, or raise the broker's {TRANSACTION_MAX}",
        )


def _transaction_max_ms(kafka: KafkaSettings) -> int:
    """Return the longest transaction that every broker grants, ms."""
    client = admin_client(kafka)  # it must outlive its answers
    try:
        brokers = client.list_topics(timeout=REQUEST_TIMEOUT_S).brokers
        asked = [ConfigResource(ResourceType.BROKER, str(number)) for number in brokers]
        answers = client.describe_configs(asked, request_timeout=REQUEST_TIMEOUT_S)
        return min(int(answer.result()[TRANSACTION_MAX].value) for answer in answers.values())
    except KafkaException as error:
        raise _unavailable(kafka, error) from error


def _is_clocked(name: str, prefix: str) -> bool:
    """Say whether liveness reads its time from this topic: telemetry, also of one tenant."""
    quiet = [spec.topic for spec in TOPIC_SPECS if spec.has_log_append_time]
    names = {topic_name(topic, prefix) for topic in quiet if topic is not Topic.TELEMETRY}
    return name in names or re.fullmatch(telemetry_pattern(prefix), name) is not None


def _require_append_time(names: Iterable[str], kafka: KafkaSettings) -> None:
    for name, config in topic_configs(names, kafka).items():
        if config[TIMESTAMP_TYPE] != "LogAppendTime":
            raise SettingsError(
                f"{TIMESTAMP_TYPE} of topic {name}",
                value=config[TIMESTAMP_TYPE],
                allowed="LogAppendTime, because the log is the clock",
                cure="change the topic's configuration, or replay with kafka.clock=record",
            )


def topic_partition_counts(kafka: KafkaSettings) -> dict[str, int]:
    """Return every topic of the broker with its number of partitions.

    Raises:
        Unavailable: the broker does not answer.
    """
    try:
        metadata = admin_client(kafka).list_topics(timeout=REQUEST_TIMEOUT_S)
    except KafkaException as error:
        raise _unavailable(kafka, error) from error
    return {name: len(topic.partitions) for name, topic in metadata.topics.items()}


def topic_configs(names: Iterable[str], kafka: KafkaSettings) -> dict[str, dict[str, str]]:
    """Return the configuration of topics as the broker has it.

    Raises:
        Unavailable: the broker does not answer.
    """
    asked = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    if not asked:
        return {}
    client = admin_client(kafka)  # it must outlive its answers
    answers = client.describe_configs(asked, request_timeout=REQUEST_TIMEOUT_S)
    try:
        found = {resource.name: answer.result() for resource, answer in answers.items()}
    except KafkaException as error:
        raise _unavailable(kafka, error) from error
    return {
        name: {key: entry.value for key, entry in config.items()} for name, config in found.items()
    }


def log_ends(topic: str, kafka: KafkaSettings) -> dict[int, int]:
    """Return the end of each partition's log, what no transaction has committed yet included.

    Raises:
        Unavailable: the broker does not answer.
    """
    count = topic_partition_counts(kafka).get(topic, 0)
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # the library says no type
    asked = {TopicPartition(topic, p): latest for p in range(count)}
    client = admin_client(kafka)  # it must outlive its answers
    answers = client.list_offsets(asked, request_timeout=REQUEST_TIMEOUT_S) if asked else {}
    try:
        return {place.partition: answer.result().offset for place, answer in answers.items()}
    except KafkaException as error:
        raise _unavailable(kafka, error) from error


def _unavailable(kafka: KafkaSettings, error: KafkaException) -> Unavailable:
    cause = error.args[0]
    return Unavailable(f"Kafka at {kafka.bootstrap_servers} does not answer ({cause.str()})")
