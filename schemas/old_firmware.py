"""Old firmware beside new: formats without a device's identity, which stands in the Kafka key.

    values ──by wire format, by schema──┬─ today's ─> block decode ───────────────────┐
                                        └─ old ─> adapter ─> metrics ─> identity, ────┴─> one block
                                                                        defaults

An adapter reads one old format into `OldMetrics`; it is chosen by how a message starts
(`WIRE_FORMATS`) or by the schema behind its id (`SCHEMAS`). A new one is a line in either table.
A block without old messages costs one look at five bytes of each.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas.codec import DecodedBlock, RejectedMessage, SchemaOfId, decode_messages
from schemas.errors import Reason, Rejected
from schemas.old_avro import avro_adapter, has_metrics
from schemas.old_json import JSON_STARTS, read_json
from schemas.old_metrics import OldMetrics
from schemas.records import WIRE_HEADER_BYTES, WIRE_MAGIC, Schema, schema_of
from schemas.topics import Topic

Adapter = Callable[[Sequence[bytes]], OldMetrics]

WIRE_FORMATS: dict[bytes, Adapter] = {bytes([start]): read_json for start in JSON_STARTS}
"""Adapters by the first byte of a message; today's format starts with 0."""

SCHEMAS: tuple[tuple[Callable[[Schema], bool], Callable[[Schema], Adapter]], ...] = (
    (has_metrics, avro_adapter),
)
"""Adapters by the writer's schema: (whether it is of that shape, its adapter)."""


@dataclass(frozen=True)
class Arrivals:
    """What Kafka knows of each message beside its value.

    Args:
        keys: key bytes, or None.
        tenants: the tenant the message's topic belongs to; None for the shared topic.
        append_time_ms: the broker's time, UTC ms, shape (n,).
    """

    keys: Sequence[bytes | None]
    tenants: Sequence[str | None]
    append_time_ms: npt.NDArray[np.int64]


def decode_firmware(
    values: Sequence[bytes | None], arrivals: Arrivals, schema_of_id: SchemaOfId
) -> DecodedBlock:
    """Decode telemetry of today's and of old firmware into one block, in the order of the log.

    Of an old message, `sent_at` is its newest point's timestamp, or the append time when it has no
    points; boot_id and sequence are null; a point without a timestamp has the append time.

    Args:
        values: as read; None is a tombstone.
        arrivals: of the same messages.
        schema_of_id: see `decode_messages`.

    Raises:
        Unavailable: as `schema_of_id` does.
    """
    adapter_of = _adapters(values, schema_of_id)
    if not adapter_of:
        return decode_messages(Topic.TELEMETRY, values, schema_of_id)
    rows: dict[Adapter | None, list[int]] = {None: []}
    for row, value in enumerate(values):
        head = b"" if value is None else value[:WIRE_HEADER_BYTES]
        rows.setdefault(adapter_of.get(head), []).append(row)
    own = rows.pop(None)
    today = decode_messages(Topic.TELEMETRY, [values[row] for row in own], schema_of_id)
    blocks = [_renumbered(today, own)]
    for adapter, old in rows.items():
        assert adapter is not None, "messages of today's format were taken out before"
        metrics = adapter([value for row in old if (value := values[row])])
        blocks.append(_identified(metrics, old, arrivals, like=today))
    return _merged(blocks)


def _adapters(values: Sequence[bytes | None], schema_of_id: SchemaOfId) -> dict[bytes, Adapter]:
    """Return the adapter for each start of a message that needs one; there are few starts."""
    heads = {value[:WIRE_HEADER_BYTES] for value in values if value}
    found = {head: _adapter_of(head, schema_of_id) for head in heads}
    return {head: adapter for head, adapter in found.items() if adapter is not None}


def _adapter_of(head: bytes, schema_of_id: SchemaOfId) -> Adapter | None:
    """Return the adapter for messages that start like this; None leaves them to the codec."""
    if head[:1] != WIRE_MAGIC or len(head) < WIRE_HEADER_BYTES:
        return WIRE_FORMATS.get(head[:1])
    try:
        schema = schema_of_id(int.from_bytes(head[1:], "big"))
    except Rejected:
        return None  # the codec asks again and tells why
    return next((adapter(schema) for is_shape, adapter in SCHEMAS if is_shape(schema)), None)


