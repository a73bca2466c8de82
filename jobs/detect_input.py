"""The CSV file that `fleetpulse detect` reads: one row is one window of one series.

time,value,key            time  RFC 3339 or a plain date and time (UTC), or epoch s, ms, us, ns,
2026-01-01 00:00:00,7,a         or row numbers, which count as windows of 5 minutes
value a number; empty, NaN, null, none, n/a: no value; inf: not finite
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from schemas.errors import SettingsError
from udfs.histogram import Floats
from udfs.partition_clocks import Int64s

NO_VALUES = {"", "nan", "null", "none", "n/a", "na", "-nan"}
SINGLE_KEY = ""
DEFAULT_WINDOW_MS = 300_000
ROW_NUMBER_MAX = 1e8
"""Smaller numbers are no time since 1970 that a telemetry file has."""
EPOCH_UNITS = ((1e11, 1000.0), (1e14, 1.0), (1e17, 1e-3), (np.inf, 1e-6))
"""Below each limit, a number is an epoch time in s, ms, us, ns; and what one is in ms."""
PLAIN_FORMATS = ("%Y-%m-%d %H:%M", "%Y/%m/%d %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M",
                 "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%Y-%m-%d", "%m/%d/%Y")  # fmt: skip


@dataclass(frozen=True)
class Series:
    """The rows of one key, in the order of their times.

    Args:
        key: its name; empty when the file has no key.
        row: place of each row in the file, from 0, shape (n,).
        time_ms: UTC ms, shape (n,).
        value: NaN where there is none, shape (n,).
        is_missing: whether the value is absent rather than not finite, shape (n,).
    """

    key: str
    row: Int64s
    time_ms: Int64s
    value: Floats
    is_missing: Int64s

    def part(self, start: int, end: int) -> "Series":
        """Return some of the rows."""
        at = slice(start, end)
        return Series(self.key, self.row[at], self.time_ms[at], self.value[at], self.is_missing[at])

    @cached_property
    def window_ms(self) -> int:
        """The usual distance of two rows."""
        steps = np.diff(self.time_ms)
        steps = steps[steps > 0]
        return int(np.median(steps)) if len(steps) else DEFAULT_WINDOW_MS


@dataclass(frozen=True)
class DetectInput:
    """What was read.

    Args:
        rows: of the file as text: columns time, value, key.
        series: by key, in order of their names.
    """

    rows: pl.DataFrame
    series: list[Series]


def read_input(path: Path, value: str, time: str, key: str | None) -> DetectInput:
    """Read a CSV file.

    Raises:
        SettingsError: a column does not exist, or a value or time cannot be read; with its line.
    """
    rows = _texts(path, {"--value": value, "--time": time, **({"--key": key} if key else {})})
    keys = rows[key].fill_null("") if key else pl.Series("key", [SINGLE_KEY] * len(rows))
    frame = pl.DataFrame({"time": rows[time], "value": rows[value], "key": keys})
    values, is_missing = _values(path, frame["value"], value)
    times = _times(path, frame["time"], time)
    names = frame["key"].to_numpy()
    order = np.lexsort((np.arange(len(frame)), times, names))
    bounds = np.flatnonzero(names[order][1:] != names[order][:-1]) + 1
    parts = np.split(order, bounds) if len(order) else []
    return DetectInput(
        frame,
        [Series(str(names[p[0]]), p, times[p], values[p], is_missing[p]) for p in parts],
    )


def _texts(path: Path, columns: dict[str, str]) -> pl.DataFrame:
    if not path.is_file():
        raise SettingsError("--input", value=str(path), allowed="a file", cure="check its path")
    try:
        frame = pl.read_csv(path, infer_schema=False, truncate_ragged_lines=True)
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise SettingsError(
            "--input", value=str(path), allowed="CSV with a line of names", cure=reason
        ) from error
    for option, name in columns.items():
        if name not in frame.columns:
            has = ", ".join(frame.columns)
            raise SettingsError(option, value=name, allowed=has, cure="name one of these columns")
    return frame


def _values(path: Path, texts: pl.Series, name: str) -> tuple[Floats, Int64s]:
    lower = texts.str.strip_chars().str.to_lowercase().fill_null("")
    is_missing = lower.is_in(list(NO_VALUES))
    numbers = lower.cast(pl.Float64, strict=False)
    _refuse_first(path, name, texts, ~is_missing & numbers.is_null(), "numbers; empty: no value")
    found = numbers.fill_null(np.nan).to_numpy().copy()
    found[~np.isfinite(found)] = np.nan
    return found, is_missing.to_numpy().astype(np.int64)


def _times(path: Path, texts: pl.Series, name: str) -> Int64s:
    stripped = texts.str.strip_chars().fill_null("")
    numbers = stripped.cast(pl.Float64, strict=False)
    if len(numbers) and numbers.is_not_null().all():
        return _epoch_ms(numbers.to_numpy())
    found = _moments(stripped)
    allowed = "RFC 3339, a date and time, epoch s or ms, or row numbers"
    _refuse_first(path, name, texts, found.is_null(), allowed)
    return found.to_numpy().astype(np.int64)


def _epoch_ms(numbers: Floats) -> Int64s:
    largest = float(np.abs(numbers).max())
    factor = next(factor for limit, factor in EPOCH_UNITS if largest < limit)
    if largest < ROW_NUMBER_MAX:
        factor = float(DEFAULT_WINDOW_MS)
    times_ms: Int64s = np.rint(numbers * factor).astype(np.int64)
    return times_ms


def _moments(texts: pl.Series) -> pl.Series:
    """Return UTC ms of each text by the first way of writing that fits it; null where none does."""
    zoned = texts.str.replace(r"[Zz]$", "+00:00").str.replace(" ", "T", literal=True)
    found = zoned.str.to_datetime("%+", time_unit="ms", time_zone="UTC", strict=False)
    found = found.dt.epoch("ms")
    for written in ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", *PLAIN_FORMATS):
        if not found.is_null().any():
            break
        if "%H" in written:
            moments = texts.str.to_datetime(written, time_unit="ms", strict=False)
        else:
            moments = texts.str.to_date(written, strict=False).cast(pl.Datetime("ms"))
        found = found.zip_with(found.is_not_null(), moments.dt.epoch("ms"))
    return found


def _refuse_first(
    path: Path, column: str, texts: pl.Series, is_bad: pl.Series, allowed: str
) -> None:
    if is_bad.any():
        row = int(is_bad.arg_true()[0])
        raise SettingsError(
            f"{path.name} line {row + 2}, column {column}",
            value=texts[row],
            allowed=allowed,
            cure="mend the line, or remove it",
        )
