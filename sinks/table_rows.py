"""Messages of one topic become the Arrow columns of its table.

bytes of many messages ──decode_messages──> frame ──> Arrow table, ready for one insert
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from schemas.arrow_numbers import arrow_numbers
from schemas.codec import DecodedBlock, RejectedMessage, SchemaOfId, decode_messages
from schemas.finding_columns import flat_findings
from schemas.tables import LOAD_BATCH, TABLE_OF_TOPIC, TableSpec
from schemas.topics import Topic
from schemas.verdict_columns import flat_verdicts
from sinks.dead_letter import dead_letter_frame
from sinks.histogram_check import with_even_histograms
from sinks.messages import Message
from sinks.point_runs import run_frame

DECOMMISSIONED = "decommissioned"

PACKED_TOPICS = (Topic.WINDOWS, Topic.ACCOUNTS)
"""A message of these holds many rows."""


@dataclass(frozen=True)
class Rows:
    """What a block of messages adds to a table, and the messages that were refused."""

    table: pa.Table
    rejected: tuple[tuple[Message, RejectedMessage], ...] = ()


def concat_rows(spec: TableSpec, blocks: Sequence[Rows]) -> Rows:
    """Join blocks of rows of one table."""
    empty = _data_columns(spec).empty_table()
    table = pa.concat_tables([empty, *(block.table for block in blocks)])
    return Rows(table, tuple(pair for block in blocks for pair in block.rejected))


def rows_of(
    topic: Topic,
    messages: Sequence[Message],
    schema_of_id: SchemaOfId,
    topic_tenant: str | None = None,
) -> Rows:
    """Turn messages of one topic into the columns of its table, without `load_batch`.

    Args:
        topic: what the messages are.
        messages: of one topic.
        schema_of_id: of the registry.
        topic_tenant: whose telemetry topic it is; None: the shared one.

    Raises:
        Unavailable: a schema id cannot be resolved because the registry is away.
    """
    spec = TABLE_OF_TOPIC[topic]
    if topic is Topic.DEAD_LETTERS:
        return Rows(_arrow_table(spec, dead_letter_frame(messages)))
    if topic is Topic.TELEMETRY:
        # What is refused is the aggregate job's to report.
        return Rows(_arrow_table(spec, run_frame(messages, topic_tenant, schema_of_id)))
    living = [message for message in messages if message.value is not None]
    block = decode_messages(topic, [message.value for message in living], schema_of_id)
    if topic is Topic.WINDOWS:
        block = with_even_histograms(block)
    table = _arrow_table(spec, _frame(topic, block, living))
    if topic is Topic.DEVICE_STATUS:
        tombstones = [message for message in messages if message.value is None]
        table = pa.concat_tables([table, _arrow_table(spec, _decommissioned(tombstones))])
    return Rows(table, tuple((living[rejected.row], rejected) for rejected in block.rejected))


def with_batch_number(rows: pa.Table, batch_number: int) -> pa.Table:
    """Append the column that tells after a crash whether these rows have landed."""
    numbers = arrow_numbers(np.full(rows.num_rows, batch_number, np.uint64))
    return rows.append_column(pa.field(LOAD_BATCH, pa.uint64()), numbers)


def _frame(topic: Topic, block: DecodedBlock, messages: Sequence[Message]) -> pl.DataFrame:
    if topic is Topic.ROLLOUTS:
        return flat_verdicts(block.messages, block.items)
    is_packed = topic in PACKED_TOPICS
    return _FRAMES[topic](block.items if is_packed else block.messages, messages)


def _account_frame(items: pl.DataFrame, _messages: Sequence[Message]) -> pl.DataFrame:
    return items


def _window_frame(items: pl.DataFrame, _messages: Sequence[Message]) -> pl.DataFrame:
    return items.with_columns(pl.col("device_id").fill_null(""))


def _alert_frame(events: pl.DataFrame, _messages: Sequence[Message]) -> pl.DataFrame:
    counts = pl.col("counts").struct
    return events.with_columns(
        monitored_count=counts.field("monitored"),
        offline_count=counts.field("offline"),
        offline_ratio=counts.field("ratio"),
        sample_devices=counts.field("sample_devices").fill_null([]),
    )


def _finding_frame(findings: pl.DataFrame, _messages: Sequence[Message]) -> pl.DataFrame:
    return flat_findings(findings)


def _status_frame(states: pl.DataFrame, messages: Sequence[Message]) -> pl.DataFrame:
    offsets = pl.Series([message.offset for message in messages], dtype=pl.UInt64)
    return states.with_columns(status_order=offsets.gather(states["row"]))


_FRAMES: dict[Topic, Callable[[pl.DataFrame, Sequence[Message]], pl.DataFrame]] = {
    Topic.WINDOWS: _window_frame,
    Topic.ALERTS: _alert_frame,
    Topic.DRIFT: _finding_frame,
    Topic.DEVICE_STATUS: _status_frame,
    Topic.ACCOUNTS: _account_frame,
}


def _decommissioned(tombstones: Sequence[Message]) -> pl.DataFrame:
    """Return the last state of devices that left: a tombstone has only its key and its time."""
    keys = [(message.key or b"").decode(errors="replace") for message in tombstones]
    identities = [key.partition("/") for key in keys]
    empty = [""] * len(tombstones)
    times = [message.timestamp_ms for message in tombstones]
    return pl.DataFrame(
        {
            "tenant_id": [tenant_id for tenant_id, _, _ in identities],
            "device_id": [device_id for _, _, device_id in identities],
            "status": [DECOMMISSIONED] * len(tombstones),
            "status_since": times,
            "last_seen": times,
            "hardware_revision": empty,
            "firmware_version": empty,
            "model_version": empty,
            "deployment_group": empty,
            "site": empty,
            "status_order": [message.offset for message in tombstones],
        }
    )


def _data_columns(spec: TableSpec) -> pa.Schema:
    return spec.columns.remove(spec.columns.get_field_index(LOAD_BATCH))


def _arrow_table(spec: TableSpec, frame: pl.DataFrame) -> pa.Table:
    schema = _data_columns(spec)
    table = frame.select(schema.names).to_arrow()
    columns = [_arrow_column(table[column.name], column.type) for column in schema]
    return pa.table(columns, schema=schema)


def _arrow_column(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if pa.types.is_map(kind):
        return pa.chunked_array([_as_map(chunk, kind) for chunk in column.chunks], kind)
    if pa.types.is_fixed_size_binary(kind):
        return column.cast(pa.binary()).cast(kind)
    return column.cast(kind)


def _as_map(entries: pa.Array, kind: pa.MapType) -> pa.Array:
    """Turn a list of (key, value) structs, null or not, into a map, for which Arrow has no cast."""
    flat = entries.flatten()  # without the entries of nulls
    counts = pl.Series(pl.from_arrow(entries.value_lengths())).fill_null(0)
    ends = np.cumsum(counts.to_numpy(), dtype=np.int32)
    offsets = arrow_numbers(np.concatenate([np.zeros(1, np.int32), ends]))
    keys = flat.field("key").cast(kind.key_type)
    values = flat.field("value").cast(kind.item_type)
    return pa.MapArray.from_arrays(offsets, keys, values)
