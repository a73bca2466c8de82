"""How far the offline job has come, as Flink tells: its own gauges, read over REST."""

import time
from dataclasses import dataclass
from typing import Any

from jobs.flink_cluster import ask_flink
from jobs.settings import Settings
from schemas.metrics import BLIND_PARTITIONS, INPUT_CLOCK, WAITING, operator_name

OPERATOR = "watch fleet"
METRIC_PREFIX = "watch_fleet."
ASKED_MAX_TIMES = 6
ASKED_AGAIN_AFTER_S = 0.5
"""Flink gathers metrics when somebody asks: the first answers may be empty."""


@dataclass(frozen=True)
class EngineProgress:
    """What the fleet stage says of itself.

    Args:
        settled_s: append time up to which the input is settled, UTC; -1 before any input.
        blind_partition_count: partitions that are silent while others run on.
        waiting_count: transitions found and not yet told.
    """

    settled_s: int
    blind_partition_count: int
    waiting_count: int

    def line(self, now_s: float) -> str:
        """Return one line for a person.

        >>> EngineProgress(1_790_000_000, 1, 7).line(1_790_000_004.2)
        'offline job: input settled 4 s ago, 1 blind partitions, 7 transitions wait'
        """
        settled = (
            f"settled {now_s - self.settled_s:.0f} s ago" if self.settled_s >= 0 else "awaited"
        )
        return (
            f"offline job: input {settled}, {self.blind_partition_count} blind partitions, "
            f"{self.waiting_count} transitions wait"
        )


def engine_progress(settings: Settings) -> EngineProgress | None:
    """Return the progress of the offline job; None while it tells nothing.

    Raises:
        Unavailable: the cluster does not answer.
    """
    vertex = _vertex(settings)
    if vertex is None:
        return None
    names = [operator_name(metric) for metric in (INPUT_CLOCK, BLIND_PARTITIONS, WAITING)]
    path = f"{vertex}/subtasks/metrics?get={','.join(METRIC_PREFIX + name for name in names)}"
    for _ in range(ASKED_MAX_TIMES):
        found = _values(settings, path)
        if len(found) == len(names):
            return EngineProgress(*(found[name] for name in names))
        time.sleep(ASKED_AGAIN_AFTER_S)
    return None


def _vertex(settings: Settings) -> str | None:
    """Return the REST path of the newest running fleet stage."""
    jobs = ask_flink(settings, "/jobs/overview")["jobs"]
    running = [job for job in jobs if job["state"] == "RUNNING"]
    for job in sorted(running, key=lambda job: job["start-time"], reverse=True):
        for vertex in ask_flink(settings, f"/jobs/{job['jid']}")["vertices"]:
            if OPERATOR in vertex["name"]:
                return f"/jobs/{job['jid']}/vertices/{vertex['id']}"
    return None


def _values(settings: Settings, path: str) -> dict[str, int]:
    answer: list[dict[str, Any]] = ask_flink(settings, path)  # type: ignore[assignment]  # figures come as a list
    return {figure["id"].removeprefix(METRIC_PREFIX): int(figure["max"]) for figure in answer}
