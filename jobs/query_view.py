"""Prints the answer of a query: a table for people, JSON lines or CSV for programs.

A program gets rows alone on the standard output; what is said beside them goes to the error output.
"""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from types import MappingProxyType

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from jobs.picture import svg_picture
from jobs.query_answers import Answer
from jobs.query_texts import size_text, span_text
from schemas.printable import printable

LONG_TEXT_CHARS = 32
"""Text that is longer may take several lines; nothing else does."""
PICTURE_WIDTH = 84
UNIT_TEXTS: Mapping[str, Callable[[float], str]] = MappingProxyType(
    {"_s": span_text, "_bytes": size_text}
)
"""How a number is written for people, by the unit at the end of its column's name."""
RATE_UNIT = "_per_s"
PLAIN_FROM, PLAIN_TO = 1e4, 1e15
"""Numbers between these are written without decimals and without an exponent."""


class OutputFormat(StrEnum):
    """How an answer is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    SVG = "svg"


def print_frame(frame: pl.DataFrame, output: OutputFormat, words: Sequence[str]) -> None:
    """Print rows to standard output; a picture shows what was typed, too."""
    print_answer(Answer(frame), output, words)


def print_answer(answer: Answer, output: OutputFormat, words: Sequence[str]) -> None:
    """Print an answer: its rows to standard output, what is said beside them where it fits."""
    if output is OutputFormat.CSV:
        sys.stdout.write(answer.frame.write_csv())
    elif output is OutputFormat.JSON:
        sys.stdout.write(answer.frame.write_ndjson())
    elif output is OutputFormat.SVG:
        command = Text(f"$ fleetpulse query {typed_text(words)}\n", "bold")
        content = Group(command, answer_view(answer, PICTURE_WIDTH))
        sys.stdout.write(svg_picture(content, "fleetpulse query", PICTURE_WIDTH))
    else:
        _print_view(answer)
    if output in {OutputFormat.CSV, OutputFormat.JSON}:
        sys.stderr.writelines(f"fleetpulse: {sentence}\n" for sentence in answer.said)


def _print_view(answer: Answer) -> None:
    console = Console()
    if not console.is_terminal:
        # A pipe has no width: nothing is cut.
        whole = answer_view(answer, sys.maxsize)
        console.width = max(console.width, _natural_width(whole))
    console.print(answer_view(answer, console.width))


def answer_view(answer: Answer, width: int) -> RenderableType:
    """Return an answer for people: the rows, and below them what goes with them.

    Below, because that is what a terminal still shows when the rows are many.

    Args:
        answer: one without rows has only its sentences.
        width: characters of a line; columns that an answer can spare are left out to fit.
    """
    if answer.frame.is_empty() and answer.said:
        return Text("\n".join(map(printable, answer.said)))
    once, frame = _said_once(answer)
    frame, left_out = _fitting(frame, width, answer.spare)
    below = [
        *(" · ".join(once[start : start + 4]) for start in range(0, len(once), 4)),
        *answer.said,
        *([f"left out to fit: {', '.join(left_out)}; --format json has them"] if left_out else []),
    ]
    is_by_name = bool(answer.said or answer.once or answer.spare)
    table = answer_table(frame, width, is_readable=is_by_name)
    return Group(table, *(Text(printable(line), "dim") for line in below))


def _said_once(answer: Answer) -> tuple[list[str], pl.DataFrame]:
    """Return the columns that are the same in all rows as text, and the frame without them."""
    frame = answer.frame
    alike = [name for name in frame.columns if name in answer.once and frame[name].n_unique() == 1]
    written = {name: cell_text(frame[name][0]) for name in alike}
    texts = [
        f"{name.removesuffix('_id').replace('_', ' ')}: {text}"
        for name, text in written.items()
        if text
    ]
    return texts, frame.drop(alike)


def _fitting(
    frame: pl.DataFrame, width: int, spare: Sequence[str]
) -> tuple[pl.DataFrame, list[str]]:
    """Return the frame without as many of the spare columns as have to go, and their names."""
    left_out: list[str] = []
    for name in (each for each in spare if each in frame.columns):
        if _least_width(frame) <= width:
            break
        frame = frame.drop(name)
        left_out.append(name)
    return frame, left_out


def typed_text(words: Sequence[str]) -> str:
    """Return words as they are typed in a shell; SQL in double quotes, as it has single ones.

    >>> print(typed_text(["device", "edge-1"]), typed_text(["SELECT 'a'"]))
    device edge-1 "SELECT 'a'"
    """
    return " ".join(f'"{word}"' if re.search(r"[^\w.-]", word) else word for word in words)


def answer_table(frame: pl.DataFrame, width: int, *, is_readable: bool = False) -> Table:
    """Return an answer as a table for people.

    Args:
        frame: the answer; times are UTC.
        width: characters of a line; the gaps get narrower before anything is cut.
        is_readable: spans and sizes, known by their column's unit, are written with units.
    """
    day = _common_day(frame)
    columns = [_column(series, day, is_readable=is_readable) for series in frame.iter_columns()]
    table = _filled_table(columns, gap=1)
    if _natural_width(table) > width:
        table = _filled_table(columns, gap=0)
    rows = "1 row" if frame.height == 1 else f"{frame.height:,} rows"
    caption = rows + (f", times are of {day} UTC" if day else "")
    is_cut = _natural_width(table) > width and not _has_long_text(frame)
    table.caption = caption + ("; --format json shows what is cut" if is_cut else "")
    return table


def _least_width(frame: pl.DataFrame) -> int:
    """Return the characters that a line needs when long texts take several lines."""
    day = _common_day(frame)
    columns = [_column(series, day, is_readable=True) for series in frame.iter_columns()]
    return sum(min(column.widest, LONG_TEXT_CHARS) + 1 for column in columns) - 1


@dataclass(frozen=True)
class _Column:
    heading: str
    cells: list[str]
    is_number: bool

    @property
    def widest(self) -> int:
        """Return the characters of the longest line, the heading's included."""
        widest = max(map(len, self.cells), default=0)
        return max(widest, *map(len, header_text(self.heading, widest).split("\n")))


def _column(series: pl.Series, day: date | None, *, is_readable: bool) -> _Column:
    name, kind = series.name, series.dtype
    unit = next((unit for unit in UNIT_TEXTS if is_readable and name.endswith(unit)), None)
    if unit is not None and kind.is_numeric() and not name.endswith(RATE_UNIT):
        cells = ["" if value is None else UNIT_TEXTS[unit](value) for value in series]
        return _Column(name.removesuffix(unit), cells, is_number=True)
    heading = f"{name} UTC" if isinstance(kind, pl.Datetime) else name
    return _Column(heading, [cell_text(value, day) for value in series], kind.is_numeric())


def _filled_table(columns: Sequence[_Column], gap: int) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, gap, 0, 0))
    table.caption_justify = "left"
    for column in columns:
        widest = max(map(len, column.cells), default=0)
        table.add_column(
            header_text(column.heading, widest),
            justify="right" if column.is_number else "left",
            no_wrap=widest <= LONG_TEXT_CHARS,
            vertical="top",
        )
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*(escape(cell) for cell in row))
    return table


def _natural_width(content: RenderableType) -> int:
    console = Console(width=10_000)
    return Measurement.get(console, console.options, content).maximum


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
