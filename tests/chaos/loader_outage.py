"""What becomes of the loader while ClickHouse is away for ten minutes and the load goes on.

    python -m tests.chaos.loader_outage                     ten minutes, about a quarter of an hour
    python -m tests.chaos.loader_outage --seconds 60 --rows-per-s 5000

    load      |--- 20,000 rows/s and alerts -|   alerts only
    engine    |- before -| away              | catches up -> after
    memory    |      sampled each second, all the while        |

ClickHouse is an HTTP front over the embedded engine (`tests/http_front`); broker and registry are
real. Prints a table; exit code 1 when a row was lost or duplicated, or memory grew without bound.
"""

import argparse
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from jobs.loader_status import LoaderStatus, loader_status
from jobs.local_stack import LocalStack, Part
from jobs.ports import free_port_settings
from jobs.settings import Settings
from schemas.errors import Unavailable
from schemas.registry import SchemaRegistry
from sinks.clickhouse_endpoint import open_client
from tests.chaos.steady_load import (
    FLEET_MESSAGES,
    PLACE,
    ROWS_A_MESSAGE,
    WINDOW_MS,
    SteadyLoad,
)
from tests.http_front.running import RunningFront, running_front
from tests.loader_input import START_MS

BEFORE_S, AFTER_S = 40.0, 20.0
READY_TIMEOUT_S = 60.0
CATCH_UP_MAX_S = 1_800.0
SAMPLE_INTERVAL_S = 1.0
GROWTH_MAX_BYTES = 256 * 1024 * 1024
"""A client's queue (64 MiB twice, as it is fetched and as it is handed on) and batches that were
cut (64 MiB of messages): what may come on top of a busy loader, however long the outage."""
MIB = 1024 * 1024
EXIT_TERMINATED = 128 + signal.SIGTERM

LANDED_SQL = """
SELECT place, count(), sum(times) - count(), sum(points) FROM
(
    SELECT substring(device_id, 1, 8) AS place, device_id,
        sum(duplicate_count) AS times, sum(count) AS points
    FROM windows WHERE window_start = fromUnixTimestamp64Milli({start_ms}, 'UTC')
    GROUP BY device_id
)
GROUP BY place"""


@dataclass
class Phase:
    """What was seen of the loader in one stretch of time."""

    name: str
    rss_bytes: list[int] = field(default_factory=list)
    ages_ms: list[float] = field(default_factory=list)
    took_s: float = 0.0
    status: LoaderStatus | None = None

    @property
    def line(self) -> str:
        """Return its row of the table."""
        first, last = self.rss_bytes[0] / MIB, self.rss_bytes[-1] / MIB
        ages = sorted(self.ages_ms) or [float("nan")]
        p99 = ages[int(0.99 * (len(ages) - 1))]
        breaker, lag = (self.status.breaker, self.status.lag) if self.status else ("", "")
        cells = (
            self.name,
            f"{self.took_s:.0f}",
            f"{first:.0f} / {max(self.rss_bytes) / MIB:.0f} / {last:.0f}",
            lag,
            breaker,
            len(self.ages_ms),
            f"{statistics.median(ages):.0f} / {p99:.0f} / {ages[-1]:.0f}",
        )
        return f"| {' | '.join(map(str, cells))} |"


HEADINGS = (
    "phase", "s", "RSS first / max / last MiB", "messages behind", "breaker", "alerts read",
    "their age p50 / p99 / max ms",
)  # fmt: skip


@dataclass(frozen=True)
class Found:
    """What lies in the tables, against what was sent."""

    lost: int
    duplicated: int
    wrong: tuple[str, ...]


