"""What a demo stored, and whether every point that was sent is accounted for."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from rich.table import Table
from rich.text import Text

from jobs.live_figures import SEVERITIES, PointCounts
from jobs.live_texts import process_name
from jobs.stored_figures import DEAD_LETTERS_SQL, EPISODES_SQL, MISSING_SQL, POINTS_SQL, Ask

BOOKS_NAME = "simulator.json"
MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class SentPoints:
    """What Kafka has acknowledged to the simulator."""

    points: int
    duplicate: int
    nan: int

    @property
    def fresh(self) -> int:
        """Return the points that are finite and no copies."""
        return self.points - self.duplicate - self.nan


@dataclass(frozen=True)
class StoredReport:
    """What the tables hold at the end.

    Args:
        points_of_scope: device, group and tenant; each holds every point once.
        window_counts: windows of each scope.
        episode_counts: alert episodes that reached a severity.
        dead_letter_count: messages that were rejected.
        missing_count: messages and points that the account misses; it must be 0.
    """

    points_of_scope: Mapping[str, PointCounts]
    window_counts: Mapping[str, int]
    episode_counts: Mapping[str, int]
    dead_letter_count: int
    missing_count: int

    @property
    def points(self) -> PointCounts:
        """Return the points by device, the most detailed books."""
        return self.points_of_scope.get("device", PointCounts())


def read_books(run_dir: Path) -> SentPoints | None:
    """Read what the simulator has written when it ended; None when it wrote nothing."""
    path = run_dir / BOOKS_NAME
    if not path.is_file():
        return None
    books = json.loads(path.read_bytes())
    return SentPoints(books["points"], books["duplicate_points"], books["nan_points"])


def stored_report(ask: Ask) -> StoredReport:
    """Ask the tables.

    Raises:
        Unavailable: the engine does not answer.
    """
    points, windows = {}, {}
    for row in ask(POINTS_SQL).iter_rows(named=True):
        scope = row["scope"]
        points[scope] = PointCounts(
            row["aggregated"], row["duplicate"], row["nan"], row["out_of_range"]
        )
        windows[scope] = row["window_count"]
    episodes: pl.DataFrame = ask(EPISODES_SQL)
    return StoredReport(
        points_of_scope=points,
        window_counts=windows,
        episode_counts=dict(episodes.iter_rows()),
        dead_letter_count=ask(DEAD_LETTERS_SQL).item(),
        missing_count=ask(MISSING_SQL).item(),
    )


def adds_up(sent: SentPoints, stored: StoredReport) -> bool:
    """Say whether each point that was sent is accounted for, as what it was sent, in each scope."""
    expected = PointCounts(sent.fresh, sent.duplicate, sent.nan, 0)
    scopes = stored.points_of_scope
    return set(scopes) == {"device", "group", "tenant"} and all(
        found == expected for found in scopes.values()
    )


def account_table(sent: SentPoints, stored: StoredReport) -> Table:
    """Set what was sent against what was found: the rows add up to the sum below."""
    table = Table(title="the account of every point", title_justify="left", box=None)
    table.add_column("points")
    table.add_column("acknowledged by Kafka", justify="right")
    table.add_column("found in ClickHouse", justify="right")
    found = stored.points
    for name, left, right in (
        ("new and finite: aggregated", sent.fresh, found.aggregated),
        ("+ duplicates", sent.duplicate, found.duplicate),
        ("+ NaN", sent.nan, found.nan),
        ("+ out of range", 0, found.out_of_range),
    ):
        table.add_row(name, f"{left:,}", f"{right:,}")
    table.add_section()
    table.add_row("= all", f"{sent.points:,}", f"{found.total:,}", style="bold")
    return table


def verdict(sent: SentPoints, stored: StoredReport) -> Text:
    """Say in one line whether the sums agree, and where they do not."""
    if adds_up(sent, stored):
        return Text("the sums agree, and device, group and tenant windows hold the same", "green")
    missing = sent.points - stored.points.total
    return Text(
        f"THE SUMS DO NOT AGREE: {missing:,} points of {sent.points:,} are not accounted for;"
        f" rejected messages: {stored.dead_letter_count:,}; totals of the scopes:"
        f" { {scope: points.total for scope, points in stored.points_of_scope.items()} }",
        "bold red",
    )


def stored_lines(stored: StoredReport) -> list[str]:
    """Say how many windows, alerts and rejected messages there are."""
    windows = ", ".join(f"{count:,} of {scope}s" for scope, count in stored.window_counts.items())
    alerts = ", ".join(
        f"{stored.episode_counts[name]:,} {name}"
        for name in SEVERITIES
        if name in stored.episode_counts
    )
    return [
        f"windows   {windows or 'none'}",
        f"alerts    {alerts or 'none'} (episodes that reached the severity)",
        f"rejected  {stored.dead_letter_count:,} messages",
        f"account   {stored.missing_count:,} messages and points were read and are told nowhere",
    ]


def memory_line(peak_rss_bytes: Mapping[str, int]) -> str:
    """Name the highest memory of each process that was seen, MiB."""
    return (
        "memory    "
        + ", ".join(
            f"{process_name(name)} {size / MEBIBYTE:,.0f}" for name, size in peak_rss_bytes.items()
        )
        + " MiB at most"
    )
