"""The demo: the whole engine on this machine, with a simulated fleet, live.

    empty folder -> stack -> simulator -> live view ... asked to end, or the time is over
    clock and simulator end -> everything sent is loaded -> report -> stack ends

The clock ends with the simulator: otherwise the fleet would look silent while the last points load.
"""

import shlex
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.live import Live

from jobs.demo_folder import prepare_demo_folder
from jobs.demo_report import (
    SentPoints,
    account_table,
    memory_line,
    read_books,
    stored_lines,
    stored_report,
    verdict,
)
from jobs.end_request import EndRequest
from jobs.live_figures import Snapshot
from jobs.live_sources import LiveSources, ask_running
from jobs.live_view import live_view, status_line
from jobs.local_stack import LocalStack
from jobs.picture import svg_picture
from jobs.ports import require_free_ports
from jobs.settings import Settings
from jobs.settings_file import settings_path
from jobs.stack_status import group_lags
from jobs.stored_figures import stored_figures
from schemas.errors import FleetpulseError, Unavailable
from schemas.topics import Topic, topic_name

VIEW_INTERVAL_S = 1.0
LINE_INTERVAL_S = 5.0
LOADED_TIMEOUT_S = 60.0
LOADED_POLL_S = 1.0
EXIT_INTERRUPTED = 130
WAITED_TOPICS = (Topic.TELEMETRY, Topic.ALERTS, Topic.DEVICE_STATUS)
PICTURE_WIDTH, PICTURE_HEIGHT = 100, 34

DRIFT_SQL = (
    "SELECT window_start, model_version, sum(count) AS points,"
    " sum(mean * count) / points AS confidence, min(min) AS lowest FROM v_group_1m"
    " WHERE metric = 'prediction_confidence_ratio' AND scope = 'group'"
    " GROUP BY ALL ORDER BY window_start DESC, model_version LIMIT 12"
)
"""One model version of the simulated fleet loses confidence: this shows it."""


@dataclass(frozen=True)
class DemoOptions:
    """What was asked for.

    Args:
        seconds: how long the fleet sends; None: until somebody asks to end.
        picture: file for a picture of the last live view; None: no picture.
    """

    seconds: float | None = None
    picture: Path | None = None


def run_demo(settings: Settings, options: DemoOptions) -> int:
    """Run the demo and return the exit code; whatever happens, nothing is left running.

    Raises:
        SettingsError: a port is taken, Java or a jar is missing, the folder is not a demo's.
        Unavailable: a part did not start.
    """
    with EndRequest().installed() as end:
        console = Console(highlight=False)
        require_free_ports(settings.stack)
        prepare_demo_folder(settings.stack.data_dir)
        demo = Demo(settings, options, console, end)
        try:
            with end.interrupting():
                demo.start()
            demo.show()
            end.begin_end()
            demo.finish()
        except KeyboardInterrupt:
            console.print("asked to end before everything was started; ending what was")
            return EXIT_INTERRUPTED
        finally:
            demo.stop()
        for line in _closing_lines(settings):
            console.print(line, soft_wrap=True)
    return 0


