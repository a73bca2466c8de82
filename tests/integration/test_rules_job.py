"""The rules job on a real Kafka, registry and Flink, killed and restarted, against the pure chain.

windows    r r M ..      r r M r M ..         r M ..               M = marks
control      rule                                  tombstone
alerts            firing   x   resolved  firing        resolved    x = the worker is killed
"""

import json
import time
from collections.abc import Sequence

import pytest

from jobs.flink_cluster import are_tasks_running
from jobs.local_stack import INFRASTRUCTURE, LocalStack
from jobs.rules_job import JOB_NAME
from schemas.control import control_fields
from schemas.topics import Topic
from tests.alert_logs import TENANT, Event
from tests.chaos.victims import Victims
from tests.integration.window_job_bench import (
    PARTITION_COUNT,
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
from tests.rules_chain import Aggregate, RulesChain
from tests.threshold_logs import rule
from udfs.rules_shard import RulesPolicy

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

MINUTE_MS = 60_000
WINDOW_MS = 5 * MINUTE_MS
AHEAD_MS = 4 * WINDOW_MS
"""Rules judge windows that begin after they were sent: the fleet of this test lives in a while."""


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    settings = bench_settings(tmp_path_factory.mktemp("rules"))
    with LocalStack(settings, parts=INFRASTRUCTURE):
        submit_alone(settings, "rules_job")
        wait_for(lambda: are_tasks_running(settings), "running tasks")
        yield settings


def test_a_killed_job_tells_the_breaches_of_the_pure_chain_under_the_same_ids(settings):
    begin_ms = (time.time_ns() // 1_000_000 + AHEAD_MS) // WINDOW_MS * WINDOW_MS
    hot = rule(aggregate="max", channels=["pager"])
    control(settings, "rule", "-", content=json.dumps(control_fields(hot)))
    wait_for(lambda: is_read(settings, Topic.CONTROL, JOB_NAME), "read rule")
    chain, expected = RulesChain(SHARD_COUNT, RulesPolicy(partition_count=PARTITION_COUNT)), []
    expected += chain.control(controls(settings, after=0))

    # d0, d1   0-5 hot, 5-10 good, 10-15 hot | d2 is good throughout
    levels = {"d0": [90, 60, 95], "d1": [81, 80, 81], "d2": [70, 75, 80]}
    log = [
        Heard(at_ms, device, "g", (("temp", at_ms, float(values[minute // 5])),))
        for device, values in levels.items()
        for minute in range(15)
        if (at_ms := begin_ms + minute * MINUTE_MS + 1_000)
    ]
    written = Aggregate(MINUTE_MS).windows(log, begin_ms + 40 * MINUTE_MS)
    first = [w for w in written if w.at_ms < begin_ms + 7 * MINUTE_MS]
    second = [w for w in written if first[-1].at_ms < w.at_ms <= begin_ms + 30 * MINUTE_MS]
    last = [w for w in written if w.at_ms > begin_ms + 30 * MINUTE_MS]

    send(settings, first)
    expected += chain.windows(first)
    wait_for(lambda: len(alerts_told(settings)) >= len(expected) > 0, "first firing")
    Victims.worker(VictimsOf(settings), JOB_NAME).kill()
    send(settings, second)
    expected += chain.windows(second)
    wait_for(lambda: len(alerts_told(settings)) >= len(expected), "events after the kill")
    wait_for(lambda: is_read(settings, Topic.WINDOWS, JOB_NAME), "read windows")
    control(settings, "end", f"{TENANT}/rule/hot")
    wait_for(lambda: is_read(settings, Topic.CONTROL, JOB_NAME), "read tombstone")
    expected += chain.control(controls(settings, after=1))
    send(settings, last)
    expected += chain.windows(last)
    wait_for(lambda: len(alerts_told(settings)) >= len(expected), "the end of the rule")

    assert alerts_told(settings) == {event["id"]: event for event in expected}
    story = [(e["subject"], e["status"], e["reason"]) for e in in_order(expected)]
    of_device = [("firing", None), ("resolved", None), ("firing", None)]
    of_device += [("resolved", "rule_changed")]
    assert story == [(f"device/{d}", *said) for d in ("d0", "d1") for said in of_device]


def in_order(events: Sequence[Event]) -> list[Event]:
    return sorted(events, key=lambda e: (e["subject"], e["starts_at"], e["seq"]))
