"""Prints the answer of a query: a table for people, JSON lines or CSV for programs."""

import re
import sys
from collections.abc import Sequence
from datetime import date, datetime
from enum import StrEnum

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from jobs.picture import svg_picture
from jobs.query import NamedQuery, named_sql
from schemas.errors import SettingsError
from schemas.printable import printable

LONG_TEXT_CHARS = 32
"""Text that is longer may take several lines; nothing else does."""
PICTURE_WIDTH = 84
PLAIN_FROM, PLAIN_TO = 1e4, 1e15
"""Numbers between these are written without decimals and without an exponent."""


class OutputFormat(StrEnum):
    """How an answer is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    SVG = "svg"


def query_sql(words: Sequence[str]) -> str:
    """Return the SQL of what was typed: a named question with its argument, or SQL itself.

    >>> query_sql(["select", "1"])
    'select 1'

    Raises:
        SettingsError: a named question with an argument it does not take.
    """
    first, *rest = words
    if first not in list(NamedQuery):
        return " ".join(words)
    name = NamedQuery(first)
    if len(rest) > (1 if name is NamedQuery.DEVICE else 0):
        raise SettingsError(
            f"query {first}",
            value=" ".join(rest),
            allowed="`device ID`, or the name alone",
            cure="see `fleetpulse query --help`",
        )
    return named_sql(name, rest[0] if rest else None)


def print_frame(frame: pl.DataFrame, output: OutputFormat, words: Sequence[str]) -> None:
    """Print an answer to standard output; a picture shows what was typed, too."""
    if output is OutputFormat.CSV:
        sys.stdout.write(frame.write_csv())
    elif output is OutputFormat.JSON:
        sys.stdout.write(frame.write_ndjson())
    elif output is OutputFormat.SVG:
        command = Text(f"$ fleetpulse query {typed_text(words)}\n", "bold")
        content = Group(command, answer_table(frame, PICTURE_WIDTH))
        sys.stdout.write(svg_picture(content, "fleetpulse query", PICTURE_WIDTH))
    else:
        console = Console()
        if not console.is_terminal:
            # A pipe has no width: nothing is cut.
            console.width = max(console.width, _natural_width(answer_table(frame, sys.maxsize)))
        console.print(answer_table(frame, console.width))


def typed_text(words: Sequence[str]) -> str:
    """Return words as they are typed in a shell; SQL in double quotes, as it has single ones.

    >>> print(typed_text(["device", "edge-1"]), typed_text(["SELECT 'a'"]))
    device edge-1 "SELECT 'a'"
    """
    return " ".join(f'"{word}"' if re.search(r"[^\w.-]", word) else word for word in words)


def answer_table(frame: pl.DataFrame, width: int) -> Table:
    """Return an answer as a table for people.

    Args:
        frame: the answer; times are UTC.
        width: characters of a line; the gaps get narrower before anything is cut.
    """
    day = _common_day(frame)
    table = _filled_table(frame, day, gap=1)
    if _natural_width(table) > width:
        table = _filled_table(frame, day, gap=0)
    caption = f"{frame.height:,} rows" + (f", times are of {day} UTC" if day else "")
    is_cut = _natural_width(table) > width and not _has_long_text(frame)
    table.caption = caption + ("; --format json shows what is cut" if is_cut else "")
    return table


def _filled_table(frame: pl.DataFrame, day: date | None, gap: int) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, gap, 0, 0))
    table.caption_justify = "left"
    columns = [[cell_text(value, day) for value in column] for column in frame.iter_columns()]
    for name, kind, cells in zip(frame.columns, frame.dtypes, columns, strict=True):
        widest = max(map(len, cells), default=0)
        table.add_column(
            header_text(name, widest),
            justify="right" if kind.is_numeric() else "left",
            no_wrap=widest <= LONG_TEXT_CHARS,
            vertical="top",
        )
    for row in zip(*columns, strict=True):
        table.add_row(*(escape(cell) for cell in row))
    return table


def _natural_width(table: Table) -> int:
    console = Console(width=10_000)
    return Measurement.get(console, console.options, table).maximum


def _has_long_text(frame: pl.DataFrame) -> bool:
    texts = frame.select(pl.col(pl.String).str.len_chars().max())
    return any(longest is not None and longest > LONG_TEXT_CHARS for longest in texts.row(0))


def header_text(name: str, widest: int) -> str:
    r"""Return a column's name, on several lines when it is wider than its cells.

    >>> header_text("deployment_group", 8)
    'deployment\ngroup'
    >>> header_text("metric_name", 20)
    'metric_name'
    """
    return name.replace("_", "\n") if len(name) > widest else name


def cell_text(value: object, day: date | None = None) -> str:
    r"""Write one value for people; of its characters, a terminal obeys only line ends.

    Args:
        value: of any type; a time is UTC.
        day: of all times, which then need not say it.

    >>> cell_text(12345), cell_text(0.123456), cell_text(None)
    ('12,345', '0.123', '')
    >>> print(cell_text("a key that a device chose \x1b[2J"))
    a key that a device chose \x1b[2J
    >>> noon = datetime.fromisoformat("2026-11-22T12:00:00Z")
    >>> cell_text(noon), cell_text(noon, noon.date())
    ('2026-11-22 12:00:00', '12:00:00')
    """
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.strftime("%H:%M:%S" if day else "%Y-%m-%d %H:%M:%S")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return float_text(value)
    return "\n".join(printable(line) for line in str(value).split("\n"))


def float_text(value: float) -> str:
    """Write a number with as many digits as a person reads.

    >>> [float_text(value) for value in (0.92, 51.6712, 123456.7, 0.0)]
    ['0.920', '51.67', '123,457', '0']
    """
    if PLAIN_FROM <= abs(value) < PLAIN_TO:
        return f"{value:,.0f}"
    # The zeros at the end keep a column of shares aligned.
    return f"{value:#.3g}" if 0 < abs(value) < 1 else f"{value:.4g}"


def _common_day(frame: pl.DataFrame) -> date | None:
    """Return the day of all times; None when there are several, or none."""
    times = frame.select(pl.col(pl.Datetime)).iter_columns()
    days = {day for column in times for day in column.dt.date().unique() if day is not None}
    return days.pop() if len(days) == 1 else None