class Outage:
    """One run.

    Args:
        stack: of broker and registry.
        front: stands for ClickHouse.
        load: not started yet.
        loader: the process.
    """

    def __init__(
        self, stack: LocalStack, front: RunningFront, load: SteadyLoad, loader: psutil.Process
    ) -> None:
        self._stack = stack
        self._front = front
        self._load = load
        self._loader = loader
        self._client = open_client(front.plain_address())

    def run(self, away_s: float, report: Callable[[str], None]) -> list[Phase]:
        """Suffer the outage and return its phases; each is told as soon as it is over."""
        self._load.start()
        phases = [self._for("before", BEFORE_S)]
        report(phases[-1].line)
        self._front.vanish()
        phases.append(self._for("away", away_s))
        report(phases[-1].line)
        self._load.stop("windows")
        self._front.come_back()
        phases.append(self._until("catches up", self._has_landed))
        report(phases[-1].line)
        self._load.stop("alerts")
        phases.append(self._for("after", AFTER_S))
        report(phases[-1].line)
        self._load.stop("reader")
        return phases

    def _for(self, name: str, seconds: float) -> Phase:
        end_s = time.monotonic() + seconds
        return self._until(name, lambda: time.monotonic() >= end_s)

    def _until(self, name: str, is_over: Callable[[], bool]) -> Phase:
        """Take a sample each second until a phase is over."""
        self._load.watch.taken()
        phase, began_s = Phase(name), time.monotonic()
        while not phase.rss_bytes or not is_over():
            assert time.monotonic() - began_s < CATCH_UP_MAX_S, f"{name}: no end of it"
            phase.rss_bytes.append(self._loader.memory_info().rss)
            time.sleep(SAMPLE_INTERVAL_S)  # the interval of the samples, no condition
        phase.took_s = time.monotonic() - began_s
        phase.ages_ms = self._load.watch.taken()
        phase.status = loader_status(self._stack.settings.stack)
        return phase

    def _has_landed(self) -> bool:
        """Say whether as many windows are stored as were sent; their keys are all different."""
        rows = self._client.query("SELECT toInt64(count()) FROM windows").result_rows
        return bool(rows[0][0] >= self._load.sent.window_messages * ROWS_A_MESSAGE)

    def found(self) -> Found:
        """Compare every row that was sent with what is stored, without FINAL."""
        sent, points = self._load.sent, self._load.template.point_count
        lost = duplicated = 0
        wrong = []
        for first in range(0, sent.window_messages, FLEET_MESSAGES):
            landed = self._landed(START_MS + first // FLEET_MESSAGES * WINDOW_MS)
            for place in range(min(FLEET_MESSAGES, sent.window_messages - first)):
                keys, extra, counted = landed.get(PLACE.format(place), (0, 0, 0))
                lost, duplicated = lost + ROWS_A_MESSAGE - keys, duplicated + extra
                if counted != points:
                    wrong.append(f"message {first + place}: {counted} points of {points}")
        expected = sent.window_messages * points
        for table in ("windows", "windows_1h", "windows_1d"):
            sql = f"SELECT toInt64(sum(count)) FROM {table}"
            if self._client.query(sql).result_rows != [(expected,)]:
                wrong.append(f"{table} does not have {expected} points")
        alerts = "SELECT toInt64(uniqExact(id)), toInt64(count()) FROM alert_events"
        ((unique, rows),) = self._client.query(alerts).result_rows
        return Found(lost + sent.alerts - unique, duplicated + rows - unique, tuple(wrong))

    def _landed(self, start_ms: int) -> dict[str, tuple[int, int, int]]:
        """Return keys, surplus rows and points of each message of one round of the fleet."""
        rows = self._client.query(LANDED_SQL.format(start_ms=start_ms)).result_rows
        return {place: (keys, extra, points) for place, keys, extra, points in rows}


def outage_settings(folder: Path, front: RunningFront) -> Settings:
    """Return the settings of broker, registry and a loader that asks the front."""
    return free_port_settings(
        folder,
        kafka={"partition_count": 2},
        # The rows are of a fixed month, which gets older.
        clickhouse={
            "interface": "http",
            "host": "127.0.0.1",
            "port": front.port,
            "keep_days": (0, 0, 0),
            "keep_points_days": 0,
        },
    )


def run(folder: Path, away_s: float, rows_per_s: float, seed: int) -> list[str]:
    """Print the table of one run and return what was wrong."""
    with ExitStack() as exits:
        front = exits.enter_context(running_front(folder / "front"))
        settings = outage_settings(folder, front)
        stack = exits.enter_context(LocalStack(settings, parts=(Part.KAFKA, Part.REGISTRY)))
        registry = SchemaRegistry(settings.registry.url, settings.registry.timeout_s)
        load = SteadyLoad(settings, registry.register_all(), rows_per_s, seed)
        registry.close()
        record = stack.start_module("loader", "jobs.loader_service")
        stack.wait_until_ready("loader", timeout_s=READY_TIMEOUT_S)
        exits.callback(load.stop_all)
        outage = Outage(stack, front, load, psutil.Process(record.pid))
        print(_row(HEADINGS), _row(["---"] * len(HEADINGS)), sep="\n", flush=True)
        phases = outage.run(away_s, lambda line: print(line, flush=True))
        found, sent = outage.found(), load.sent
        print(
            f"{sent.window_messages * ROWS_A_MESSAGE:,} windows and {sent.alerts:,} alerts sent: "
            f"lost {found.lost}, duplicated {found.duplicated}"
        )
    return judged(phases, found)


def judged(phases: Sequence[Phase], found: Found) -> list[str]:
    """Return a line for everything that must not be."""
    before, away = phases[0], phases[1]
    wrong = list(found.wrong)
    if found.lost or found.duplicated:
        wrong.append(f"lost {found.lost}, duplicated {found.duplicated}")
    growth = max(away.rss_bytes) - max(before.rss_bytes)
    if growth > GROWTH_MAX_BYTES:
        wrong.append(f"memory grew by {growth / MIB:.0f} MiB while ClickHouse was away")
    if away.status is None or away.status.breaker == "closed":
        wrong.append("the breaker did not open")
    return wrong


def _row(cells: Sequence[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def main() -> int:
    """Run once; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600.0, help="that ClickHouse is away")
    parser.add_argument("--rows-per-s", type=float, default=20_000.0, help="windows sent")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    given = parser.parse_args()
    # Whoever ends us has our stack ended, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="fleetpulse-outage-") as folder:
        try:
            wrong = run(Path(folder), given.seconds, given.rows_per_s, given.seed)
        except Unavailable as error:
            wrong = [str(error)]
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
