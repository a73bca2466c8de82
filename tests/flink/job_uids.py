"""Prints the uids of both jobs' operators as JSON, from Flink's own graph; nothing is submitted.

A program of its own: PyFlink reads where the connectors are before it is imported.
"""

import json
from typing import Any

from jobs import aggregate_job, offline_job
from jobs.environment import table_environment
from jobs.settings import load_settings
from schemas.topics import Topic
from udfs.block_results import AggregateTopics

AGGREGATE_TOPICS = AggregateTopics("aggregate", "windows", 1, "accounts", 2, "dead-letters")
EVENT_TOPICS = {Topic.ALERTS: ("alerts", 3), Topic.DEVICE_STATUS: ("device-status", 4)}


def uids(job: Any, topics: Any) -> list[tuple[str | None, str]]:
    """Return uid and name of each operator of a job; None for one without a uid."""
    settings = load_settings()
    tables = table_environment(settings, job.JOB_NAME)
    job.build(tables, settings, topics).attach_as_datastream()
    nodes = tables._get_j_env().getStreamGraph(False).getStreamNodes().toArray()  # noqa: FBT003 - Java
    return [(node.getTransformationUID(), node.getOperatorName()) for node in nodes]


if __name__ == "__main__":
    found = {
        aggregate_job.JOB_NAME: uids(aggregate_job, AGGREGATE_TOPICS),
        offline_job.JOB_NAME: uids(offline_job, EVENT_TOPICS),
    }
    print(json.dumps(found))
