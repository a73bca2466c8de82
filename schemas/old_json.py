"""Old firmware's JSON: `{"metrics": [{"name": …, "value": …, "tags": {…}, "timestamp": …}]}`.

A message is judged as a whole, and before any of its columns is made: the first thing that is wrong
rejects it. What is judged how:

- `timestamp`: see `schemas.old_times`; missing or null, the point gets the message's append time.
- `value`: a number. Text, truth values and null are refused; NaN and Infinity are not JSON.
- `tags`: missing or null is none. A value is text; a number or truth value becomes its JSON text,
  a tag that is null is dropped, anything else is refused.
- A key that comes twice: the last one counts. Keys that are not named here are passed over.
- A byte order mark, text that is not UTF-8, half a surrogate pair, a number beyond a double, more
  than 1,023 levels: not JSON here.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
import orjson
import polars as pl
import pyarrow as pa

from schemas.errors import Reason, Rejected
from schemas.old_metrics import TAGS_TYPE, OldMetrics
from schemas.old_times import NotATime, times_ms
from schemas.telemetry import POINTS_MAX_COUNT
from schemas.topics import MESSAGE_MAX_BYTES

JSON_STARTS = b"{ \t\r\n\xef"
"""First bytes of JSON objects: JSON's own white space, and the byte order mark, to be refused."""

CONTAINERS_MAX_COUNT = 4 * POINTS_MAX_COUNT
"""Brackets that open in a message: the largest has two for each point. A megabyte of them would
take 90 ms to build, so they are counted before they are parsed."""


JUDGED_TOGETHER = 32
"""Messages whose metrics become columns at once; when that fails, halves find the bad ones. So few
that their objects stay in the processor's cache, so many that a call of Polars costs little."""

Listed = tuple[int, list[Any]]
"""The index of a message, and its list of metrics, not yet judged."""


def read_json(values: Sequence[bytes]) -> OldMetrics:
    """Read messages into columns; a bad one is rejected alone."""
    rejected: dict[int, Rejected] = {}
    frames = [_frame([])]
    for start in range(0, len(values), JUDGED_TOGETHER):
        listed = []
        for index, value in enumerate(values[start : start + JUDGED_TOGETHER], start):
            try:
                listed.append((index, _listed(value)))
            except Rejected as error:
                rejected[index] = error
        frames += _frames(listed, rejected)
    accepted = [index for index in range(len(values)) if index not in rejected]
    return OldMetrics(accepted, pl.concat(frames), sorted(rejected.items()))


def _frames(listed: Sequence[Listed], rejected: dict[int, Rejected]) -> list[pl.DataFrame]:
    """Return the columns of the messages that are good; the others go to `rejected`."""
    try:
        return [_frame(listed)]
    except Rejected as error:
        if len(listed) == 1:
            rejected[listed[0][0]] = error
            return []
    middle = len(listed) // 2
    return _frames(listed[:middle], rejected) + _frames(listed[middle:], rejected)


def _invalid(detail: str) -> Rejected:
    return Rejected(Reason.JSON_INVALID, detail)


def _listed(value: bytes) -> list[Any]:
    """Return the list of metrics that a message holds, not yet judged."""
    if len(value) > MESSAGE_MAX_BYTES:
        detail = f"{len(value)} bytes are over the limit of {MESSAGE_MAX_BYTES}"
        raise Rejected(Reason.OVERSIZE, detail)
    if value.count(b"{") + value.count(b"[") > CONTAINERS_MAX_COUNT:
        detail = f"more than {CONTAINERS_MAX_COUNT} objects and lists"
        raise Rejected(Reason.LIMIT_EXCEEDED, detail)
    try:
        document = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise _invalid(f"not JSON: {error.msg}") from None  # the error holds the whole message
    metrics = document.get("metrics") if isinstance(document, dict) else None
    if not isinstance(metrics, list):
        raise _invalid("it has no list of metrics")
    if len(metrics) > POINTS_MAX_COUNT:
        raise Rejected(Reason.LIMIT_EXCEEDED, f"more than {POINTS_MAX_COUNT} metrics")
    return metrics


def _frame(listed: Sequence[Listed]) -> pl.DataFrame:
    """Judge metrics a column at a time: types are compared as sets, which costs little.

    Raises:
        Rejected: one of the messages is bad.
    """
    metrics = list(chain.from_iterable(each for _, each in listed))
    if not _kinds(metrics) <= {dict}:
        raise _invalid("a metric is not an object")
    names, values = _column(metrics, "name"), _column(metrics, "value")
    if not _kinds(names) <= {str}:
        raise _invalid("a metric has no name, or one that is not text")
    if not _kinds(values) <= {int, float}:
        raise _invalid("a metric has no value, or one that is not a number")
    try:
        times = times_ms(_column(metrics, "timestamp"))
    except NotATime as error:
        raise _invalid(str(error)) from None
    indices = np.array([index for index, _ in listed], np.uint32)
    counts = np.array([len(each) for _, each in listed], np.int64)
    return pl.DataFrame(
        {
            "index": np.repeat(indices, counts),
            "name": pl.Series(names, dtype=pl.String),
            "value": np.array(values, np.float64),
            "timestamp": pl.Series(times, dtype=pl.Int64),
            "tags": _tag_lists(_column(metrics, "tags")),
        }
    )


def _column(metrics: list[dict[str, Any]], key: str) -> list[Any]:
    """Return a field of each metric; None where it is missing."""
    try:
        return list(map(itemgetter(key), metrics))
    except KeyError:
        return [metric.get(key) for metric in metrics]


def _kinds(column: Iterable[Any]) -> set[type]:
    return set(map(type, column))


def _tags(written: list[Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the tags of each metric, and the text of each tag, one after the other."""
    if not _kinds(written) <= {dict, type(None)}:
        raise _invalid("tags are not an object")
    tags = [{} if each is None else each for each in written] if None in written else written
    values = list(chain.from_iterable(map(dict.values, tags)))
    if _kinds(values) <= {str}:
        return tags, values
    tags = [{key: tag for key, tag in each.items() if tag is not None} for each in tags]
    return tags, [_tag_text(tag) for each in tags for tag in each.values()]


_TAG_TEXTS: dict[type, Callable[[Any], str]] = dict.fromkeys(
    (bool, int, float), lambda tag: orjson.dumps(tag).decode()
) | {str: str}


def _tag_text(tag: Any) -> str:
    to_text = _TAG_TEXTS.get(type(tag))
    if to_text is None:
        raise _invalid("a tag is neither text nor a number nor a truth value")
    return to_text(tag)


def _tag_lists(written: list[Any]) -> pl.Series:
    """Return (key, value) lists: all tags as two flat columns, and where each metric's begin."""
    tags, values = _tags(written)
    begins = np.zeros(len(tags) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, tags), np.int64, len(tags)), out=begins[1:])
    columns = (list(chain.from_iterable(tags)), values)
    texts = [pl.Series(column, dtype=pl.String).to_arrow() for column in columns]
    pairs = pa.StructArray.from_arrays(texts, ["key", "value"])
    return pl.Series("tags", pa.LargeListArray.from_arrays(begins, pairs), dtype=TAGS_TYPE)
