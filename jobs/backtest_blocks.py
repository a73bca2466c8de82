"""From lines of a backtest's log to the blocks that the liveness logic takes."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import polars as pl

from jobs.backtest_log import LineType, LogLine, parse_time_ms
from schemas.control import control_fields, parse_control
from schemas.control_records import CONTROL_SCHEMA
from udfs.liveness import (
    CONTACT_SCHEMA,
    DEVICE_CHANGE_SCHEMA,
    LivenessBlock,
    no_contacts,
    no_device_changes,
)
from udfs.partition_clocks import partition_stretches, record_clocks
from udfs.shards import device_hashes, shard_of

GATEWAY_TAG = "via_gateway"
TRUE_WORDS = ("true", "1", "yes")
LOG_SCHEMA = {
    "append_time_ms": pl.Int64,
    "partition": pl.Int64,
    "offset": pl.Int64,
    "index": pl.Int64,
}


RECORD_TYPES = (LineType.CONTACT, LineType.TICK)


class NumberedLine(NamedTuple):
    """A line and its offset in its partition."""

    line: LogLine
    offset: int


def numbered_lines(lines: Iterable[LogLine]) -> Iterator[NumberedLine]:
    """Number the records of each partition; other lines take no offset."""
    next_offset: Counter[int] = Counter()
    for line in lines:
        yield NumberedLine(line, next_offset[line.partition])
        next_offset[line.partition] += line.type in RECORD_TYPES


class BlockWriter:
    """Packs lines of a log into one block a shard.

    Args:
        shard_count: how many shards the devices are spread over.
        blind_after_ms: silence that begins a new stretch.
    """

    def __init__(self, shard_count: int, blind_after_ms: int) -> None:
        self._shard_count = shard_count
        self._blind_after_ms = blind_after_ms

    def write(self, lines: list[NumberedLine]) -> list[LivenessBlock]:
        """Return one block a shard; all of them see all clocks."""
        records = [numbered for numbered in lines if numbered.line.type in RECORD_TYPES]
        log = pl.DataFrame(
            {
                "append_time_ms": [record.line.at_ms for record in records],
                "partition": [record.line.partition for record in records],
                "offset": [record.offset for record in records],
                "index": range(len(records)),
            },
            schema=LOG_SCHEMA,
        )
        log = log.with_columns(record_clocks(pl.col("append_time_ms")).alias("clock_ms"))
        clocks = partition_stretches(log, self._blind_after_ms)
        contacts = self._sharded(_contacts([record.line for record in records], log))
        devices = self._sharded(_devices([numbered.line for numbered in lines]))
        controls = _controls([numbered.line for numbered in lines])
        return [
            LivenessBlock(contacts[shard], clocks, devices[shard], controls)
            for shard in range(self._shard_count)
        ]

    def _sharded(self, frame: pl.DataFrame) -> list[pl.DataFrame]:
        if frame.is_empty() or self._shard_count == 1:
            return [frame] * self._shard_count
        hashes = device_hashes(frame["tenant_id"].to_list(), frame["device_id"].to_list())
        shards = pl.Series(shard_of(hashes, self._shard_count), dtype=pl.Int32)
        return [frame.filter(shards == shard) for shard in range(self._shard_count)]


def _contacts(records: list[LogLine], log: pl.DataFrame) -> pl.DataFrame:
    rows = [
        _contact_fields(line.fields) | {"index": index}
        for index, line in enumerate(records)
        if line.type is LineType.CONTACT
    ]
    if not rows:
        return no_contacts()
    said = pl.DataFrame(rows, schema=CONTACT_SCHEMA | {"index": pl.Int64})
    placed = said.drop(*(name for name in log.columns if name != "index"))
    return placed.join(log, on="index", maintain_order="left").select(*CONTACT_SCHEMA)


def _contact_fields(fields: dict[str, Any]) -> dict[str, Any]:
    points = fields.get("points") or []
    times_ms = [parse_time_ms(point["timestamp"]) for point in points if "timestamp" in point]
    words = [str((point.get("tags") or {}).get(GATEWAY_TAG, "")).lower() for point in points]
    given = {name: fields.get(name) for name in CONTACT_SCHEMA}
    return given | {
        "newest_point_ms": max(times_ms, default=None),
        "is_via_gateway": any(word in TRUE_WORDS for word in words),
    }


def _controls(lines: list[LogLine]) -> pl.DataFrame:
    said = [line for line in lines if line.type is LineType.CONTROL]
    rows = [
        {
            "append_time_ms": line.at_ms,
            "offset": offset,
            "event": json.dumps(control_fields(parse_control(line.fields["event"]))),
        }
        for offset, line in enumerate(said)
    ]
    return pl.DataFrame(rows, schema=CONTROL_SCHEMA)


def _devices(lines: list[LogLine]) -> pl.DataFrame:
    rows: list[dict[str, Any]] = []
    for line in lines:
        if line.type is not LineType.DEVICE:
            continue
        record = line.fields.get("record")
        fields = line.fields if record is None else record
        place = {"is_tombstone": record is None, "append_time_ms": line.at_ms, "offset": len(rows)}
        rows.append({name: fields.get(name) for name in DEVICE_CHANGE_SCHEMA} | place)
    return pl.DataFrame(rows, schema=DEVICE_CHANGE_SCHEMA) if rows else no_device_changes()
