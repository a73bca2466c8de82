"""Reads the figures of a running stack, each part in a thread of its own.

A part that is away, or slow, delays only its own figures: the view keeps the last ones and says so.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

import polars as pl

from jobs.clickhouse_settings import query_socket
from jobs.flink_cluster import flink_url, running_jobs
from jobs.live_figures import (
    FlinkFigures,
    KafkaFigures,
    ProcessFigures,
    RateMeter,
    Reading,
    Snapshot,
    StoredFigures,
)
from jobs.query import frame_of, run_query
from jobs.settings import Settings
from jobs.stack_end import stack_processes
from jobs.stack_status import group_lags, topic_ends
from jobs.stored_figures import stored_figures
from schemas.errors import FleetpulseError
from schemas.topics import Topic, topic_name
from sinks.query_endpoint import ask
from sinks.read_only_endpoint import Question

STORED_INTERVAL_S = 1.0
KAFKA_INTERVAL_S = 2.0
PROCESS_INTERVAL_S = 2.0
FLINK_INTERVAL_S = 5.0
CORES_SPAN_S = 6.0
THREADS = 4

T = TypeVar("T")


class PolledPart(Generic[T]):
    """Reads one part again and again, in a thread of its own.

    Args:
        read: returns the value; raises FleetpulseError while the part is away.
        interval_s: the pause between two readings; a slow part gets as long a pause as it took.
    """

    def __init__(self, read: Callable[[], T], interval_s: float) -> None:
        self._read, self._interval_s = read, interval_s
        self.reading: Reading[T] = Reading()

    def poll(self, stop: threading.Event) -> None:
        """Read until stopped."""
        while not stop.is_set():
            began_s = time.monotonic()
            try:
                self.reading = Reading(self._read())
            except FleetpulseError as error:
                self.reading = Reading(self.reading.value, away=str(error))
            stop.wait(max(self._interval_s, time.monotonic() - began_s))


class LiveSources:
    """The figures of one running stack, polled while the block runs.

    Args:
        settings: of the stack.
        title: names what is shown.
    """

    def __init__(self, settings: Settings, title: str) -> None:
        self._settings, self._title = settings, title
        self._stop = threading.Event()
        self._started_s = time.monotonic()
        self._points, self._messages = RateMeter(), RateMeter()
        self._cores: dict[str, RateMeter] = {}
        self._stored = PolledPart(self._read_stored, STORED_INTERVAL_S)
        self._kafka = PolledPart(self._read_kafka, KAFKA_INTERVAL_S)
        self._flink = PolledPart(lambda: FlinkFigures(running_jobs(settings)), FLINK_INTERVAL_S)
        self._processes = PolledPart(self._read_processes, PROCESS_INTERVAL_S)
        self._pool = ThreadPoolExecutor(max_workers=THREADS)
        self._polls: list[Future[None]] = []
        self.peak_rss_bytes: dict[str, int] = {}
        self.first_window_s: float | None = None
        """Seconds until the first window could be queried, since the fleet started."""
        self.first_alert_s: float | None = None

    def __enter__(self) -> Self:
        """Start to read."""
        self._started_s = time.monotonic()
        self._polls = [
            self._pool.submit(self._stored.poll, self._stop),
            self._pool.submit(self._kafka.poll, self._stop),
            self._pool.submit(self._flink.poll, self._stop),
            self._pool.submit(self._processes.poll, self._stop),
        ]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop to read."""
        self._stop.set()
        self._pool.shutdown()

    def snapshot(self, remaining_s: float | None) -> Snapshot:
        """Return the newest figures; a defect in a reading thread is raised here."""
        for poll in self._polls:
            if poll.done():
                poll.result()
        now_s = time.monotonic()
        return Snapshot(
            title=self._title,
            flink_url=flink_url(self._settings),
            elapsed_s=now_s - self._started_s,
            remaining_s=remaining_s,
            stored=self._stored.reading,
            kafka=self._kafka.reading,
            flink=self._flink.reading,
            processes=self._processes.reading,
            points_per_s=self._points.per_s(now_s),
            messages_per_s=self._messages.per_s(now_s),
        )

    def _read_stored(self) -> StoredFigures:
        figures = stored_figures(lambda sql: ask_running(self._settings, sql))
        now_s = time.monotonic()
        elapsed_s = now_s - self._started_s
        self._points.observe(now_s, figures.points.aggregated)
        if self.first_window_s is None and figures.points.total > 0:
            self.first_window_s = elapsed_s
        if self.first_alert_s is None and figures.event_count > 0:
            self.first_alert_s = elapsed_s
        return figures

    def _read_kafka(self) -> KafkaFigures:
        kafka = self._settings.kafka
        telemetry = topic_name(Topic.TELEMETRY, kafka.topic_prefix)
        ends = {end.name: end.end_offset for end in topic_ends(kafka)}
        messages = ends.get(telemetry, 0)
        self._messages.observe(time.monotonic(), messages)
        return KafkaFigures(messages, tuple(group_lags(kafka)))

    def _read_processes(self) -> ProcessFigures:
        statuses = stack_processes(self._settings)
        now_s = time.monotonic()
        for status in statuses:
            meter = self._cores.setdefault(status.name, RateMeter(CORES_SPAN_S))
            meter.observe(now_s, status.cpu_seconds)
            peak = self.peak_rss_bytes.get(status.name, 0)
            self.peak_rss_bytes[status.name] = max(peak, status.rss_bytes)
        cores = {name: meter.per_s(now_s) for name, meter in self._cores.items()}
        return ProcessFigures(tuple(statuses), cores)


def ask_running(settings: Settings, sql: str) -> pl.DataFrame:
    """Ask who holds the tables while the stack runs, and never open the directory ourselves.

    With the directory open here, a loader that restarts would find it locked.

    Raises:
        QueryRefused: the statement is wrong.
        Unavailable: nobody answers.
    """
    if settings.clickhouse.interface != "chdb":
        return run_query(settings, sql)
    return frame_of(ask(query_socket(settings), Question(sql)))