def identity_of(key: bytes | None, topic_tenant: str | None) -> tuple[str, str]:
    """Return (tenant_id, device_id) as the key says it.

    The key is `tenant_id/device_id`. In a tenant's own topic the device alone will do, when its id
    has no slash. Whether the tenant is the topic's is judged with the limits, as for everybody.

    Raises:
        Rejected: the key does not say it.

    >>> identity_of(b"acme/cam/7", None), identity_of(b"cam-7", "acme")
    (('acme', 'cam/7'), ('acme', 'cam-7'))
    """
    try:
        tenant, slash, device = (key or b"").decode().partition("/")
    except UnicodeDecodeError:
        raise Rejected(Reason.IDENTITY_INVALID, "the key is not UTF-8") from None
    if not slash and topic_tenant is not None:
        tenant, device = topic_tenant, tenant
    if not tenant or not device:
        raise Rejected(Reason.IDENTITY_INVALID, "the key is not tenant_id/device_id")
    return tenant, device


def _identified(
    old: OldMetrics, rows: Sequence[int], arrivals: Arrivals, like: DecodedBlock
) -> DecodedBlock:
    """Put identity, times and defaults to metrics: a block as of today's firmware.

    Args:
        old: numbered by position in `rows`.
        rows: of those messages in the whole block.
        arrivals: of the whole block.
        like: a block with today's columns.
    """
    rejected, identities = list(old.rejected), {}
    for index in old.accepted:
        try:
            identities[index] = identity_of(
                arrivals.keys[rows[index]], arrivals.tenants[rows[index]]
            )
        except Rejected as error:
            rejected.append((index, error))
    known = pl.Series("index", list(identities), dtype=pl.UInt32)
    items = old.metrics
    if len(known) < len(old.accepted):
        items = items.filter(pl.col("index").is_in(known))
    appended = pl.lit(pl.Series(arrivals.append_time_ms[np.array(rows)])).gather(pl.col("index"))
    items = items.with_columns(pl.col("timestamp").fill_null(appended))
    newest = items.group_by("index").agg(sent_at=pl.col("timestamp").max())
    messages = known.to_frame().with_columns(
        tenant_id=pl.Series([tenant for tenant, _ in identities.values()], dtype=pl.String),
        device_id=pl.Series([device for _, device in identities.values()], dtype=pl.String),
    )
    messages = messages.join(newest, on="index", how="left", maintain_order="left").with_columns(
        pl.col("sent_at").fill_null(appended)
    )
    fields, point_fields = _defaults()
    block = DecodedBlock(
        _completed(messages, like.messages, fields),
        _completed(items, like.items, point_fields),
        [RejectedMessage(index, error.reason, error.detail) for index, error in rejected],
    )
    return _renumbered(block, rows)


def _completed(
    frame: pl.DataFrame, like: pl.DataFrame, defaults: Mapping[str, Any]
) -> pl.DataFrame:
    """Return the columns of another frame, those that are missing by default."""
    columns = [
        (pl.col(name) if name in frame.columns else pl.lit(defaults[name])).cast(dtype).alias(name)
        for name, dtype in like.schema.items()
        if name != "row"
    ]
    return frame.select(pl.col("index").alias("row"), *columns)


def _defaults() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the defaults of a batch's fields and of a point's, by name."""
    fields = schema_of(Topic.TELEMETRY)["fields"]
    points = next(field["type"]["items"]["fields"] for field in fields if field["name"] == "points")
    batch, point = ({f["name"]: f.get("default") for f in each} for each in (fields, points))
    return batch, point


def _renumbered(block: DecodedBlock, rows: Sequence[int]) -> DecodedBlock:
    """Number the messages of a part as the whole block does."""
    row = pl.lit(pl.Series("row", rows, dtype=pl.UInt32)).gather(pl.col("row")).alias("row")
    return DecodedBlock(
        block.messages.with_columns(row),
        block.items.with_columns(row),
        [RejectedMessage(rows[each.row], each.reason, each.detail) for each in block.rejected],
    )


def _merged(blocks: Sequence[DecodedBlock]) -> DecodedBlock:
    return DecodedBlock(
        pl.concat([block.messages for block in blocks]).sort("row"),
        pl.concat([block.items for block in blocks]).sort("row", maintain_order=True),
        sorted(
            (message for block in blocks for message in block.rejected),
            key=lambda message: message.row,
        ),
    )