class Demo:
    """One run of the demo.

    Args:
        settings: of the stack and of the fleet.
        options: how long, and whether to draw a picture.
        console: where everything is shown.
        end: says when to end.
    """

    def __init__(
        self, settings: Settings, options: DemoOptions, console: Console, end: EndRequest
    ) -> None:
        self._settings, self._options = settings, options
        self._console, self._end = console, end
        self._stack = LocalStack(settings, report=console.print)
        self._sources = LiveSources(settings, _title(settings))
        self._started_s = time.monotonic()
        self._fleet_started_s = self._started_s

    def start(self) -> None:
        """Start the stack and the simulated fleet."""
        self._console.print(f"starting in {self._settings.stack.data_dir.resolve()}")
        self._stack.start()
        self._stack.start_module("simulator", "benchmarks.simulator")
        self._fleet_started_s = time.monotonic()

    def show(self) -> None:
        """Show the live view until the end is asked for or the time is over."""
        with self._sources:
            if self._console.is_terminal:
                self._show_view()
            else:
                self._show_lines()
            if self._options.picture is not None:
                view = live_view(self._snapshot(), PICTURE_HEIGHT)
                picture = svg_picture(view, "fleetpulse demo", PICTURE_WIDTH)
                self._options.picture.write_text(picture, encoding="utf-8")

    def _show_view(self) -> None:
        with Live(console=self._console, screen=True, auto_refresh=False) as live:
            for snapshot in self._snapshots(VIEW_INTERVAL_S):
                live.update(live_view(snapshot, self._console.height), refresh=True)

    def _show_lines(self) -> None:
        for snapshot in self._snapshots(LINE_INTERVAL_S):
            self._console.print(status_line(snapshot), soft_wrap=True)

    def _snapshots(self, interval_s: float) -> Iterator[Snapshot]:
        while True:
            left_s = self._remaining_s()
            if left_s is not None and left_s <= 0:
                return
            if self._end.asked.wait(interval_s if left_s is None else min(interval_s, left_s)):
                return
            yield self._snapshot()

    def _snapshot(self) -> Snapshot:
        return self._sources.snapshot(self._remaining_s())

    def _remaining_s(self) -> float | None:
        if self._options.seconds is None:
            return None
        return self._fleet_started_s + self._options.seconds - time.monotonic()

    def finish(self) -> None:
        """End the fleet, wait until all it sent is loaded, and say what was stored."""
        self._console.print("ending the fleet; what it has sent is still loaded")
        self._stack.stop_process("clock")
        self._stack.stop_process("simulator")
        sent = read_books(self._stack.run_dir)
        if sent is None:
            log = self._stack.log_dir / "simulator.log"
            self._console.print(f"[red]the simulator left no books; see its log {log}[/]")
        else:
            self._wait_until_loaded(sent)
        try:
            self._report(sent)
        except FleetpulseError as error:
            self._console.print(f"[red]no report: {error}[/]", soft_wrap=True)

    def _wait_until_loaded(self, sent: SentPoints) -> None:
        give_up_s = time.monotonic() + LOADED_TIMEOUT_S
        while missing := self._missing(sent):
            if time.monotonic() >= give_up_s or self._end.hurried.wait(LOADED_POLL_S):
                waited = "as asked" if self._end.hurried.is_set() else f"{LOADED_TIMEOUT_S:.0f} s"
                line = f"[yellow]not everything is loaded, gave up ({waited}): {missing}[/]"
                self._console.print(line, soft_wrap=True)
                return

    def _missing(self, sent: SentPoints) -> str | None:
        """Say what has not been read or loaded yet; None when all has."""
        kafka = self._settings.kafka
        # Not windows: the marks of transactions count as messages there; the points tell.
        topics = {topic_name(topic, kafka.topic_prefix) for topic in WAITED_TOPICS}
        try:
            stored = stored_figures(lambda sql: ask_running(self._settings, sql))
            lags = [lag for lag in group_lags(kafka) if lag.topic in topics and lag.lag > 0]
        except Unavailable as error:
            return str(error)  # it may come back; the wait is bounded
        missing = [f"{lag.group} is {lag.lag:,} messages behind in {lag.topic}" for lag in lags]
        if stored.points.total < sent.points:
            missing.append(f"{sent.points - stored.points.total:,} points are in no table")
        return "; ".join(missing) or None

    def _report(self, sent: SentPoints | None) -> None:
        stored = stored_report(lambda sql: ask_running(self._settings, sql))
        self._console.print()
        if sent is not None:
            self._console.print(account_table(sent, stored))
            self._console.print(verdict(sent, stored), soft_wrap=True)
        self._console.print()
        before_s = self._fleet_started_s - self._started_s
        first = {"window": self._sources.first_window_s, "alert": self._sources.first_alert_s}
        for line in (
            *stored_lines(stored),
            *(_first_line(name, after_s, before_s) for name, after_s in first.items()),
            memory_line(self._sources.peak_rss_bytes),
        ):
            self._console.print(line, soft_wrap=True)

    def stop(self) -> None:
        """End every process."""
        self._end.begin_end()
        self._console.print("ending the stack")
        self._stack.stop()


def _first_line(name: str, after_s: float | None, before_s: float) -> str:
    if after_s is None:
        return f"first {name}: none could be queried yet"
    return (
        f"first {name} could be queried {after_s:.0f} s after the fleet was started,"
        f" {before_s + after_s:.0f} s after the demo was"
    )


def _title(settings: Settings) -> str:
    fleet = settings.fleet
    return f"{fleet.device_count:,} devices, {fleet.speed:g} times as fast, seed {fleet.seed}"


def _closing_lines(settings: Settings) -> Iterator[str]:
    yield "nothing is left running; the tables stay. Three questions to try:"
    for question in ("fleet", "alerts", f'"{DRIFT_SQL}"'):
        yield f"  {_command(settings)} query {question}"


def _command(settings: Settings) -> str:
    """Return the command line that asks the tables of this demo from the folder we are in."""
    program = Path(sys.executable).parent / "fleetpulse"
    here = Path.cwd()
    name = program.relative_to(here) if program.is_relative_to(here) else program
    defaults = Settings.model_construct()
    is_default = (settings.stack.data_dir, settings.clickhouse) == (
        defaults.stack.data_dir,
        defaults.clickhouse,
    )
    choice = [] if is_default else ["--settings", str(settings_path(settings))]
    return shlex.join([str(name), *choice])
