"""Timestamps as old firmware writes them."""

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

SECONDS_BELOW = 100_000_000_000
"""A number nearer to 0 than this is in seconds, any other in ms: as seconds it is the year 5138,
as ms it is March 1973, so no device that works is on the wrong side of it."""

LONG_MAX = 2**63 - 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


class NotATime(ValueError):
    """What was written is no time; the text never shows it."""


def time_ms(written: Any) -> int:
    """Return a time as UTC ms.

    Args:
        written: epoch seconds or epoch ms as int or float, told apart by `SECONDS_BELOW`; or RFC
            3339 text, whose fraction is cut to ms. A leap second (:60) is refused.

    Raises:
        NotATime: it is none of these, or beyond 64 bits; the text never shows the value.

    >>> time_ms(1790000000), time_ms(1790000000.25), time_ms(1790000000250)
    (1790000000000, 1790000000250, 1790000000250)
    >>> time_ms("2026-09-21T14:13:20.25Z"), time_ms("2026-09-21T16:13:20+02:00")
    (1790000000250, 1790000000000)
    """
    kind, whole = type(written), 0
    if kind is int:
        whole = written * 1000 if -SECONDS_BELOW < written < SECONDS_BELOW else written
    elif kind is float:
        whole = _rounded(written * 1000 if -SECONDS_BELOW < written < SECONDS_BELOW else written)
    elif kind is str:
        whole = _text_ms(written)
    else:
        raise NotATime("a timestamp is neither a number nor RFC 3339 text")
    if not -LONG_MAX - 1 <= whole <= LONG_MAX:
        raise NotATime("a timestamp is beyond 64 bits")
    return whole


def _rounded(number: float) -> int:
    if not math.isfinite(number):
        raise NotATime("a timestamp is not finite")
    return round(number)


def times_ms(written: Sequence[Any]) -> list[int | None]:
    """Return times as UTC ms, None where None is written; see `time_ms`.

    Raises:
        NotATime: one of them is no time.
    """
    if not set(map(type, written)) <= {float}:
        return [None if time is None else time_ms(time) for time in written]
    # What most devices write, all at once.
    times = np.array(written, np.float64)
    scaled = times * np.where(np.abs(times) < SECONDS_BELOW, 1000.0, 1.0)
    if not ((scaled >= -(2.0**63)) & (scaled < 2.0**63)).all():  # NaN is not in the range either
        raise NotATime("a timestamp is beyond 64 bits")
    return np.rint(scaled).astype(np.int64).tolist()  # type: ignore[no-any-return]  # numpy's stubs


def _text_ms(text: str) -> int:
    if RFC_3339.fullmatch(text) is None:
        raise NotATime("a timestamp is not RFC 3339 text with an offset")
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError as error:
        raise NotATime("a timestamp is no moment of the calendar") from error
    return (moment - EPOCH) // MILLISECOND
