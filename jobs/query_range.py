"""Which table answers a question about a stretch of time: points, windows, hours or days.

The finest that keeps an answer short, and that still has the stretch: what is finer is deleted
sooner. Pure: what is kept and the time are arguments.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobs.query_texts import instant_text, span_text
from schemas.errors import SettingsError
from schemas.tables import HOUR_MS, MINUTE_MS, TELEMETRY_RUNS, WINDOWS

DAY_MS = 24 * HOUR_MS
HOURS, DAYS = WINDOWS.rollups

KeptDays = Mapping[str, int]
"""Tables that exist, and how many days each keeps; 0 is for ever."""


@dataclass(frozen=True)
class Span:
    """A stretch of time, UTC ms; `until_ms` does not belong to it."""

    since_ms: int
    until_ms: int

    def __str__(self) -> str:
        return f"{instant_text(self.since_ms)} to {instant_text(self.until_ms)} UTC"


@dataclass(frozen=True)
class Resolution:
    """One way to see a stretch of time.

    Args:
        title: for people.
        table: that keeps it, and whose age counts.
        view: to select from.
        span_ms: of one row; 0 for points.
        longest_ms: the longest stretch that is answered so.
    """

    title: str
    table: str
    view: str
    span_ms: int
    longest_ms: float


@dataclass(frozen=True)
class Choice:
    """What answers, for which rows, and what a person should know about it."""

    resolution: Resolution
    span: Span
    said: tuple[str, ...]


def device_resolutions(window_ms: int) -> tuple[Resolution, ...]:
    """Return how a device's history can be seen, the finest first."""
    title = f"windows of {span_text(window_ms / 1000)}"
    return (
        Resolution("raw points", TELEMETRY_RUNS.name, "v_points", 0, HOUR_MS),
        Resolution(title, WINDOWS.name, "v_device_5m", window_ms, DAY_MS),
        Resolution("hours", HOURS.name, "v_device_1h", HOURS.span_ms, 14 * DAY_MS),
        Resolution("days", DAYS.name, "v_device_1d", DAYS.span_ms, math.inf),
    )


def group_resolutions(window_ms: int) -> tuple[Resolution, ...]:
    """Return how a group's history can be seen, the finest first."""
    title = f"windows of {span_text(window_ms / 1000)}"
    return (
        Resolution(title, WINDOWS.name, "v_group_1m", window_ms, 180 * MINUTE_MS),
        Resolution("hours", HOURS.name, "v_group_1h", HOURS.span_ms, 14 * DAY_MS),
        Resolution("days", DAYS.name, "v_group_1d", DAYS.span_ms, math.inf),
    )


def choose_resolution(
    resolutions: Sequence[Resolution], span: Span, kept: KeptDays, now_ms: int
) -> Choice:
    """Choose the finest resolution that is short enough and still has the whole stretch.

    When none has all of it, the one that is kept longest answers, and what is missing is said.

    Args:
        resolutions: the finest first.
        span: what was asked for.
        kept: a table that is not in it does not exist.
        now_ms: to tell what is deleted by now.

    Raises:
        SettingsError: the stretch is empty, or no table exists.
    """
    if span.since_ms >= span.until_ms:
        raise SettingsError(
            "--since",
            value=str(span),
            allowed="an instant before --until, and before now",
            cure="write --since 2h, or leave --until out",
        )
    existing = [each for each in resolutions if each.table in kept]
    length_ms = span.until_ms - span.since_ms
    # The coarsest goes on without end, so one is always long enough.
    fitting = [each for each in existing if length_ms <= each.longest_ms]
    if not fitting:
        raise SettingsError(
            "tables",
            value=", ".join(kept) or "none",
            allowed="the tables of this release",
            cure="start the loader once: it makes them",
        )
    whole = [each for each in fitting if kept_from_ms(kept[each.table], now_ms) <= span.since_ms]
    chosen = whole[0] if whole else max(fitting, key=lambda each: _days(kept[each.table]))
    said = _deleted(fitting[0], chosen, kept)
    if not whole:
        since_text = instant_text(kept_from_ms(kept[chosen.table], now_ms))
        said = (*said, f"what is older than {since_text} UTC may be deleted already")
    return Choice(chosen, _whole_rows(span, chosen.span_ms), said)


def kept_from_ms(days: int, now_ms: int) -> int:
    """Return since when a table is sure to be whole, UTC ms; 0 days is for ever."""
    return 0 if days == 0 else now_ms - days * DAY_MS


def _days(days: int) -> float:
    return math.inf if days == 0 else days


def _deleted(wanted: Resolution, chosen: Resolution, kept: KeptDays) -> tuple[str, ...]:
    if wanted is chosen:
        return ()
    return (f"{wanted.title} are kept for {kept[wanted.table]} days only",)


def _whole_rows(span: Span, row_ms: int) -> Span:
    """Return the stretch from the start of the row that `since_ms` lies in."""
    if row_ms == 0:
        return span
    return Span(span.since_ms // row_ms * row_ms, span.until_ms)


__all__ = [
    "DAY_MS",
    "Choice",
    "KeptDays",
    "Resolution",
    "Span",
    "choose_resolution",
    "device_resolutions",
    "group_resolutions",
    "kept_from_ms",
]
