"""Which topics are loaded, and how fast: all of the engine's, and each tenant's telemetry."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from jobs.settings import Settings
from schemas.tables import LOADED_TABLES
from schemas.topics import Topic, telemetry_pattern, topic_name, topic_tenants
from sinks.row_batch import BatchPolicy


@dataclass(frozen=True)
class LoadedTopic:
    """One topic on the broker.

    Args:
        kind: what its messages are.
        policy: when a batch of it is due.
        tenant_id: whose telemetry it is; None: of all.
    """

    kind: Topic
    policy: BatchPolicy
    tenant_id: str | None = None


def loaded_topics(settings: Settings, names: Iterable[str]) -> dict[str, LoadedTopic]:
    """Return the topics to load, by full name.

    Args:
        settings: of the whole engine.
        names: of the topics on the broker, among them those of tenants.
    """
    prefix, limits = settings.kafka.topic_prefix, settings.loader
    results = BatchPolicy(limits.batch_max_rows, limits.batch_max_bytes, limits.batch_max_age_ms)
    points = BatchPolicy(limits.batch_max_rows, limits.batch_max_bytes, limits.points_max_age_ms)
    found = {
        topic_name(table.topic, prefix): LoadedTopic(table.topic, results)
        for table in LOADED_TABLES
        if table.topic is not Topic.TELEMETRY
    }
    if not limits.has_points:
        return found
    shared = topic_name(Topic.TELEMETRY, prefix)
    telemetry = sorted({shared, *filter(re.compile(telemetry_pattern(prefix)).fullmatch, names)})
    for name, tenant_id in zip(telemetry, topic_tenants(telemetry, prefix), strict=True):
        found[name] = LoadedTopic(Topic.TELEMETRY, points, tenant_id)
    return found
