r"""The highest input rate that a running engine keeps up with, by a binary search.

    lag, in seconds of input
      |          /  not kept: grows     A rate is kept when the slowest reader's lag, the median
      |   __/\__/                       of the last third of the window, is hardly above that of
      |  /     \__/\___  kept            the first third.

Messages are prepared before a rate is tried, so that the sender only hands them on.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.fleet import SimulatedClock, build_fleet
from benchmarks.fleet_faults import NO_FAULTS, FaultScript
from benchmarks.fleet_messages import FleetEncoder, Message
from benchmarks.fleet_schedule import transmissions
from benchmarks.fleet_topics import connected_producer, registered_schema_id
from benchmarks.machine import load_1_min
from benchmarks.prepared_log import HOUR_MS, LogPlan, produced
from benchmarks.reader_lags import largest_lag
from jobs.settings import Settings
from schemas.topics import Topic, topic_name

WARM_UP_S = 15.0
"""Three checkpoints: until a rate shows in the offsets that readers commit."""
TURN_S = 0.05
LOOK_INTERVAL_S = 1.0
GROWTH_MAX_RATIO = 0.03
"""Of the window: what a lag may grow and the rate still count as kept; checkpoints make it jump."""
GROWTH_LEAST_S = 2.0
CATCH_UP_MAX_S = 600.0
CAUGHT_UP_MESSAGES = 2_000
LOWEST_RATIO = 0.25
"""Of the drain rate: a search begins between this and all of it."""
MINUTE_S = 60
SPAN_MS = 5_000


@dataclass(frozen=True)
class Search:
    """How a rate is searched.

    Args:
        device_count: of the fleet that sends.
        seed: of the fleet.
        window_s: how long a rate must be kept.
        steps: rates that are tried.
    """

    device_count: int
    seed: int
    window_s: float
    steps: int


@dataclass(frozen=True)
class Trial:
    """One rate that was tried.

    Args:
        points_per_min: what was really sent in the window.
        growth_s: how much the lag grew, in seconds of input.
        is_kept: whether that is little.
        load: of the machine.
    """

    points_per_min: float
    growth_s: float
    is_kept: bool
    load: float


def growth_s(lags: Sequence[float], messages_per_s: float) -> float:
    """Return how much a lag grew from the first to the last third of a window, s of input.

    >>> growth_s([100, 100, 100, 200, 300, 300], messages_per_s=100)
    2.0
    """
    third = len(lags) // 3
    assert third > 0, "too few looks at the lag"
    return (median(lags[-third:]) - median(lags[:third])) / messages_per_s


def is_kept(grown_s: float, window_s: float) -> bool:
    """Say whether a lag that grew so much has not grown.

    >>> is_kept(6.0, window_s=300), is_kept(6.0, window_s=60)
    (True, False)
    """
    return grown_s <= max(GROWTH_LEAST_S, GROWTH_MAX_RATIO * window_s)


def highest_rate(settings: Settings, search: Search, drained_per_min: float) -> dict[str, Any]:
    """Search the highest rate that is kept, in points a minute.

    Args:
        settings: of a stack in which everything runs and nobody is behind.
        search: how.
        drained_per_min: the rate of a drain, which no rate can be above.
    """
    low, high, trials = LOWEST_RATIO * drained_per_min, drained_per_min, []
    sender = Sender(settings, search)
    for _ in range(search.steps):
        trial = sender.attempt((low + high) / 2)
        trials.append(trial)
        low, high = (trial.points_per_min, high) if trial.is_kept else (low, trial.points_per_min)
    kept = [trial.points_per_min for trial in trials if trial.is_kept]
    return {
        "sustained_points_per_min": round(max(kept)) if kept else None,
        "not_kept_points_per_min": round(high),
        "window_s": search.window_s,
        "trials": [vars(trial) for trial in trials],
    }


class Sender:
    """Sends the fleet at a rate, event time going on from trial to trial.

    Args:
        settings: of a running stack.
        search: names the fleet and the window.
    """

    def __init__(self, settings: Settings, search: Search) -> None:
        self._settings, self._window_s = settings, search.window_s
        plan = LogPlan(search.device_count, 1, search.seed, has_heartbeats=True)
        self._script = FaultScript(build_fleet(plan.fleet()), NO_FAULTS)
        # Another beginning gives other boots, so nothing is a copy of the backlog.
        clock = SimulatedClock(int(time.time()) * 1000 - 12 * HOUR_MS)
        schema_id = registered_schema_id(settings, Topic.TELEMETRY)
        self._encoder = FleetEncoder(self._script, clock, schema_id)
        self._producer = connected_producer(settings)
        self._topic = topic_name(Topic.TELEMETRY, settings.kafka.topic_prefix)
        self._messages = self._prepared()

    def attempt(self, points_per_min: float) -> Trial:
        """Send at a rate for the warm-up and the window, then let the readers catch up."""
        points_per_message = 50 / 5
        per_s = points_per_min / MINUTE_S / points_per_message
        count = round(per_s * (WARM_UP_S + self._window_s))
        waiting = [next(self._messages) for _ in range(count)]
        lags, sent_s = self._send(waiting, per_s)
        grown_s = growth_s(lags, per_s)
        points = sum(message.point_count for message in waiting)
        trial = Trial(
            round(points / sent_s * MINUTE_S), round(grown_s, 2),
            is_kept(grown_s, self._window_s), load_1_min(),
        )  # fmt: skip
        print(trial, flush=True)
        self._catch_up()
        return trial

    def _send(self, waiting: Sequence[Message], per_s: float) -> tuple[list[float], float]:
        """Send in the pace of the wall clock; return the lags in the window, and the seconds."""
        began_s, sent, look_at_s = time.monotonic(), 0, WARM_UP_S
        lags: list[float] = []
        while sent < len(waiting):
            elapsed_s = time.monotonic() - began_s
            due = min(len(waiting), round(per_s * elapsed_s))
            for message in waiting[sent:due]:
                produced(self._producer, self._topic, message.value, message.key)
            sent = due
            self._producer.poll(0)
            if elapsed_s >= look_at_s:
                lags.append(largest_lag(self._settings))
                look_at_s += LOOK_INTERVAL_S
            time.sleep(TURN_S)
        return lags, time.monotonic() - began_s

    def _catch_up(self) -> None:
        give_up_at_s = time.monotonic() + CATCH_UP_MAX_S
        while largest_lag(self._settings) > CAUGHT_UP_MESSAGES:
            assert time.monotonic() < give_up_at_s, "the readers do not catch up"
            time.sleep(LOOK_INTERVAL_S)

    def _prepared(self) -> Iterator[Message]:
        start_ms = 0
        while True:
            sent = transmissions(self._script, start_ms, start_ms + SPAN_MS)
            yield from self._encoder.messages(self._encoder.content(sent))
            start_ms += SPAN_MS
