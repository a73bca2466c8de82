"""Prints the answer of a query: a table for people, JSON lines or CSV for programs."""

import sys
from collections.abc import Sequence
from enum import StrEnum

import polars as pl
from rich.console import Console
from rich.table import Table

from jobs.query import NamedQuery, named_sql
from schemas.errors import SettingsError


class OutputFormat(StrEnum):
    """How an answer is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


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


def print_frame(frame: pl.DataFrame, output: OutputFormat) -> None:
    """Print an answer to standard output."""
    if output is OutputFormat.CSV:
        sys.stdout.write(frame.write_csv())
    elif output is OutputFormat.JSON:
        sys.stdout.write(frame.write_ndjson())
    else:
        Console().print(_table(frame))


def _table(frame: pl.DataFrame) -> Table:
    table = Table(caption=f"{frame.height} rows")
    for name, kind in frame.schema.items():
        table.add_column(name, justify="right" if kind.is_numeric() else "left")
    for row in frame.iter_rows():
        table.add_row(*(_cell(value) for value in row))
    return table


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
