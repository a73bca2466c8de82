"""Old firmware's metrics in Avro: `{metrics: array<{name, value, tags, timestamp}>}`, no identity.

The bytes go through the reader of today's messages (`schemas.block_reader`), so that hostile ones
meet the same checks; only the columns that come out are different.
"""

import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import polars as pl

from schemas.block_reader import BlockReader
from schemas.careful_reader import INDEX
from schemas.errors import Reason, Rejected
from schemas.old_metrics import TAGS_TYPE, OldMetrics
from schemas.old_times import NotATime, time_ms
from schemas.records import WIRE_HEADER_BYTES, Schema
from schemas.schema_fields import schema_fields
from schemas.topics import MESSAGE_MAX_BYTES

NUMBERS = ("int", "long", "float", "double")
OTHER_SCALES = ("timestamp-micros", "timestamp-nanos")

READABLE: dict[str, Callable[[Any], bool]] = {
    "name": lambda plain: plain == "string",
    "value": lambda plain: plain in NUMBERS,
    "timestamp": lambda plain: _some(plain) in (*NUMBERS, "string"),
    "tags": lambda plain: _is_text_map(_some(plain)),
}
"""What the types of a metric's fields may be; timestamp and tags may be null, or not be there."""


def has_metrics(schema: Schema) -> bool:
    """Tell whether a writer's schema is of the old shape: metrics, but neither identity nor points.

    >>> has_metrics({"type": "record", "name": "M", "fields": [{"name": "metrics"}]})
    True
    """
    fields = schema.get("fields") if isinstance(schema, dict) else None
    if not isinstance(fields, list):
        return False
    names = [field.get("name") for field in fields if isinstance(field, dict)]
    return "metrics" in names and not {"tenant_id", "device_id", "points"} & {*map(str, names)}


def avro_adapter(schema: Schema) -> Callable[[Sequence[bytes]], OldMetrics]:
    """Return the adapter of a writer's schema; the same one when the schema comes again."""
    try:
        return _adapter(json.dumps(schema))
    except RecursionError:
        return _refusing(_refused("deeper than Python can follow"))


@lru_cache(maxsize=256)
def _adapter(schema_text: str) -> Callable[[Sequence[bytes]], OldMetrics]:
    try:
        reader = _metrics_reader(json.loads(schema_text))
    except Rejected as error:
        return _refusing(error)
    return lambda values: _read(reader, values)


def _metrics_reader(schema: Schema) -> BlockReader:
    """Return the reader of a schema.

    Raises:
        Rejected: the schema is refused by itself, or its metrics are not as we know them.
    """
    reader = BlockReader(schema)
    listed = next(f["type"] for f in reader.plain["fields"] if f["name"] == "metrics")
    metric = listed["items"] if isinstance(listed, dict) and listed["type"] == "array" else None
    if not isinstance(metric, dict) or metric["type"] != "record":
        raise _refused("its metrics are no list of records")
    types = {field["name"]: field["type"] for field in metric["fields"]}
    if not {"name", "value"} <= types.keys():
        raise _refused("a metric has no name or no value")
    for name in READABLE.keys() & types.keys():
        if not READABLE[name](types[name]):
            raise _refused(f"a metric's {name} has a type that is not known here")
    written = schema_fields(schema).get("metrics.timestamp")
    if written is not None and any(scale in written.logical for scale in OTHER_SCALES):
        raise _refused("its timestamps are neither seconds nor ms")
    return reader


def _refused(detail: str) -> Rejected:
    return Rejected(Reason.SCHEMA_REFUSED, detail)


def _refusing(error: Rejected) -> Callable[[Sequence[bytes]], OldMetrics]:
    """Return the adapter that rejects every message of a schema."""
    types = {"index": pl.UInt32, "name": pl.String, "value": pl.Float64, "timestamp": pl.Int64}
    return lambda values: OldMetrics(
        [],
        pl.DataFrame(schema=types | {"tags": TAGS_TYPE}),
        [(index, error) for index in range(len(values))],
    )


def _some(plain: Any) -> Any:
    """Return the other type of a nullable one."""
    others = (
        [branch for branch in plain if branch != "null"] if isinstance(plain, list) else [plain]
    )
    return others[0] if len(others) == 1 else None


def _is_text_map(plain: Any) -> bool:
    if not isinstance(plain, dict) or plain["type"] != "array" or isinstance(plain["items"], str):
        return False
    fields = plain["items"].get("fields", ())
    return [(f["name"], f["type"]) for f in fields] == [("key", "string"), ("value", "string")]


def _read(reader: BlockReader, values: Sequence[bytes]) -> OldMetrics:
    oversize = Rejected(Reason.OVERSIZE, f"over the limit of {MESSAGE_MAX_BYTES} bytes")
    kept = [index for index, value in enumerate(values) if len(value) <= MESSAGE_MAX_BYTES]
    rejected = [(index, oversize) for index in range(len(values)) if index not in set(kept)]
    read = reader.read([values[index][WIRE_HEADER_BYTES:] for index in kept])
    rejected += [
        (kept[index], Rejected(Reason.AVRO_INVALID, detail)) for index, detail in read.refused
    ]
    rows = pl.Series("index", kept, dtype=pl.UInt32)
    records = read.records.select(index=pl.lit(rows).gather(pl.col(INDEX)), metrics="metrics")
    metrics, mistimed = _timed(_flat(records))
    rejected += mistimed.items()
    accepted = [index for index in records["index"].to_list() if index not in mistimed]
    return OldMetrics(accepted, metrics, rejected)


def _flat(records: pl.DataFrame) -> pl.DataFrame:
    """Return a row for each metric, its timestamp as written; null when the schema has none."""
    metrics = records.filter(pl.col("metrics").list.len() > 0).explode("metrics").unnest("metrics")
    missing = {"timestamp": pl.Int64(), "tags": TAGS_TYPE}
    return metrics.with_columns(
        pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in missing.items()
        if name not in metrics.columns
    ).select(
        "index",
        "name",
        pl.col("value").cast(pl.Float64),
        "timestamp",
        pl.col("tags").fill_null(pl.lit([], dtype=TAGS_TYPE)).cast(TAGS_TYPE),
    )


def _timed(metrics: pl.DataFrame) -> tuple[pl.DataFrame, dict[int, Rejected]]:
    """Return the metrics with times in ms, and the messages that have a time which is none."""
    times: list[int | None] = []
    mistimed: dict[int, Rejected] = {}
    for index, written in metrics.select("index", "timestamp").iter_rows():
        try:
            times.append(None if written is None else time_ms(written))
        except NotATime as error:
            times.append(None)
            mistimed[index] = Rejected(Reason.AVRO_INVALID, str(error))
    timed = metrics.with_columns(timestamp=pl.Series(times, dtype=pl.Int64))
    return timed.filter(~pl.col("index").is_in(list(mistimed))), mistimed
