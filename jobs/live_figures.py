"""What the live view shows: figures of each part, readings that may be old, and rates.

Nothing here reads anything: values and times are given.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from jobs.process_records import ProcessStatus
from jobs.stack_status import GroupLag

SEVERITIES = ("emergency", "critical", "warning", "info")
"""The worst first."""
OFFLINE_STATUSES = ("warning", "critical")
RATE_SPAN_S = 20.0
"""Results become visible in steps, with each checkpoint: a rate spans several of them."""

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class PointCounts:
    """What became of the points that the engine has read and stored."""

    aggregated: int = 0
    duplicate: int = 0
    nan: int = 0
    out_of_range: int = 0

    @property
    def total(self) -> int:
        """Return all points that are accounted for."""
        return self.aggregated + self.duplicate + self.nan + self.out_of_range


@dataclass(frozen=True)
class AlertLine:
    """One alert event or open alert, as a line of the view.

    Args:
        at_ms: when the event took place; of an open alert when it became due.
        status: firing, resolved or info.
        severity: one of `SEVERITIES`.
        subject: such as `device/edge-000007`.
        summary: one sentence for a person.
    """

    at_ms: int
    status: str
    severity: str
    subject: str
    summary: str = ""


@dataclass(frozen=True)
class StoredFigures:
    """What the tables say, from one question to ClickHouse."""

    points: PointCounts = PointCounts()
    device_counts: Mapping[str, int] = field(default_factory=dict)
    """Devices by status."""
    open_counts: Mapping[str, int] = field(default_factory=dict)
    """Open alerts by severity."""
    open_alerts: tuple[AlertLine, ...] = ()
    """The worst first, of one severity the newest first."""
    events: tuple[AlertLine, ...] = ()
    """The newest first."""
    event_count: int = 0


@dataclass(frozen=True)
class KafkaFigures:
    """What the broker says.

    Args:
        message_count: messages in `telemetry`, clock ticks among them.
        lags: of each group of readers, by committed offsets.
    """

    message_count: int
    lags: tuple[GroupLag, ...]


@dataclass(frozen=True)
class FlinkFigures:
    """The state of each job, by its name."""

    job_states: Mapping[str, str]


@dataclass(frozen=True)
class ProcessFigures:
    """What each process uses; processors are counted in cores, None while unknown."""

    processes: tuple[ProcessStatus, ...]
    cores_of_name: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Reading(Generic[T_co]):
    """The last value of one part, and why there is no newer one.

    Args:
        value: None when there was none yet.
        away: one line, while the part does not answer.
    """

    value: T_co | None = None
    away: str | None = None


@dataclass(frozen=True)
class Snapshot:
    """Everything that one picture of the live view shows.

    Args:
        title: names the fleet.
        flink_url: address of Flink's page.
        elapsed_s: since the fleet started to send.
        remaining_s: until the demo ends by itself; None: it runs until it is asked to end.
        points_per_s: aggregated and loaded; None while unknown.
        messages_per_s: appended to `telemetry`; None while unknown.
    """

    title: str
    flink_url: str
    elapsed_s: float
    remaining_s: float | None = None
    stored: Reading[StoredFigures] = Reading()
    kafka: Reading[KafkaFigures] = Reading()
    flink: Reading[FlinkFigures] = Reading()
    processes: Reading[ProcessFigures] = Reading()
    points_per_s: float | None = None
    messages_per_s: float | None = None


class RateMeter:
    """The rate of a counter that grows in steps.

    It is measured from step to step, so that a counter that moves every 5 s does not look idle in
    between.

        >>> meter = RateMeter()
        >>> for second, count in enumerate([0, 0, 100, 100, 200]):
        ...     meter.observe(float(second), count)
        >>> meter.per_s(now_s=5.0)
        50.0
        >>> meter.per_s(now_s=40.0)
        0.0
    """

    def __init__(self, span_s: float = RATE_SPAN_S) -> None:
        self._span_s = span_s
        self._steps: deque[tuple[float, float]] = deque()
        self._first_s: float | None = None

    def observe(self, at_s: float, count: float) -> None:
        """Take one reading; readings come in the order of time."""
        if self._first_s is None:
            self._first_s = at_s
            # Where a counter starts is no step, unless it starts at nothing.
            if count > 0:
                self._steps.append((at_s, count))
            return
        last = self._steps[-1][1] if self._steps else 0
        if count < last:  # a restarted process counts from the start again
            self._steps.clear()
        if count != last:
            self._steps.append((at_s, count))
        while len(self._steps) > 2 and self._steps[0][0] < at_s - self._span_s:  # noqa: PLR2004 - a rate needs two
            self._steps.popleft()

    def per_s(self, now_s: float) -> float | None:
        """Return the rate, 0 when nothing moved for the span; None before the second step."""
        if self._first_s is None:
            return None
        newest_s = self._steps[-1][0] if self._steps else self._first_s
        if now_s - newest_s > self._span_s:
            return 0.0
        if len(self._steps) < 2:  # noqa: PLR2004 - a rate needs two
            return None
        (first_s, first), (last_s, last) = self._steps[0], self._steps[-1]
        return (last - first) / (last_s - first_s)


def lag_of(lags: Iterable[GroupLag]) -> dict[str, int]:
    """Sum the lag of each group over its topics.

    >>> lag_of([GroupLag("a", "x", 1), GroupLag("a", "y", 2)])
    {'a': 3}
    """
    totals: dict[str, int] = {}
    for lag in lags:
        totals[lag.group] = totals.get(lag.group, 0) + lag.lag
    return totals
