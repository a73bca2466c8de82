"""Rollouts in the drift job on a real Kafka, registry, Flink and loader, killed twice.

windows    v1 v1 v1 v2 v2 v2 ...    ...                v1 v1 ...
rollouts           noticed    x     ROLLBACK   x                     x = the worker is killed
alerts                              firing             resolved: v2 has left the group
"""

import json
import subprocess
import sys
import time
from typing import Any

import pytest

from jobs.drift_job import JOB_NAME, drift_policy
from jobs.flink_cluster import are_tasks_running
from jobs.local_stack import INFRASTRUCTURE, LocalStack, Part
from jobs.query import run_query
from jobs.settings import Settings
from jobs.settings_file import settings_path
from schemas.topics import Topic
from tests.drift_chain import MINUTE_MS, DriftChain
from tests.integration.topic_reading import read_topic
from tests.integration.window_job_bench import (
    DEADLINE_S,
    PARTITION_COUNT,
    ROOT,
    SHARD_COUNT,
    VictimsOf,
    alerts_told,
    bench_settings,
    send,
    submit_alone,
    wait_for,
)
from tests.rollout_logs import Rollout, rollout_log
from tests.rules_chain import Aggregate
from udfs.drift.finding_messages import finding_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

SEED = 20_261_123
WINDOW_MS = 5 * MINUTE_MS
JUDGED = {"min_devices": 8, "alpha": 0.4, "metrics": {"latency_ms": "up", "error_rate": "up"}}
ROLLOUT = Rollout(devices=28, update_minute=70, back_minute=425)
"""Looked at from minute 100 to 400, judged 15 min later; v2 has left an hour after 425."""


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    settings = bench_settings(tmp_path_factory.mktemp("rollouts"), rollouts=JUDGED)
    with LocalStack(settings, parts=(*INFRASTRUCTURE, Part.LOADER)):
        submit_alone(settings, "drift_job")
        wait_for(lambda: are_tasks_running(settings), "running tasks")
        yield settings


def test_a_killed_job_sends_the_verdicts_of_the_pure_chain_once_and_their_alert(settings):
    begin_ms = time.time_ns() // 1_000_000 // WINDOW_MS * WINDOW_MS
    log = rollout_log(begin_ms, ROLLOUT, 500, SEED)
    written = Aggregate(MINUTE_MS, is_gathered=True).windows(log, begin_ms + 505 * MINUTE_MS)
    parts = [
        [w for w in written if first <= (w.at_ms - begin_ms) / MINUTE_MS < last]
        for first, last in ((0, 200), (200, 420), (420, 999))
    ]
    chain = DriftChain(SHARD_COUNT, drift_policy(settings, PARTITION_COUNT))
    for number, part in enumerate(parts):
        send(settings, part)
        chain.windows(part)
        wait_for(lambda: len(committed(settings)) >= len(chain.verdicts), "verdicts")
        wait_for(lambda: len(alerts_told(settings)) >= len(chain.alerts), "alerts")
        if number < 2:
            VictimsOf(settings).worker(JOB_NAME).kill()
    wait_for(lambda: len(stored(settings)) >= len(chain.verdicts), "stored verdicts")

    assert committed(settings) == chain.verdicts
    assert [(v["verdict"], v["is_final"]) for v in chain.verdicts] == [
        ("CONTINUE", False),
        ("ROLLBACK", True),
    ]
    assert alerts_told(settings) == {event["id"]: event for event in chain.alerts}
    told = [e["status"] for e in chain.alerts if e["type"] == "fleetpulse.alert.canary"]
    assert told == ["firing", "resolved"]
    found = [finding_of(message.record) for message in read_topic(settings, Topic.DRIFT)]
    assert sorted(f.finding_id for f in found) == sorted(f.finding_id for f in chain.findings)
    assert stored(settings) == sorted(v["verdict_id"] for v in chain.verdicts)
    (row,) = asked_rollouts(settings)
    assert (row["verdict"], row["treatment_version"], row["deciding_metric"]) == (
        "ROLLBACK", "v2", "latency_ms",
    )  # fmt: skip


def committed(settings: Settings) -> list[dict[str, Any]]:
    """Return the verdicts on the topic as they are committed, with repeats if there are any."""
    return [dict(message.record) for message in read_topic(settings, Topic.ROLLOUTS)]


def stored(settings: Settings) -> list[str]:
    """Return the rows of the table, before any merging."""
    found = run_query(settings, "SELECT verdict_id FROM rollout_verdicts")
    return sorted(found["verdict_id"])


def asked_rollouts(settings: Settings) -> list[dict[str, object]]:
    """Run `fleetpulse query rollouts`."""
    words = ["--settings", str(settings_path(settings)), "query", "rollouts", "--format", "json"]
    done = subprocess.run(
        [sys.executable, "-m", "jobs.cli", *words],
        cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE, timeout=DEADLINE_S,
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]
