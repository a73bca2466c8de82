"""What Kafka and the registry need before any job runs, without the local stack."""

from collections.abc import Iterator

from jobs.settings import Settings
from jobs.topic_admin import check_topics, create_topics
from schemas.registry import SchemaRegistry


def prepare_topics(settings: Settings) -> Iterator[str]:
    """Create and check the topics, then register every schema; yield one line for each step.

    Raises:
        SettingsError: a topic or a schema is refused.
        Unavailable: the broker or the registry does not answer.
    """
    names = create_topics(settings.kafka)
    check_topics(settings.kafka)
    yield f"topics: {', '.join(names)}"
    registry = SchemaRegistry(settings.registry.url, settings.registry.timeout_s)
    try:
        ids = registry.register_all(settings.kafka.topic_prefix)
    finally:
        registry.close()
    yield f"schemas: {len(ids)} are registered at {settings.registry.url}"
