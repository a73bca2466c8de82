"""The ClickHouse tables: what the loader writes into each, and the migrations that make them."""

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources

import pyarrow as pa

from schemas.finding_columns import FINDING_COLUMNS
from schemas.topics import Topic
from schemas.verdict_columns import VERDICT_COLUMNS

LOAD_BATCH = "load_batch"
"""Column of every loaded table: number of the last batch that added to the row."""

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS

SUM_FIXED_BYTES = 16
SUM_SQ_FIXED_BYTES = 32

_TEXT = pa.string()
_TIME = pa.timestamp("ms", tz="UTC")
_TEXTS = pa.list_(_TEXT)
_HISTOGRAM = pa.struct([("bins", pa.list_(pa.int32())), ("counts", pa.list_(pa.uint64()))])


@dataclass(frozen=True)
class Rollup:
    """A table that adds up the rows of another by a longer span.

    Args:
        name: in the database.
        span_ms: length of the span, in UTC; it divides a day.
        slot_ms: length of the slots of the span, of which `covered_slots` keeps one bit each.
    """

    name: str
    span_ms: int
    slot_ms: int


class PartitionSpan(StrEnum):
    """Of what length the partitions of a table are, UTC; whole ones are dropped when too old."""

    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True)
class TableSpec:
    """One loaded table.

    Args:
        name: in the database.
        topic: whose messages become its rows.
        columns: of an insert, in order.
        time_column: by which the table is partitioned and forgets; None: it does neither.
        partition_span: of the partitions.
        landing: the table that inserts go to, from which views fill this one and its roll-ups;
            None: inserts go to the table itself.
        rollups: have the same partitions.
    """

    name: str
    topic: Topic
    columns: pa.Schema
    time_column: str | None = None
    partition_span: PartitionSpan = PartitionSpan.MONTH
    landing: str | None = None
    rollups: tuple[Rollup, ...] = ()


def _columns(**columns: pa.DataType) -> pa.Schema:
    fields = [pa.field(column, kind) for column, kind in columns.items()]
    return pa.schema([*fields, pa.field(LOAD_BATCH, pa.uint64())])


WINDOWS = TableSpec(
    "windows",
    Topic.WINDOWS,
    _columns(
        tenant_id=_TEXT,
        scope=_TEXT,
        device_id=_TEXT,
        metric=_TEXT,
        deployment_group=_TEXT,
        model_version=_TEXT,
        window_ms=pa.uint32(),
        window_start=_TIME,
        count=pa.uint64(),
        sum_fixed=pa.binary(SUM_FIXED_BYTES),
        sum_sq_fixed=pa.binary(SUM_SQ_FIXED_BYTES),
        min=pa.float64(),
        max=pa.float64(),
        histogram=_HISTOGRAM,
        missing_count=pa.uint64(),
        nan_count=pa.uint64(),
        out_of_range_count=pa.uint64(),
        skewed_count=pa.uint64(),
        duplicate_count=pa.uint64(),
    ),
    time_column="window_start",
    landing="windows_landing",
    rollups=(
        Rollup("windows_1h", span_ms=HOUR_MS, slot_ms=MINUTE_MS),
        Rollup("windows_1d", span_ms=24 * HOUR_MS, slot_ms=HOUR_MS),
    ),
)

ALERT_EVENTS = TableSpec(
    "alert_events",
    Topic.ALERTS,
    _columns(
        id=_TEXT,
        source=_TEXT,
        type=_TEXT,
        subject=_TEXT,
        tenant_id=_TEXT,
        time=_TIME,
        emitted_at=_TIME,
        dedup_key=_TEXT,
        episode_id=_TEXT,
        seq=pa.int32(),
        status=_TEXT,
        severity=_TEXT,
        previous_severity=_TEXT,
        starts_at=_TIME,
        escalated_at=_TIME,
        ends_at=_TIME,
        last_seen=_TIME,
        silence_s=pa.float64(),
        threshold_s=pa.float64(),
        value=pa.float64(),
        reason=_TEXT,
        notify=pa.bool_(),
        channels=_TEXTS,
        suppressed_by=_TEXTS,
        acked=pa.bool_(),
        backfilled=pa.bool_(),
        input_clock=_TIME,
        detection_delay_ms=pa.int64(),
        blind_seconds=pa.float64(),
        labels=pa.map_(_TEXT, _TEXT),
        monitored_count=pa.int64(),
        offline_count=pa.int64(),
        offline_ratio=pa.float64(),
        sample_devices=_TEXTS,
        summary=_TEXT,
        runbook_url=_TEXT,
    ),
)

