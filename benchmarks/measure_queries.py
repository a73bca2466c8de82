"""How long a person waits for `fleetpulse query` when 100,000 devices are stored.

    python -m benchmarks.measure_queries --out benchmarks/out/queries.json

Wall time of whole questions in one process on the embedded engine: fence, SQL and rows, as the
running loader answers them, without the socket. Each repetition asks about another device. The rows
that came out are counted, and quantiles compared with those that the stored histograms have by
construction.
"""

import argparse
import contextlib
import math
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.figures import write_figures
from benchmarks.machine import machine_facts
from benchmarks.stored_fleet import (
    GROUP_BINS,
    METRICS,
    MODELS,
    TENANT_ID,
    StoredFleet,
    device_name,
    first_bin,
)
from jobs.query import Ask, frame_of
from jobs.query_answers import Lengths, answer_named
from jobs.query_range import Span, choose_resolution, device_resolutions, group_resolutions
from jobs.query_request import Asked, NamedQuery, Option
from jobs.query_statements import models_sql, windows_sql
from schemas.tables import HOUR_MS, migrations
from sinks.clickhouse_endpoint import ClickHouseAddress, open_client
from sinks.migration_writer import migrate
from sinks.read_only_endpoint import QueryLimits, Question, ReadOnlySessions
from udfs.histogram import bin_value

DEVICE_COUNT = 100_000
REPETITIONS = 20
MERGES_MAX_S = 300.0
END_MS = 1_790_002_800_000
GOALS_MS = {
    "device, last hour, windows": 50.0,
    "device, last hour, as asked (points)": 50.0,
    "fleet p95 by model, 24 h": 200.0,
    "fleet now": 200.0,
}
LATENCY = "inference_latency_ms"
ROWS_OF_A_DEVICE = 12 * len(METRICS)
WINDOWS_ONLY = {"windows": 0}
STATUS_PARTS = 8
STATUS_SQL = """SELECT toInt64(count()), toInt64(sum(rows)) FROM system.parts
WHERE active AND table = 'device_status'"""
PARTS_SQL = "SELECT count() AS parts FROM system.parts WHERE active AND table = 'windows'"


@dataclass(frozen=True)
class Figure:
    """Wall times of one question, ms, and the rows of its answer."""

    times_ms: list[float]
    row_count: int

    def facts(self) -> dict[str, float]:
        """Return the figures."""
        return {
            "rows": self.row_count,
            "min_ms": round(min(self.times_ms), 1),
            "median_ms": round(statistics.median(self.times_ms), 1),
            "max_ms": round(max(self.times_ms), 1),
        }


@contextlib.contextmanager
def stored(fleet: StoredFleet) -> Iterator[ClickHouseAddress]:
    """Make the tables in a folder of their own, check that all rows are there, and keep it open."""
    with tempfile.TemporaryDirectory() as folder:
        address = ClickHouseAddress("chdb", "fleetpulse", path=folder)
        migrate(address, migrations())
        with open_client(address) as client:
            for statement in fleet.statements():
                client.command(statement)
            sql = "SELECT scope, count() FROM {} GROUP BY scope ORDER BY scope"
            expected = [("device", fleet.device_row_count), ("group", fleet.group_row_count)]
            assert client.query(sql.format("v_windows")).result_rows == expected
            _wait_for_merges(client)
            _change_states(client, fleet)
            yield address


def _change_states(client: Any, fleet: StoredFleet) -> None:
    """Add later states of some devices, in parts that stay apart as in a table that is written."""
    client.command("SYSTEM STOP MERGES device_status")
    for number in range(STATUS_PARTS):
        client.command(
            f"""INSERT INTO device_status
            SELECT * REPLACE (if(status = 'online', 'warning', 'online') AS status,
                status_order + 1 + {number} AS status_order)
            FROM device_status WHERE cityHash64(device_id) % {STATUS_PARTS * 20} = {number}"""  # noqa: S608 - our own numbers
        )
    ((part_count, row_count),) = client.query(STATUS_SQL).result_rows
    assert part_count == 1 + STATUS_PARTS
    assert row_count > fleet.device_count


def _wait_for_merges(client: Any) -> None:
    """Wait until what was stored in a minute lies as what was stored in a day does."""
    give_up_at_s = time.monotonic() + MERGES_MAX_S
    while client.query("SELECT count() FROM system.merges").result_rows != [(0,)]:
        assert time.monotonic() < give_up_at_s, "the engine still merges parts"
        time.sleep(1.0)


@contextlib.contextmanager
def asking_of(address: ClickHouseAddress) -> Iterator[Ask]:
    """Give what answers a statement for the tenant, with kept connections as the loader has."""
    with contextlib.closing(ReadOnlySessions(address, QueryLimits())) as sessions:
        yield lambda sql: frame_of(sessions.answer(Question(sql, TENANT_ID)))


def named(ask: Ask, name: NamedQuery, *words: str, **options: str) -> pl.DataFrame:
    """Answer a question by name, as the command line does."""
    given = {Option(option): value for option, value in options.items()}
    asked = Asked(name, words, given, TENANT_ID, limit=1_000)
    return answer_named(ask, asked, Lengths(), END_MS).frame


