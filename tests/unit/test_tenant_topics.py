"""A partition of a tenant's own topic is a partition like any other, by another name."""

from dataclasses import replace

import numpy as np
import polars as pl
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from jobs.backtest import Backtest, BacktestPlan
from jobs.backtest_blocks import numbered_lines
from tests.unit.test_liveness_laws import SEEDS, random_log
from udfs.known_logs import log_codes, log_names
from udfs.liveness import LivenessBlock
from udfs.offline_policy import OfflinePolicy

TENANT_PARTITIONS = {1: ("telemetry.acme", 0), 2: ("telemetry.zeta", 0)}
"""What stands in for the partitions of a log; the first stays with the shared topic."""
TOPICS = [topic for topic, _ in TENANT_PARTITIONS.values()]
NUMBERS = np.array([number for _, number in TENANT_PARTITIONS.values()])
CODES_OF = log_codes(TOPICS, NUMBERS, "")
CODES = dict(zip(TENANT_PARTITIONS, CODES_OF.tolist(), strict=True))
NAMES = log_names(TOPICS, CODES_OF, "")


def moved(block: LivenessBlock) -> LivenessBlock:
    """Return a block whose partitions are of several topics."""
    codes = pl.col("partition").replace(CODES)
    clocks = block.clocks.with_columns(codes)
    names = [NAMES.get(code, str(code)) for code in clocks["partition"].to_list()]
    return replace(
        block,
        contacts=block.contacts.with_columns(codes),
        clocks=clocks.with_columns(log=pl.Series(names, dtype=pl.String)),
    )


class BacktestOfTopics(Backtest):
    """Reads the same log as if some partitions were those of tenants."""

    def blocks_of(self, lines):
        return [moved(block) for block in super().blocks_of(lines)]


def told(backtest, lines, step):
    events, numbered = [], list(numbered_lines(lines))
    for begin in range(0, len(numbered), step):
        events += backtest.take(numbered[begin : begin + step])
        backtest.restart()
    return events + backtest.end()


def by_name(event):
    """Return an event of a partition without what its name decides."""
    if not event["subject"].startswith("partition/"):
        return event
    named = ("id", "episode_id", "dedup_key", "subject", "summary")
    return {name: value for name, value in event.items() if name not in named}


def in_order(events):
    """Return what happens at one instant to several partitions in an order without names."""
    return sorted(map(by_name, events), key=lambda e: (e["time"], "subject" in e, str(e)))


@given(SEEDS, st.sampled_from([2, 3]), st.sampled_from([1, 4]), st.integers(50, 400))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_events_are_the_same_whatever_topics_the_partitions_belong_to(
    seed, partition_count, shard_count, step
):
    note(f"{seed=}")
    lines = random_log(seed, partition_count)
    plan = BacktestPlan(shard_count, fine_ms=None)
    shared = told(Backtest(OfflinePolicy(), plan), lines, step)
    found = told(BacktestOfTopics(OfflinePolicy(), plan), lines, step)
    assert in_order(found) == in_order(shared)
    subjects = {e["subject"] for e in found if e["subject"].startswith("partition/")}
    assert subjects <= {"partition/0", *(f"partition/{name}" for name in NAMES.values())}


def test_a_silent_partition_of_a_tenant_is_told_by_its_topic():
    plan = BacktestPlan(fine_ms=None)
    logs = (random_log(seed, 2) for seed in range(6))
    events = [e for log in logs for e in told(BacktestOfTopics(OfflinePolicy(), plan), log, 500)]
    subjects = {event["subject"] for event in events}
    assert {"partition/0", "partition/telemetry.acme/0"} <= subjects
    assert "partition/1" not in subjects
