"""Prints all jobs' operators as JSON, from Flink's own graph; nothing is submitted.

A program of its own: PyFlink reads where the connectors are before it is imported.
"""

import json
from typing import Any

from jobs import aggregate_job, drift_job, offline_job, rules_job
from jobs.environment import BUNDLE_TIME, table_environment
from jobs.settings import load_settings
from schemas.topics import Topic
from udfs.block_results import AggregateTopics
from udfs.drift_operator import DriftTopics

AGGREGATE_TOPICS = AggregateTopics("aggregate", "windows", 1, "accounts", 2, "dead-letters")
EVENT_TOPICS = {Topic.ALERTS: ("alerts", 3), Topic.DEVICE_STATUS: ("device-status", 4)}
DRIFT_TOPICS = DriftTopics("drift", 5, "alerts", 3, "rollouts", 6, windows_partition_count=2)
RULES_TOPICS = rules_job.RulesTopics("alerts", 3, windows_partition_count=2)


def operators(job: Any, topics: Any) -> list[tuple[str | None, str, str | None]]:
    """Return uid (or None), name and, of Python operators, the bundle time of each operator."""
    settings = load_settings()
    tables = table_environment(settings, job.JOB_NAME)
    statements = job.build(tables, settings, topics)
    if statements is not None:  # a job with several sinks has attached them itself
        statements.attach_as_datastream()
    nodes = tables._get_j_env().getStreamGraph(False).getStreamNodes().toArray()  # noqa: FBT003 - Java
    return [
        (node.getTransformationUID(), node.getOperatorName(), bundle_time(node)) for node in nodes
    ]


def bundle_time(node: Any) -> str | None:
    """Return how long an operator gathers elements, ms; None for one without Python."""
    factory = node.getOperatorFactory()
    if "SimpleOperatorFactory" not in factory.getClass().getName():
        return None
    operator = factory.getOperator()
    if "python" not in operator.getClass().getName():
        return None
    return str(operator.getConfiguration().getString(BUNDLE_TIME, ""))


if __name__ == "__main__":
    found = {
        aggregate_job.JOB_NAME: operators(aggregate_job, AGGREGATE_TOPICS),
        offline_job.JOB_NAME: operators(offline_job, EVENT_TOPICS),
        rules_job.JOB_NAME: operators(rules_job, RULES_TOPICS),
        drift_job.JOB_NAME: operators(drift_job, DRIFT_TOPICS),
    }
    print(json.dumps(found))
