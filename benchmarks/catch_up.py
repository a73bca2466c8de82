"""How fast the engine reads what has gathered while it was down.

contacts    only the offline job, nothing else reads or sends
outage      the whole stack was up but the jobs; the fleet sends on while all jobs catch up
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from benchmarks.backlog_marks import Marks, fill_backlog
from benchmarks.machine import cpu_shares, load_1_min
from benchmarks.submit_chosen import submit_chosen
from benchmarks.topic_tap import TopicTap
from jobs.aggregate_job import JOB_NAME as AGGREGATE_JOB
from jobs.flink_cluster import are_tasks_running
from jobs.loader_service import GROUP_ID as LOADER
from jobs.local_stack import LocalStack
from jobs.offline_job import JOB_NAME as OFFLINE_JOB
from jobs.settings import Settings
from jobs.stack_status import group_lags
from jobs.submit import submit_from_child
from schemas.topics import Topic, topic_name

FIRST_MARK = 1
"""In the first minutes every device is new, and workers and the Java compiler warm up."""
HOUR_MIN = 60
SIMULATOR = "simulator"
READY_S = 120.0
DRAIN_MAX_S = 300.0
POLL_INTERVAL_S = 0.5
CAUGHT_UP_S = 10.0
"""Offsets are committed with checkpoints: a group that is less input behind has caught up."""


def measure_contacts(stack: LocalStack, minutes: int) -> dict[str, Any]:
    """Let the offline job alone read a backlog; return contacts a second.

    Args:
        stack: Kafka, registry, Flink and clock, nothing sent yet.
        minutes: of the fleet's messages.

    Raises:
        AssertionError: a mark was not reached.
    """
    with _filled(stack, minutes) as (marks, counts, tap):
        began_s, before = time.monotonic(), stack.processes()
        running_s = _start(stack.settings, lambda: submit_chosen(stack.settings, [OFFLINE_JOB]))
        _wait(tap, lambda: len(marks.reached_ms) == minutes, "marks")
        elapsed_s = time.monotonic() - began_s
        cpu = cpu_shares(before, stack.processes(), elapsed_s)
    reached_ms = [marks.reached_ms[mark] for mark in marks.device_ids]
    assert reached_ms == sorted(reached_ms), "marks were reached in another order"
    contacts = counts[-1] - counts[FIRST_MARK]
    took_s = (reached_ms[-1] - reached_ms[FIRST_MARK]) / 1000
    assert took_s > 0, "the whole backlog is one block: more devices or minutes are needed"
    return {
        "contacts": contacts,
        "seconds": round(took_s, 2),
        "contacts_per_s": round(contacts / took_s),
        "per_minute_of_fleet_s": _steps_s(reached_ms),
        "all_contacts": counts[-1],
        "jobs_running_after_s": round(running_s, 1),
        "all_done_after_s": round(elapsed_s, 1),
        "cpu_share": cpu,
        "load_1_min": load_1_min(),
    }


def measure_outage(stack: LocalStack, minutes: int) -> dict[str, Any]:
    """Let all jobs read a backlog while the fleet sends on; return how long it takes.

    Of the jobs the aggregate and the offline job read telemetry, each for itself.

    Args:
        stack: everything but the jobs, nothing sent yet.
        minutes: of the outage.

    Raises:
        AssertionError: it was not read in time.
    """
    settings = stack.settings
    with _filled(stack, minutes) as (marks, counts, tap):
        _wait(tap, lambda: _lag(settings, LOADER) < _contacts_in(settings, CAUGHT_UP_S), LOADER)
        stack.start_module(SIMULATOR, "benchmarks.simulator")
        stack.wait_until_ready(SIMULATOR, timeout_s=READY_S)
        began_s, before = time.monotonic(), stack.processes()
        running_s = _start(settings, lambda: submit_from_child(settings))
        done_s = _caught_up_after_s(settings, tap)
        cpu = cpu_shares(before, stack.processes(), time.monotonic() - began_s)
        _wait(tap, lambda: len(marks.reached_ms) == minutes, "marks")
    slowest_s = max(done_s.values())
    return {
        "outage_minutes": minutes,
        "backlog": counts[-1],
        "jobs_running_after_s": round(running_s, 1),
        "caught_up_after_s": {name: round(running_s + s, 1) for name, s in done_s.items()},
        "hour_computed_s": round(running_s + slowest_s * HOUR_MIN / minutes, 1),
        "cpu_share": cpu,
        "load_1_min": load_1_min(),
    }


@contextmanager
def _filled(stack: LocalStack, minutes: int) -> Iterator[tuple[Marks, list[int], TopicTap]]:
    """Fill the backlog, and watch for its marks while the block runs."""
    marks = Marks(stack.settings, minutes)
    counts = fill_backlog(stack.settings, marks)
    with TopicTap(stack.settings, Topic.DEVICE_STATUS, marks.on_status) as tap:
        yield marks, counts, tap


def _start(settings: Settings, submit: Callable[[], object]) -> float:
    """Submit jobs; return the seconds until all their tasks ran."""
    began_s = time.monotonic()
    submit()
    while not are_tasks_running(settings):
        assert time.monotonic() < began_s + READY_S, "the jobs do not run"
        time.sleep(POLL_INTERVAL_S)
    return time.monotonic() - began_s


def _caught_up_after_s(settings: Settings, tap: TopicTap) -> dict[str, float]:
    """Return how many seconds each job takes until it is not behind any more."""
    began_s = time.monotonic()
    done_s: dict[str, float] = {}

    def look() -> bool:
        for name in {OFFLINE_JOB, AGGREGATE_JOB} - set(done_s):
            if _lag(settings, name) <= _contacts_in(settings, CAUGHT_UP_S):
                done_s[name] = time.monotonic() - began_s
        return len(done_s) == len((OFFLINE_JOB, AGGREGATE_JOB))

    _wait(tap, look, "both jobs")
    return done_s


def _lag(settings: Settings, group: str) -> float:
    """Return how many messages of telemetry a group is behind; all of them before it commits."""
    topic = topic_name(Topic.TELEMETRY, settings.kafka.topic_prefix)
    lags = [lag for lag in group_lags(settings.kafka) if lag.topic == topic]
    found = [lag.lag for lag in lags if lag.group == f"{settings.kafka.topic_prefix}{group}"]
    return found[0] if found else float("inf")


def _contacts_in(settings: Settings, seconds: float) -> float:
    """Return how many messages the fleet sends in so many seconds: one a device and minute."""
    return settings.fleet.device_count * settings.fleet.speed * seconds / 60


def _steps_s(reached_ms: list[int]) -> list[float]:
    pairs = pairwise(reached_ms)
    return [round((after - before) / 1000, 2) for before, after in pairs]


def _wait(tap: TopicTap, is_done: Callable[[], bool], what: str) -> None:
    give_up_s = time.monotonic() + DRAIN_MAX_S
    while not is_done():
        tap.check()
        assert time.monotonic() < give_up_s, f"not done in time: {what}"
        time.sleep(POLL_INTERVAL_S)
