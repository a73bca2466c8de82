"""The columns of the tables as the migrations make them, and what somebody has changed since.

A narrowed column need not refuse anything: the engine stores 1000 in an Int8 as -24, in silence. So
types are compared before an insert, not after an error.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from schemas.tables import Migration, migrations

Types = Mapping[str, Mapping[str, str]]
"""Table -> column -> type."""

_TABLE = re.compile(r"(?:CREATE (?:OR REPLACE )?|ALTER )TABLE (?:IF NOT EXISTS )?(\w+)")
_COLUMN = re.compile(r"\s+(?:ADD COLUMN (?:IF NOT EXISTS )?)?([a-z]\w*) ([A-Z]\w*(?:\(.*)?)")
_LOW_CARDINALITY = re.compile(r"LowCardinality\(((?:[^()]|\([^()]*\))*)\)")


@cache
def made_types() -> Types:
    """Return the types of this release's tables."""
    return types_of(migrations())


def types_of(steps: Iterable[Migration]) -> dict[str, dict[str, str]]:
    r"""Read the types from the migrations, of which each column has a line.

    >>> types_of([Migration(1, "m", "CREATE TABLE t\n(\n    a Array(Int8) COMMENT 'x'\n)")])
    {'t': {'a': 'Array(Int8)'}}
    """
    found: dict[str, dict[str, str]] = {}
    for statement in (text for step in steps for text in step.statements()):
        head = _TABLE.match(statement)
        if head is None:
            continue
        if statement.startswith("CREATE OR REPLACE"):
            found.pop(head[1], None)
        columns = found.setdefault(head[1], {})
        for line in statement.splitlines()[1:]:
            if line.startswith(")"):
                break
            column = _COLUMN.match(line)
            if column is not None:
                columns[column[1]] = _type_at_start(column[2])
    return found


def _type_at_start(text: str) -> str:
    """Return the type with which a text begins.

    >>> _type_at_start("Map(String, Array(Int8)) CODEC(ZSTD(1)) COMMENT 'x'")
    'Map(String, Array(Int8))'
    """
    depth = 0
    for index, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0 and letter in " ,":
            return text[:index]
    return text


def column_faults(
    made: Types, tables: Sequence[str], columns: Iterable[tuple[str, str, str]]
) -> list[str]:
    """Return what keeps tables from storing what they are made to store, one line each.

    More columns than ours, and dictionaries of values, do no harm.

    Args:
        made: types as they must be.
        tables: which to look at.
        columns: table, column and type, of the database.

    >>> column_faults({"t": {"a": "Int32"}}, ["t"], [("t", "a", "Int8")])
    ['t.a is Int8 and was made as Int32']
    """
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in columns:
        found.setdefault(table, {})[column] = kind
    faults = []
    for table in tables:
        there = found.get(table, {})
        for column, kind in made.get(table, {}).items():
            if column not in there:
                faults.append(f"{table} has no column {column}")
            elif _values_of(there[column]) != _values_of(kind):
                faults.append(f"{table}.{column} is {there[column]} and was made as {kind}")
    return faults


def _values_of(kind: str) -> str:
    return _LOW_CARDINALITY.sub(r"\1", kind)
