"""The faults: each does the harm, and whatever an operator has to do after it.

What heals by itself is left alone.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from jobs import aggregate_job, offline_job
from jobs.flink_cluster import live_jobs
from jobs.job_stop import stop_jobs
from jobs.settings import Settings
from tests.chaos.committed_reader import RecoveryWatch
from tests.chaos.victims import Victims

CHECKPOINT_ATTEMPTS = 5
AGGREGATE, OFFLINE = aggregate_job.JOB_NAME, offline_job.JOB_NAME

Strike = Callable[[Victims, random.Random, RecoveryWatch], None]


@dataclass(frozen=True)
class Fault:
    """One fault of the table.

    Args:
        text: what happens.
        healed_by: who makes it good.
        strike: does it; returns when nothing more has to be done, recovered or not.
    """

    text: str
    healed_by: str
    strike: Strike


def _kill_worker(victims: Victims, draw: random.Random, watch: RecoveryWatch) -> None:
    worker = victims.worker(AGGREGATE)
    _wait_for_any_moment(victims, draw)
    watch.strike()
    worker.kill()


def _kill_both_workers(victims: Victims, draw: random.Random, watch: RecoveryWatch) -> None:
    workers = [victims.worker(name) for name in (AGGREGATE, OFFLINE)]
    _wait_for_any_moment(victims, draw)
    watch.strike()
    for worker in workers:
        worker.kill()


def _kill_in_checkpoint(victims: Victims, _: random.Random, watch: RecoveryWatch) -> None:
    for _attempt in range(CHECKPOINT_ATTEMPTS):
        worker = victims.worker(AGGREGATE)
        checkpoint = victims.begun_checkpoint(AGGREGATE)
        worker.kill()
        watch.strike()
        if not victims.completes(checkpoint):
            return
        watch.wait_until_recovered()  # it was complete before the kill
    raise AssertionError(f"{CHECKPOINT_ATTEMPTS} checkpoints were complete before the kill")


def _kill_task_manager(victims: Victims, draw: random.Random, watch: RecoveryWatch) -> None:
    _wait_for_any_moment(victims, draw)
    watch.strike()
    victims.kill("taskmanager")
    victims.start_task_manager()


def _kill_flink(victims: Victims, draw: random.Random, watch: RecoveryWatch) -> None:
    _wait_for_any_moment(victims, draw)
    watch.strike()
    victims.kill("jobmanager", "taskmanager")
    victims.start_flink()
    victims.submit(victims.settings)


def _restart_from_savepoint(victims: Victims, _: random.Random, watch: RecoveryWatch) -> None:
    _stop_and_submit(victims, victims.settings, watch)


def _rescale(victims: Victims, _: random.Random, watch: RecoveryWatch) -> None:
    wider = victims.settings.flink.model_copy(update={"parallelism": 2})
    _stop_and_submit(victims, victims.settings.model_copy(update={"flink": wider}), watch)
    assert victims.parallelism(AGGREGATE) == 2
    watch.wait_until_recovered()
    _stop_and_submit(victims, victims.settings, watch)
    assert victims.parallelism(AGGREGATE) == 1


def _stop_and_submit(victims: Victims, settings: Settings, watch: RecoveryWatch) -> None:
    watch.strike()
    stop_jobs(victims.settings)
    assert not live_jobs(victims.settings)
    watch.ignore_results_until_now()  # the savepoint has committed what was written before it
    victims.submit(settings)


def _wait_for_any_moment(victims: Victims, draw: random.Random) -> None:
    """Let a drawn part of the time between two checkpoints pass: the fault's moment is its seed."""
    time.sleep(draw.uniform(0, victims.settings.flink.checkpoint_interval_ms / 1000))


FAULTS = {
    "worker": Fault("kill -9 of a Python worker mid-window", "Flink", _kill_worker),
    "checkpoint": Fault(
        "kill -9 of a Python worker during a checkpoint", "Flink", _kill_in_checkpoint
    ),
    "workers": Fault("kill -9 of the Python workers of both jobs", "Flink", _kill_both_workers),
    "taskmanager": Fault("kill -9 of the task manager", "started again", _kill_task_manager),
    "cluster": Fault(
        "kill -9 of job and task manager", "started again, `fleetpulse submit`", _kill_flink
    ),
    "savepoint": Fault(
        "stop with savepoint, submit", "`fleetpulse submit`", _restart_from_savepoint
    ),
    "rescale": Fault("rescale 1 -> 2 -> 1", "`fleetpulse submit`, twice", _rescale),
}
