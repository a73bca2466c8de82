"""Answers a question by name: asks the tables, and says what a person should know of the answer."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import polars as pl

from jobs.query_absence import Ask, absence
from jobs.query_range import (
    DAY_MS,
    Choice,
    KeptDays,
    Resolution,
    Span,
    choose_resolution,
    device_resolutions,
    group_resolutions,
)
from jobs.query_request import Asked, NamedQuery
from jobs.query_statements import (
    ACCOUNTS_SQL,
    alerts_sql,
    drift_sql,
    fleet_sql,
    history_sql,
    kept_sql,
    models_sql,
    newest_sql,
    rollouts_sql,
    windows_sql,
)
from jobs.query_usage import usage
from schemas.tables import HOUR_MS

LENGTHS_MS: Mapping[NamedQuery, int] = MappingProxyType(
    {
        NamedQuery.DEVICE: 2 * HOUR_MS,
        NamedQuery.GROUPS: HOUR_MS,
        NamedQuery.MODELS: DAY_MS,
        NamedQuery.HISTORY: 7 * DAY_MS,
    }
)
"""How long a stretch is asked about when nobody says since when."""

_TTL_DAYS = re.compile(r"\bTTL \w.*?\+ toIntervalDay\((\d+)\)")
_IDENTITY = frozenset({"tenant_id", "deployment_group", "model_version", "metric"})
_VALUES_SAID = "values are in the unit at the end of the metric's name"
_SPARE = ("p99", "p50", "covered_ratio", "min", "max", "count", "mean")
_ALERTS_SPARE = ("last_seen", "subject", "deployment_group")
_HISTORY_SPARE = ("reason", "subject", "deployment_group", "silence_s")
_DRIFT_SPARE = ("last_detected", "first_seen", "log10_e", "direction")
_ROLLOUTS_SPARE = ("rollout_id", "started_at", "look", "is_final", "reason")
_ROLLOUTS_SAID = (
    "the last verdict on each; NODATA is no leave to go on; what each metric says: "
    "SELECT * FROM v_rollouts"
)
_INCIDENTS_SAID = (
    "open incidents only; each with its evidence: SELECT * FROM v_open_drift; "
    "one of them drawn: fleetpulse explain FINDING_ID"
)
_ROWS_SAID = "rows as stored, before merging; a tenant's bytes are an estimate by its share of rows"


@dataclass(frozen=True)
class Answer:
    """An answer, and what goes with it.

    Args:
        frame: one row of the answer each; times are UTC.
        said: sentences for a person.
        once: columns that a table may say once, below the rows, when all rows have the same.
        spare: columns that a table may leave out when it is too wide, the least wanted first.
    """

    frame: pl.DataFrame
    said: tuple[str, ...] = ()
    once: frozenset[str] = frozenset()
    spare: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lengths:
    """The lengths of windows, which are settings."""

    device_ms: int = 300_000
    group_ms: int = 60_000


def answer_named(ask: Ask, asked: Asked, lengths: Lengths, now_ms: int) -> Answer:
    """Answer a question by name.

    Args:
        ask: answers one statement; it shows one tenant's rows when a tenant is set.
        asked: the question.
        lengths: of the windows.
        now_ms: UTC, from which `2h` counts back.

    Raises:
        QueryRefused: the answer is over a limit.
        SettingsError: an option cannot be read, or nothing is stored yet.
    """
    return _ANSWERS[asked.name](ask, asked, lengths, now_ms)


def _fleet(ask: Ask, asked: Asked, _lengths: Lengths, _now_ms: int) -> Answer:
    return _listed(ask, asked, fleet_sql(asked), once=frozenset({"tenant_id", "maintenance"}))


def _alerts(ask: Ask, asked: Asked, _lengths: Lengths, now_ms: int) -> Answer:
    once = frozenset({"tenant_id", "subject", "deployment_group", "acked", "notify"})
    found = _listed(ask, asked, alerts_sql(asked, now_ms), once=once)
    return replace(found, spare=_ALERTS_SPARE)


def _accounts(ask: Ask, asked: Asked, _lengths: Lengths, _now_ms: int) -> Answer:
    return _listed(ask, asked, ACCOUNTS_SQL, once=frozenset({"topic"}))


def _usage(ask: Ask, asked: Asked, _lengths: Lengths, _now_ms: int) -> Answer:
    frame = usage(ask, asked)
    if frame.is_empty():
        return Answer(frame, ("nothing is stored" + _of_tenant(asked),))
    tenants = frame.drop_nulls("tenant_id").group_by("table").len()
    is_cut = any(count >= asked.limit for count in tenants["len"])
    cut = f"of each table the {asked.limit:,} tenants with the most rows; --limit shows more"
    return Answer(frame, (_ROWS_SAID, *([cut] if is_cut else [])))


def _of_tenant(asked: Asked) -> str:
    return "" if asked.tenant_id is None else f" of tenant {asked.tenant_id}"


def _drift(ask: Ask, asked: Asked, _lengths: Lengths, _now_ms: int) -> Answer:
    found = _listed(ask, asked, drift_sql(asked), once=frozenset({"tenant_id", "direction"}))
    if found.frame.is_empty():
        return found
    return replace(found, said=(*found.said, _INCIDENTS_SAID), spare=_DRIFT_SPARE)


def _rollouts(ask: Ask, asked: Asked, _lengths: Lengths, _now_ms: int) -> Answer:
    once = frozenset({"tenant_id", "deployment_group"})
    found = _listed(ask, asked, rollouts_sql(asked), once=once)
    if found.frame.is_empty():
        return found
    return replace(found, said=(*found.said, _ROLLOUTS_SAID), spare=_ROLLOUTS_SPARE)


def _history(ask: Ask, asked: Asked, _lengths: Lengths, now_ms: int) -> Answer:
    span = asked.span(now_ms, length_ms=LENGTHS_MS[asked.name])
    _require_forward(span)
    once = frozenset({"tenant_id", "deployment_group", "subject", "notify", "reason"})
    found = _listed(ask, asked, history_sql(asked, span), span=span, once=once)
    if found.frame.is_empty():
        return found
    return replace(found, said=(f"from {span}", *found.said), spare=_HISTORY_SPARE)


def _require_forward(span: Span) -> None:
    everything = Resolution("events", "alert_events", "alert_events", 0, float("inf"))
    choose_resolution((everything,), span, {everything.table: 0}, span.until_ms)


def _windows(ask: Ask, asked: Asked, lengths: Lengths, now_ms: int) -> Answer:
    """Answer with the finest rows that there are; raw points may not be stored."""
    resolutions = _resolutions(asked, lengths)
    span = _stretch(ask, asked, now_ms)
    kept = kept_days(ask(kept_sql()))
    tried: list[str] = []
    while True:
        choice = choose_resolution(resolutions, span, kept, now_ms)
        statement = (models_sql if asked.name is NamedQuery.MODELS else windows_sql)(asked, choice)
        found = ask(statement)
        tried.append(choice.resolution.title)
        is_of_points = choice.resolution.span_ms == 0
        if not (found.is_empty() and is_of_points):
            return _windows_answer(ask, asked, choice, (found, tried))
        resolutions = resolutions[1:]


def _windows_answer(
    ask: Ask, asked: Asked, choice: Choice, result: tuple[pl.DataFrame, list[str]]
) -> Answer:
    found, tried = result
    if found.is_empty():
        where = ", ".join(tried)
        return Answer(found, (*absence(ask, asked, choice.span, where), *choice.said))
    missing = ["no raw points are stored for it"] if len(tried) > 1 else []
    frame, cut = _cut(found, asked)
    once = _IDENTITY if asked.name is not NamedQuery.MODELS else frozenset({"tenant_id", "metric"})
    said = (f"{choice.resolution.title}, {choice.span}", *missing, *choice.said, *cut, _VALUES_SAID)
    return Answer(frame, said, once, _SPARE)


def _resolutions(asked: Asked, lengths: Lengths) -> Sequence[Resolution]:
    if asked.name is NamedQuery.DEVICE:
        return device_resolutions(lengths.device_ms)
    return group_resolutions(lengths.group_ms)


def _stretch(ask: Ask, asked: Asked, now_ms: int) -> Span:
    """Return what to look at; unless told: the last that is stored, for it may be silent now."""
    length_ms = LENGTHS_MS[asked.name]
    if asked.has_stretch:
        return asked.span(now_ms, length_ms=length_ms)
    newest = ask(newest_sql(asked)).row(0, named=True)
    end_ms = newest["end_ms"] if newest["row_count"] > 0 else now_ms
    return asked.span(now_ms, length_ms=length_ms, end_ms=end_ms)


def kept_days(tables: pl.DataFrame) -> KeptDays:
    """Read how long each table keeps its rows from the engine's own words; 0 is for ever.

    Args:
        tables: name and engine_full of the tables that exist.
    """
    days = {}
    for table in tables.iter_rows(named=True):
        found = _TTL_DAYS.search(table["engine_full"])
        days[table["name"]] = 0 if found is None else int(found[1])
    return days


def _listed(
    ask: Ask, asked: Asked, sql: str, *, once: frozenset[str], span: Span | None = None
) -> Answer:
    found = ask(sql)
    if found.is_empty():
        return Answer(found, absence(ask, asked, span))
    frame, cut = _cut(found, asked)
    return Answer(frame, cut, once)


def _cut(found: pl.DataFrame, asked: Asked) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Return the rows up to the limit; one more was asked for, to know whether there are more."""
    if found.height <= asked.limit or asked.name is NamedQuery.ACCOUNTS:
        return found, ()
    return found.head(asked.limit), (f"the first {asked.limit:,} rows; --limit shows more",)


_ANSWERS: Mapping[NamedQuery, Callable[[Ask, Asked, Lengths, int], Answer]] = MappingProxyType(
    {
        NamedQuery.FLEET: _fleet,
        NamedQuery.ALERTS: _alerts,
        NamedQuery.HISTORY: _history,
        NamedQuery.DEVICE: _windows,
        NamedQuery.GROUPS: _windows,
        NamedQuery.MODELS: _windows,
        NamedQuery.DRIFT: _drift,
        NamedQuery.ROLLOUTS: _rollouts,
        NamedQuery.USAGE: _usage,
        NamedQuery.ACCOUNTS: _accounts,
    }
)