DEVICE_STATUS = TableSpec(
    "device_status",
    Topic.DEVICE_STATUS,
    _columns(
        tenant_id=_TEXT,
        device_id=_TEXT,
        status=_TEXT,
        status_since=_TIME,
        last_seen=_TIME,
        hardware_revision=_TEXT,
        firmware_version=_TEXT,
        model_version=_TEXT,
        deployment_group=_TEXT,
        site=_TEXT,
        status_order=pa.uint64(),
    ),
)

DEAD_LETTERS = TableSpec(
    "dead_letters",
    Topic.DEAD_LETTERS,
    _columns(
        origin_topic=_TEXT,
        origin_partition=pa.int32(),
        origin_offset=pa.int64(),
        stage=_TEXT,
        component=_TEXT,
        reason=_TEXT,
        detail=_TEXT,
        message_key=_TEXT,
        value_bytes=pa.uint64(),
        value_sha256=_TEXT,
        dead_partition=pa.int32(),
        dead_offset=pa.int64(),
        timestamp=_TIME,
        attempt=pa.uint32(),
        schema_id=pa.int64(),
        tenant_claimed=_TEXT,
        first_failed_at=_TIME,
        replay_of=_TEXT,
    ),
)

ACCOUNTS = TableSpec(
    "accounts",
    Topic.ACCOUNTS,
    _columns(
        topic=_TEXT,
        partition=pa.int32(),
        unit=_TEXT,
        outcome=_TEXT,
        reason=_TEXT,
        count=pa.uint64(),
    ),
)

TELEMETRY_RUNS = TableSpec(
    "telemetry_runs",
    Topic.TELEMETRY,
    _columns(
        tenant_id=_TEXT,
        metric=_TEXT,
        device_id=_TEXT,
        first_at=_TIME,
        offset_ms=pa.list_(pa.uint32()),
        value=pa.list_(pa.float64()),
        tags=pa.map_(_TEXT, _TEXT),
        is_skewed=pa.bool_(),
    ),
    time_column="first_at",
    partition_span=PartitionSpan.WEEK,
)

DRIFT_FINDINGS = TableSpec("drift_findings", Topic.DRIFT, _columns(**FINDING_COLUMNS))
ROLLOUT_VERDICTS = TableSpec("rollout_verdicts", Topic.ROLLOUTS, _columns(**VERDICT_COLUMNS))

LOADED_TABLES = (
    WINDOWS,
    ALERT_EVENTS,
    DEVICE_STATUS,
    DEAD_LETTERS,
    ACCOUNTS,
    TELEMETRY_RUNS,
    DRIFT_FINDINGS,
    ROLLOUT_VERDICTS,
)
TABLE_OF_TOPIC = {table.topic: table for table in LOADED_TABLES}
TIME_COLUMNS = {
    name: table.time_column
    for table in LOADED_TABLES
    if table.time_column is not None
    for name in (table.name, *(rollup.name for rollup in table.rollups))
}
"""By which each table that forgets does so, roll-ups too."""


@dataclass(frozen=True)
class Migration:
    """One step of the database's schema.

    Args:
        version: its number, from 1 without gaps.
        name: the file's name without number and ending.
        text: the file's SQL.
    """

    version: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """Return the SHA-256 of the statements, so that a changed old file is noticed."""
        return hashlib.sha256("\n".join(self.statements()).encode()).hexdigest()

    def statements(self) -> list[str]:
        """Return the statements in order, without comments and without the last semicolon."""
        return split_statements(self.text)


def split_statements(text: str) -> list[str]:
    r"""Split SQL at semicolons that end a line; lines that are only a comment are dropped.

    >>> split_statements("-- why\nSELECT 1;\n\nSELECT ';'\n  AS x;\n")
    ['SELECT 1', "SELECT ';'\n  AS x"]
    """
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    statements = re.split(r";[ \t]*(?:\n|\Z)", "\n".join(lines))
    return [statement.strip() for statement in statements if statement.strip()]


@cache
def migrations() -> tuple[Migration, ...]:
    """Return all migrations in `schemas/clickhouse`, in order."""
    folder = resources.files("schemas") / "clickhouse"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    found = []
    for expected, name in enumerate(names, start=1):
        number, _, rest = name.removesuffix(".sql").partition("_")
        assert int(number) == expected, f"migrations must be numbered without gaps: {name}"
        found.append(Migration(expected, rest, (folder / name).read_text(encoding="utf-8")))
    return tuple(found)
