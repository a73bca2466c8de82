"""The drift job on a real Kafka, registry, Flink and loader, killed, against the pure chain.

windows    r r M ..      r r M r M ..            r M ..              M = marks
control                                accept d1
alerts            d0 d1  x   d0 over             d1 over, d1 again   x = the worker is killed
drift             the same findings, once each, with the checkpoints
"""

import json
import subprocess
import sys
import time

import pytest

from jobs.drift_job import JOB_NAME, drift_policy
from jobs.flink_cluster import are_tasks_running
from jobs.local_stack import INFRASTRUCTURE, LocalStack, Part
from jobs.query import run_query
from jobs.settings import Settings
from jobs.settings_file import settings_path
from schemas.topics import Topic
from tests.alert_logs import TENANT
from tests.drift_chain import DriftChain
from tests.integration.topic_reading import read_topic
from tests.integration.window_job_bench import (
    DEADLINE_S,
    PARTITION_COUNT,
    ROOT,
    SHARD_COUNT,
    VictimsOf,
    alerts_told,
    bench_settings,
    control,
    controls,
    is_read,
    send,
    submit_alone,
    wait_for,
)
from tests.oracle.threshold_oracle import Heard
from tests.rules_chain import Aggregate
from udfs.drift.finding_messages import finding_of
from udfs.drift.findings import DriftFinding

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

MINUTE_MS = 60_000
WINDOW_MS = 5 * MINUTE_MS
BAD = {"d0": range(10, 30), "d1": range(10, 90), "d2": range(0)}
"""Minutes in which all that a device sends is NaN."""


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    settings = bench_settings(tmp_path_factory.mktemp("drift"))
    with LocalStack(settings, parts=(*INFRASTRUCTURE, Part.LOADER)):
        submit_alone(settings, "drift_job")
        wait_for(lambda: are_tasks_running(settings), "running tasks")
        yield settings


def test_a_killed_job_sends_the_findings_of_the_pure_chain_once_and_their_alerts(settings):
    begin_ms = time.time_ns() // 1_000_000 // WINDOW_MS * WINDOW_MS
    log = [
        Heard(at_ms, device, "g", (("temp", at_ms, float("nan") if minute in bad else 20.0),))
        for device, bad in BAD.items()
        for minute in range(80)
        if (at_ms := begin_ms + minute * MINUTE_MS + 1_000)
    ]
    written = Aggregate(MINUTE_MS, is_gathered=True).windows(log, begin_ms + 85 * MINUTE_MS)
    first = [w for w in written if w.at_ms < begin_ms + 38 * MINUTE_MS]
    second = [w for w in written if first[-1].at_ms < w.at_ms < begin_ms + 48 * MINUTE_MS]
    last = written[len(first) + len(second) :]
    chain = DriftChain(SHARD_COUNT, drift_policy(settings, PARTITION_COUNT))

    send(settings, first)
    chain.windows(first)
    wait_for(lambda: len(alerts_told(settings)) >= len(chain.alerts) == 2, "first alerts")
    VictimsOf.worker(VictimsOf(settings), JOB_NAME).kill()
    send(settings, second)
    chain.windows(second)
    wait_for(lambda: len(alerts_told(settings)) >= len(chain.alerts) == 3, "the end of d0's")
    wait_for(lambda: is_read(settings, Topic.WINDOWS, JOB_NAME), "read windows")
    control(settings, "accept", "--tenant", TENANT, "--device", "d1", "--metric", "temp")
    wait_for(lambda: is_read(settings, Topic.CONTROL, JOB_NAME), "read control")
    chain.control(controls(settings, after=0))
    send(settings, last)
    chain.windows(last)
    wait_for(lambda: len(alerts_told(settings)) >= len(chain.alerts) == 5, "what was accepted")
    wait_for(lambda: len(committed(settings)) >= len(chain.findings), "committed findings")
    wait_for(lambda: len(stored(settings)) >= len(chain.findings), "stored findings")

    assert alerts_told(settings) == {event["id"]: event for event in chain.alerts}
    assert in_order(committed(settings)) == in_order(chain.findings)
    story = [(f.subject, f.state, f.reason) for f in in_order(chain.findings)]
    assert story == [
        ("d0", "firing", "no value could be read"),
        ("d0", "resolved", "readable_again"),
        ("d1", "firing", "no value could be read"),
        ("d1", "resolved", "accepted_new_normal"),
        ("d1", "firing", "no value could be read"),
    ]
    assert sorted(stored(settings)) == sorted(f.finding_id for f in chain.findings)
    (row,) = asked_drift(settings)
    assert (row["metric"], row["incidents"], row["strongest_subject"]) == ("temp", 1, "device/d1")


def in_order(findings: list[DriftFinding]) -> list[DriftFinding]:
    return sorted(findings, key=lambda f: (f.subject, f.first_seen_ms, f.detected_at_ms, f.state))


def committed(settings: Settings) -> list[DriftFinding]:
    """Return the findings on the topic as they are committed, with repeats if there are any."""
    return [finding_of(message.record) for message in read_topic(settings, Topic.DRIFT)]


def stored(settings: Settings) -> list[str]:
    """Return the rows of the table, before any merging."""
    found = run_query(settings, "SELECT finding_id FROM drift_findings")
    return list(found["finding_id"])


def asked_drift(settings: Settings) -> list[dict[str, object]]:
    """Run `fleetpulse query drift`."""
    words = ["--settings", str(settings_path(settings)), "query", "drift", "--format", "json"]
    done = subprocess.run(
        [sys.executable, "-m", "jobs.cli", *words],
        cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE, timeout=DEADLINE_S,
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]
