"""Draws the live view: a snapshot in, something that rich can print out.

Fleetpulse  demo fleet                       1:23 running, 0:37 left
EMERGENCY   only while there is one; then the parts that are away
╭ Flow ─────────────────────╮╭ Devices ───────────────╮
╭ Open alerts ──────────────╮╭ Last events ───────────╮
╭ Processes ────────────────╮╭ Flink ─────────────────╮
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from jobs.live_figures import (
    OFFLINE_STATUSES,
    SEVERITIES,
    Reading,
    Snapshot,
    StoredFigures,
    lag_of,
)
from jobs.live_texts import (
    clock_text,
    duration_text,
    process_name,
    rate_text,
    short_name,
    subject_text,
)
from jobs.process_records import ProcessStatus

MEBIBYTE = 1024 * 1024
LINES_MIN_COUNT = 3
HEADER_LINES = 1
BORDER_LINES = 2
BAR_CELLS = 36

STYLE_OF = {
    "emergency": "bold white on red",
    "critical": "bold red",
    "warning": "yellow",
    "info": "cyan",
    "resolved": "green",
    "online": "green",
    "maintenance": "blue",
}
DEVICE_STATUSES = ("online", *OFFLINE_STATUSES, "maintenance")


@dataclass(frozen=True)
class Box:
    """The content of one panel, and how many lines it has."""

    title: str
    content: RenderableType
    line_count: int
    subtitle: str | None = None


def live_view(snapshot: Snapshot, height: int) -> RenderableType:
    """Draw the whole view.

    Args:
        snapshot: what to show.
        height: lines of the terminal; the lists of alerts and events take what is left.
    """
    stored = snapshot.stored.value or StoredFigures()
    notes = [*_emergencies(stored), *_away_lines(snapshot), *_warm_up(stored)]
    top = (_flow(snapshot, stored), _devices(stored))
    bottom = (_processes(snapshot), _flink(snapshot))
    taken = HEADER_LINES + len(notes) + _height(*top) + _height(*bottom) + BORDER_LINES
    line_count = max(LINES_MIN_COUNT, height - taken)
    lists = (_open_alerts(stored, line_count), _events(stored, line_count))
    return Group(_header(snapshot), *notes, *(_pair(*boxes) for boxes in (top, lists, bottom)))


def status_line(snapshot: Snapshot) -> str:
    """Say the most important figures in one line, where there is no terminal."""
    stored = snapshot.stored.value or StoredFigures()
    behind = lag_of(snapshot.kafka.value.lags) if snapshot.kafka.value else {}
    lags = ", ".join(f"{short_name(group)} {lag}" for group, lag in behind.items())
    devices = ", ".join(
        f"{stored.device_counts.get(status, 0):,} {status}" for status in DEVICE_STATUSES[:3]
    )
    parts = [
        f"{duration_text(snapshot.elapsed_s)}",
        f"{rate_text(snapshot.points_per_s)} points/s, {stored.points.aggregated:,} aggregated",
        f"{rate_text(snapshot.messages_per_s)} messages/s",
        f"behind: {lags or 'unknown'}",
        f"devices: {devices}",
        f"open alerts: {sum(stored.open_counts.values()):,}",
        _processes_text(snapshot),
    ]
    parts += [f"away: {name}" for name, _ in _away(snapshot)]
    return " | ".join(parts)


def _processes_text(snapshot: Snapshot) -> str:
    figures = snapshot.processes.value
    if figures is None:
        return "processes: unknown"
    ended = [process.name for process in figures.processes if not process.is_alive]
    alive_count = len(figures.processes) - len(ended)
    return f"processes: {alive_count} alive" + (f", ENDED: {', '.join(ended)}" if ended else "")


def _header(snapshot: Snapshot) -> RenderableType:
    left = Text.assemble((" Fleetpulse ", "bold black on cyan"), "  ", snapshot.title)
    right = Text.assemble((duration_text(snapshot.elapsed_s), "bold"), " running")
    if snapshot.remaining_s is not None:
        right.append(", ").append(duration_text(snapshot.remaining_s), "bold").append(" left")
    else:
        right.append(", Ctrl-C ends it")
    grid = Table.grid(expand=True)
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, justify="right")
    grid.add_row(left, right)
    return grid


def _emergencies(stored: StoredFigures) -> Iterator[RenderableType]:
    for line in stored.open_alerts:
        if line.severity == "emergency":
            text = f" EMERGENCY since {clock_text(line.at_ms)}  {line.summary}"
            yield Text(text, STYLE_OF["emergency"], no_wrap=True, overflow="ellipsis")


def _warm_up(stored: StoredFigures) -> Iterator[RenderableType]:
    if stored.points.total == 0:
        yield Text(
            " the jobs are starting their Python workers; then the first windows come", "dim"
        )


def _away_lines(snapshot: Snapshot) -> Iterator[RenderableType]:
    for name, cause in _away(snapshot):
        text = f" {name} is away, its figures are the last ones: {cause}"
        yield Text(" ".join(text.split()), "yellow", no_wrap=True, overflow="ellipsis")


def _away(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    readings: dict[str, Reading[object]] = {
        "ClickHouse": snapshot.stored,
        "Kafka": snapshot.kafka,
        "Flink": snapshot.flink,
        "the list of processes": snapshot.processes,
    }
    for name, reading in readings.items():
        if reading.away is not None:
            yield name, reading.away


def _flow(snapshot: Snapshot, stored: StoredFigures) -> Box:
    grid = _grid("left", "right", "right")
    points = stored.points
    grid.add_row("points", _bold(points.aggregated), f"{rate_text(snapshot.points_per_s)} /s")
    grid.add_row("duplicates", f"{points.duplicate:,}", "")
    grid.add_row("refused values", f"{points.nan + points.out_of_range:,}", "")
    kafka = snapshot.kafka.value
    messages = "-" if kafka is None else f"{kafka.message_count:,}"
    grid.add_row("messages", messages, f"{rate_text(snapshot.messages_per_s)} /s")
    for group, lag in lag_of(kafka.lags if kafka else ()).items():
        grid.add_row(f"{short_name(group)} lag", f"{lag:,}", "msg")
    return Box("Flow", grid, grid.row_count)


def _devices(stored: StoredFigures) -> Box:
    grid = _grid("left", "right")
    for status in DEVICE_STATUSES:
        style = STYLE_OF[status]
        grid.add_row(Text(f"● {status}", style), _bold(stored.device_counts.get(status, 0)))
    counts = [(name, stored.open_counts.get(name, 0)) for name in SEVERITIES]
    shown = [Text(f"{count:,} {name}", STYLE_OF[name]) for name, count in counts if count > 0]
    alerts = Text("  ", no_wrap=True, overflow="ellipsis").join(shown)
    bar = device_bar([(s, stored.device_counts.get(s, 0)) for s in DEVICE_STATUSES], BAR_CELLS)
    title = f"open alerts: {sum(stored.open_counts.values()):,}"
    content = Group(bar, grid, title, alerts)
    return Box("Devices", content, grid.row_count + 3)


def device_bar(counts: Sequence[tuple[str, int]], cells: int) -> Text:
    """Draw the shares of the device statuses; a status that exists takes at least one cell.

    >>> device_bar([("online", 90), ("warning", 1)], 10).plain
    '██████████'
    """
    total = sum(count for _, count in counts)
    bar = Text()
    if total == 0:
        return Text("no device has been seen yet", "dim")
    rest = [(status, max(1, round(count / total * cells))) for status, count in counts[1:] if count]
    online_cells = max(0, cells - sum(width for _, width in rest))
    for status, width in [(counts[0][0], online_cells), *rest]:
        bar.append("█" * width, STYLE_OF[status])
    return bar


def _open_alerts(stored: StoredFigures, line_count: int) -> Box:
    table = _grid("left", "left", "right")
    for line in stored.open_alerts[:line_count]:
        severity = Text(line.severity, STYLE_OF[line.severity])
        table.add_row(severity, subject_text(line.subject), clock_text(line.at_ms))
    more = sum(stored.open_counts.values()) - line_count
    return Box("Open alerts, since", table, line_count, f"{more:,} more" if more > 0 else None)


def _events(stored: StoredFigures, line_count: int) -> Box:
    table = _grid("left", "left", "left")
    for line in stored.events[:line_count]:
        is_resolved = line.status == "resolved"
        what = Text(line.severity, STYLE_OF[line.severity])
        if is_resolved:
            what = Text("resolved", STYLE_OF["resolved"])
        table.add_row(f"[dim]{clock_text(line.at_ms)}[/]", what, subject_text(line.subject))
    more = stored.event_count - line_count
    return Box("Last events", table, line_count, f"{more:,} before" if more > 0 else None)


def _processes(snapshot: Snapshot) -> Box:
    grid = _grid("left", "left", "right", "right")
    grid.add_row("", "", "[dim]MiB[/]", "[dim]cores[/]")
    figures = snapshot.processes.value
    for process in figures.processes if figures else ():
        cores = figures.cores_of_name.get(process.name) if figures else None
        grid.add_row(process_name(process.name), *_use_cells(process, cores))
    return Box("Processes", grid, grid.row_count)


def _use_cells(process: ProcessStatus, cores: float | None) -> tuple[RenderableType, str, str]:
    if not process.is_alive:
        return Text("ended", STYLE_OF["critical"]), "", ""
    used = "-" if cores is None else f"{cores:.2f}"
    return Text("alive", "green"), f"{process.rss_bytes / MEBIBYTE:,.0f}", used


def _flink(snapshot: Snapshot) -> Box:
    grid = _grid("left", "left")
    figures = snapshot.flink.value
    for name, state in (figures.job_states if figures else {}).items():
        style = "green" if state == "RUNNING" else STYLE_OF["critical"]
        grid.add_row(short_name(name), Text(state.lower(), style))
    processes = snapshot.processes.value
    memory = sum(p.rss_bytes for p in processes.processes) / MEBIBYTE if processes else 0
    cores = sum(c or 0 for c in processes.cores_of_name.values()) if processes else 0
    grid.add_row("memory", f"{memory:,.0f} MiB")
    grid.add_row("processors", f"{cores:.2f} cores")
    grid.add_row("Flink's page", Text(snapshot.flink_url, "cyan"))
    return Box("Jobs", grid, grid.row_count)


def _bold(number: int) -> str:
    return f"[bold]{number:,}[/]"


def _grid(*justify: str) -> Table:
    grid = Table.grid(padding=(0, 2), expand=False)
    for side in justify:
        grid.add_column(justify="right" if side == "right" else "left", no_wrap=True)
    return grid


def _pair(left: Box, right: Box) -> Table:
    grid = Table.grid(expand=True)
    grid.add_column(ratio=1)
    grid.add_column(ratio=1)
    height = _height(left, right)
    grid.add_row(_panel(left, height), _panel(right, height))
    return grid


def _height(*boxes: Box) -> int:
    return max(box.line_count for box in boxes) + BORDER_LINES


def _panel(box: Box, height: int) -> Panel:
    return Panel(
        box.content,
        title=f"[bold]{box.title}[/]",
        title_align="left",
        subtitle=f"[dim]{box.subtitle}[/]" if box.subtitle else None,
        subtitle_align="right",
        border_style="bright_black",
        height=height,
    )
