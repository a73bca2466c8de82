"""The Kafka topics: their names, keys and settings, in one place."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

CLOCK_TENANT_ID = "__clock__"
"""The reserved tenant whose batches are clock ticks."""

MESSAGE_MAX_BYTES = 1024 * 1024
"""The wire limit of one message, also set on the topics."""

DEAD_LETTER_MAX_BYTES = 2 * MESSAGE_MAX_BYTES
"""An original of the largest size and the headers around it."""

DEAD_LETTERS_KEPT_BYTES = 1024**3
"""Of each partition of the dead letters, whose oldest go first."""

DEAD_LETTERS_SEGMENT_BYTES = 64 * 1024**2
"""Whole segments are removed, so they must be small beside what is kept."""

DAY_MS = 24 * 60 * 60 * 1000


class Topic(StrEnum):
    """The topics by their name without prefix."""

    TELEMETRY = "telemetry"
    DEVICES = "devices"
    CONTROL = "control"
    WINDOWS = "windows"
    DRIFT = "drift"
    ROLLOUTS = "rollouts"
    ALERTS = "alerts"
    DEVICE_STATUS = "device-status"
    DEAD_LETTERS = "dead-letters"
    ACCOUNTS = "accounts"


@dataclass(frozen=True)
class TopicSpec:
    """How one topic is created and what a start check demands of it."""

    topic: Topic
    is_compacted: bool = False
    has_log_append_time: bool = False
    retention_ms: int = 7 * DAY_MS
    extra_config: dict[str, str] = field(default_factory=dict)

    def config(self) -> dict[str, str]:
        """Return the broker's topic configuration."""
        time_type = "LogAppendTime" if self.has_log_append_time else "CreateTime"
        cleanup = (
            {"cleanup.policy": "compact"}
            if self.is_compacted
            else {"cleanup.policy": "delete", "retention.ms": str(self.retention_ms)}
        )
        return {"message.timestamp.type": time_type, **cleanup, **self.extra_config}


TOPIC_SPECS = (
    # The log is the clock: only the broker's append time decides about liveness.
    TopicSpec(
        Topic.TELEMETRY,
        has_log_append_time=True,
        extra_config={"max.message.bytes": str(MESSAGE_MAX_BYTES)},
    ),
    TopicSpec(Topic.DEVICES, is_compacted=True, has_log_append_time=True),
    TopicSpec(Topic.CONTROL, is_compacted=True, has_log_append_time=True),
    TopicSpec(Topic.WINDOWS),
    TopicSpec(Topic.DRIFT),
    TopicSpec(Topic.ROLLOUTS),
    TopicSpec(Topic.ALERTS),
    TopicSpec(Topic.DEVICE_STATUS, is_compacted=True),
    # A dead letter keeps the timestamp of the original, which may be old: never expire it by time.
    TopicSpec(
        Topic.DEAD_LETTERS,
        retention_ms=-1,
        extra_config={
            "max.message.bytes": str(DEAD_LETTER_MAX_BYTES),
            "retention.bytes": str(DEAD_LETTERS_KEPT_BYTES),
            "segment.bytes": str(DEAD_LETTERS_SEGMENT_BYTES),
        },
    ),
    TopicSpec(Topic.ACCOUNTS),
)


def topic_name(topic: Topic, prefix: str = "") -> str:
    """Return the topic's name on the broker.

    >>> topic_name(Topic.DEVICE_STATUS, "test7.")
    'test7.device-status'
    """
    return prefix + topic.value


def telemetry_pattern(prefix: str = "") -> str:
    r"""Return the regular expression of the shared telemetry topic and each tenant's own.

    >>> telemetry_pattern("a.")
    'a\\.telemetry(\\.[A-Za-z0-9_-]{1,128})?'
    """
    return re.escape(prefix + Topic.TELEMETRY.value) + r"(\.[A-Za-z0-9_-]{1,128})?"


def topic_tenants(topics: Sequence[str], topic_prefix: str) -> list[str | None]:
    """Return the tenant that each topic belongs to; None for the shared one.

    >>> topic_tenants(["x.telemetry", "x.telemetry.acme"], "x.")
    [None, 'acme']
    """
    shared = re.compile(re.escape(f"{topic_prefix}{Topic.TELEMETRY.value}") + r"(?:\.(.+))?")
    owner = {}
    for topic in set(topics):
        found = shared.fullmatch(topic)
        assert found is not None, f"{topic} is no telemetry topic"
        owner[topic] = found.group(1)
    return [owner[topic] for topic in topics]


def subject_name(topic: Topic, prefix: str = "") -> str:
    """Return the schema registry's subject for the values of a topic.

    >>> subject_name(Topic.WINDOWS)
    'windows-value'
    """
    return f"{topic_name(topic, prefix)}-value"


def device_key(tenant_id: str, device_id: str) -> bytes:
    """Return the message key of one device.

    >>> device_key("acme", "cam-7")
    b'acme/cam-7'
    """
    return f"{tenant_id}/{device_id}".encode()