def device_windows(ask: Ask, device_id: str) -> pl.DataFrame:
    """Return the last hour of a device from its windows."""
    asked = Asked(NamedQuery.DEVICE, (device_id,), {}, TENANT_ID, limit=1_000)
    span = Span(END_MS - HOUR_MS, END_MS)
    choice = choose_resolution(device_resolutions(300_000), span, WINDOWS_ONLY, END_MS)
    return ask(windows_sql(asked, choice))


def models_from_minutes(ask: Ask) -> pl.DataFrame:
    """Return the models' figures of 24 h from windows of a minute, which no question does."""
    asked = Asked(NamedQuery.MODELS, (), {Option.METRIC: LATENCY}, TENANT_ID, limit=1_000)
    span = Span(END_MS - HOUR_MS, END_MS)
    choice = choose_resolution(group_resolutions(60_000), span, WINDOWS_ONLY, END_MS)
    day = type(choice)(choice.resolution, Span(END_MS - 24 * HOUR_MS, END_MS), ())
    return ask(models_sql(asked, day))


def questions(ask: Ask, device_id: Callable[[], str]) -> dict[str, Callable[[], pl.DataFrame]]:
    """Return what is measured, by name."""
    return {
        "device, last hour, windows": lambda: device_windows(ask, device_id()),
        "device, last hour, as asked (points)": lambda: named(
            ask, NamedQuery.DEVICE, device_id(), since="1h"
        ),
        "device, as asked without --since": lambda: named(ask, NamedQuery.DEVICE, device_id()),
        "device that is not there, with near names": lambda: named(
            ask, NamedQuery.DEVICE, device_id() + "0", since="2h"
        ),
        "fleet p95 by model, 24 h": lambda: named(
            ask, NamedQuery.MODELS, metric=LATENCY, since="24h"
        ),
        "fleet p95 by model, 24 h, from minutes": lambda: models_from_minutes(ask),
        "fleet now": lambda: named(ask, NamedQuery.FLEET),
    }


ROWS = {
    "device, last hour, windows": ROWS_OF_A_DEVICE,
    "device, last hour, as asked (points)": ROWS_OF_A_DEVICE,
    "device, as asked without --since": ROWS_OF_A_DEVICE,
    "device that is not there, with near names": 0,
    "fleet p95 by model, 24 h": len(MODELS),
    "fleet p95 by model, 24 h, from minutes": len(MODELS),
    "fleet now": 60,
}


def measure(ask: Ask, repetitions: int, seed: int) -> dict[str, Figure]:
    """Ask the questions in turns; every answer must have its rows and its quantiles."""
    draw = random.Random(seed)
    asked = questions(ask, lambda: device_name(draw.randrange(1_000, DEVICE_COUNT)))
    times_ms: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(repetitions):
        for name, question in asked.items():
            began_s = time.perf_counter()
            frame = question()
            times_ms[name].append(1000 * (time.perf_counter() - began_s))
            assert frame.height == ROWS[name], f"{name}: {frame.height} rows of {ROWS[name]}"
            if "p95" in name:
                _require_quantiles(frame)
    return {name: Figure(found, ROWS[name]) for name, found in times_ms.items()}


def _require_quantiles(frame: pl.DataFrame) -> None:
    """Compare with the stored histograms, of which each bin of a model has as many points."""
    for row in frame.iter_rows(named=True):
        rank = math.ceil(0.95 * GROUP_BINS) - 1
        expected = bin_value(np.array([first_bin(row["model_version"]) + rank]))[0]
        assert math.isclose(row["p95"], expected), (row, expected)


def report(repetitions: int, seed: int) -> dict[str, Any]:
    """Store, measure, and return plain figures."""
    fleet = StoredFleet(DEVICE_COUNT, END_MS)
    began_s = time.perf_counter()
    with stored(fleet) as address:
        made_s = time.perf_counter() - began_s
        with asking_of(address) as ask:
            figures = measure(ask, repetitions, seed)
            part_count = ask(PARTS_SQL)["parts"][0]
    return {
        "machine": machine_facts(),
        "seed": seed,
        "devices": DEVICE_COUNT,
        "device_windows": fleet.device_row_count,
        "group_windows": fleet.group_row_count,
        "window_parts": part_count,
        "made_s": round(made_s, 1),
        "goals_ms": GOALS_MS,
        "questions": {name: figure.facts() for name, figure in figures.items()},
    }


def main() -> None:
    """Measure, print, and write the figures where `--out` says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    found = report(given.repetitions, given.seed)
    print(f"{'question':44}{'rows':>6}{'min ms':>9}{'median':>9}{'max':>9}{'goal':>7}")
    for name, facts in found["questions"].items():
        goal = f"{GOALS_MS[name]:.0f}" if name in GOALS_MS else ""
        print(
            f"{name:44}{facts['rows']:6}"
            + "".join(f"{facts[key]:9.1f}" for key in ("min_ms", "median_ms", "max_ms"))
            + f"{goal:>7}"
        )
    load = found["machine"]["load_1_min"]
    print(f"load of the last minute {load}; windows lie in {found['window_parts']} parts")
    write_figures(found, given.out)


if __name__ == "__main__":
    main()
