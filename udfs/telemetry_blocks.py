"""From a block of raw telemetry messages to what each shard gets of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas.codec import DecodedBlock, SchemaOfId
from schemas.dead_letter import REPLAY_OF, Headers
from schemas.old_firmware import Arrivals, decode_firmware
from schemas.telemetry import check_limits
from schemas.topics import CLOCK_TENANT_ID, topic_tenants
from udfs.accounts import read_counts
from udfs.frame_bytes import pack_frames
from udfs.header_columns import HEADERS_TYPE, header_structs
from udfs.known_logs import log_codes, log_names
from udfs.metric_codes import with_metric_codes
from udfs.offline_policy import OfflinePolicy
from udfs.partition_clocks import partition_stretches, record_clocks
from udfs.point_identity import with_identity
from udfs.shard_blocks import shard_parts
from udfs.shards import (
    NO_SHARD,
    Section,
    SectionKind,
    device_hashes,
    sender_hashes,
    shard_of,
)


@dataclass(frozen=True)
class RawBlock:
    """Messages as Kafka gave them, in offset order within each partition.

    Args:
        topics: topic of each message.
        keys: key bytes, or None.
        values: value bytes, or None for a tombstone.
        append_time_ms: the broker's time, UTC ms, shape (n,).
        partitions: shape (n,).
        offsets: shape (n,).
        headers: of those few messages that have any, by row.
    """

    topics: Sequence[str]
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    append_time_ms: npt.NDArray[np.int64]
    partitions: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    headers: Mapping[int, Headers] = field(default_factory=dict)


def decode_telemetry(raw: RawBlock, topic_prefix: str, schema_of_id: SchemaOfId) -> DecodedBlock:
    """Decode a block of any firmware and refuse what breaks a limit; clock ticks stay in it.

    Raises:
        Unavailable: the registry does not answer.
    """
    tenants = topic_tenants(raw.topics, topic_prefix)
    arrivals = Arrivals(raw.keys, tenants, raw.append_time_ms)
    return check_limits(decode_firmware(raw.values, arrivals, schema_of_id), tenants)


def batch_sections(raw: RawBlock, decoded: DecodedBlock, shard_count: int) -> list[Section]:
    """Return the batches and points of each shard, without clock ticks."""
    batches = located(raw, decoded.messages).filter(pl.col("tenant_id") != CLOCK_TENANT_ID)
    hashes = device_hashes(batches["tenant_id"].to_list(), batches["device_id"].to_list())
    batches = batches.with_columns(device_hash=pl.Series(hashes, dtype=pl.UInt64))
    ticks = decoded.messages.filter(pl.col("tenant_id") == CLOCK_TENANT_ID)["row"]
    points = decoded.items.filter(~pl.col("row").is_in(ticks.implode()))
    points, metrics = with_metric_codes(with_identity(points, batches).drop("tags"))
    return [
        Section(SectionKind.BATCHES, shard, part)
        for shard, part in shard_parts(batches, points, metrics, shard_count)
    ]


def contact_sections(
    raw: RawBlock, decoded: DecodedBlock, shard_count: int, topic_prefix: str
) -> list[Section]:
    """Return each shard's contacts, and to every shard how far each partition's log has come."""
    codes = log_codes(raw.topics, raw.partitions, topic_prefix)
    log = pl.DataFrame(
        {
            "partition": codes,
            "append_time_ms": raw.append_time_ms,
            "offset": raw.offsets,
        }
    )
    # Every record counts, ticks and rejected ones too: the log is the clock.
    clocks = log.select(record_clocks(pl.col("append_time_ms")).alias("clock_ms"))
    heard = decoded.messages.filter(~pl.col("row").is_in(replayed_rows(raw)))
    placed = located(raw, heard).with_columns(partition=pl.Series(codes[heard["row"].to_numpy()]))
    contacts = _contacts(placed, decoded.items, clocks.with_row_index("row"))
    hashes = device_hashes(contacts["tenant_id"].to_list(), contacts["device_id"].to_list())
    shards = pl.Series("shard", shard_of(hashes, shard_count), dtype=pl.Int32)
    parts = dict(_parts(contacts.with_columns(shards)))
    names = log_names(raw.topics, codes, topic_prefix)
    stretches = partition_stretches(log, OfflinePolicy.blind_after_ms, names)
    none = contacts.clear()
    return [
        Section(
            SectionKind.CONTACTS,
            shard,
            pack_frames({"contacts": parts.get((shard,), none), "clocks": stretches}),
        )
        for shard in range(shard_count)
    ]


def replayed_rows(raw: RawBlock) -> list[int]:
    """Return the messages that were sent again from the dead letters.

    They say that somebody sends old messages again, not that their devices are alive.
    """
    return [
        row for row, headers in raw.headers.items() if any(name == REPLAY_OF for name, _ in headers)
    ]


def dead_letter_section(raw: RawBlock, decoded: DecodedBlock) -> list[Section]:
    """Return the rejected messages as they were, with their origin; none, no section."""
    if not decoded.rejected:
        return []
    rows = [message.row for message in decoded.rejected]
    headers = [header_structs(raw.headers.get(row, ())) for row in rows]
    letters = pl.DataFrame(
        {
            "topic": [raw.topics[row] for row in rows],
            "partition": raw.partitions[rows],
            "offset": raw.offsets[rows],
            "append_time_ms": raw.append_time_ms[rows],
            "key": pl.Series([raw.keys[row] for row in rows], dtype=pl.Binary),
            "value": pl.Series([raw.values[row] for row in rows], dtype=pl.Binary),
            "headers": pl.Series(headers, dtype=HEADERS_TYPE),
            "reason": [message.reason.value for message in decoded.rejected],
            "detail": [message.detail for message in decoded.rejected],
        }
    )
    return [Section(SectionKind.DEAD_LETTERS, NO_SHARD, pack_frames({"letters": letters}))]


def account_section(raw: RawBlock, decoded: DecodedBlock) -> Section:
    """Return what was read of each partition, and for the reject limit each message's verdict.

    Frames: `read` as `udfs.accounts.read_counts` returns it, `judged` with the columns of
    `udfs.reject_limit.JUDGED_SCHEMA`, and, if there are any, `ticks` of the clock with the last of
    each partition: topic, partition, clock_ms.
    """
    ticks = decoded.messages.filter(pl.col("tenant_id") == CLOCK_TENANT_ID)["row"].to_numpy()
    is_tick = np.zeros(len(raw.values), np.bool_)
    is_tick[ticks] = True
    point_rows = decoded.items["row"].to_numpy()
    reason_of = {message.row: message.reason.value for message in decoded.rejected}
    messages = pl.DataFrame(
        {
            "topic": raw.topics,
            "partition": raw.partitions,
            "offset": raw.offsets,
            "sender": sender_hashes(raw.keys, raw.offsets),
            "reason": pl.Series(map(reason_of.get, range(len(is_tick))), dtype=pl.String),
            "is_tick": is_tick,
            "point_count": np.bincount(point_rows, minlength=len(is_tick)),
        }
    )
    read = read_counts(messages)
    judged = messages.filter(~pl.col("is_tick")).drop("is_tick", "point_count")
    frames = {"read": read, "judged": judged}
    if len(ticks) > 0:
        frames["ticks"] = _last_ticks(raw, ticks)
    return Section(SectionKind.ACCOUNT, NO_SHARD, pack_frames(frames))


def _last_ticks(raw: RawBlock, rows: npt.NDArray[np.int64]) -> pl.DataFrame:
    ticks = pl.DataFrame(
        {
            "topic": [raw.topics[row] for row in rows],
            "partition": raw.partitions[rows],
            "clock_ms": raw.append_time_ms[rows],
        }
    )
    return ticks.group_by("topic", "partition", maintain_order=True).max()


def located(raw: RawBlock, messages: pl.DataFrame) -> pl.DataFrame:
    """Add where in the log each message stands."""
    rows = messages["row"].to_numpy()
    return messages.with_columns(
        topic=pl.Series(raw.topics, dtype=pl.String).gather(rows),
        append_time_ms=pl.Series(raw.append_time_ms[rows], dtype=pl.Int64),
        partition=pl.Series(raw.partitions[rows], dtype=pl.Int32),
        offset=pl.Series(raw.offsets[rows], dtype=pl.Int64),
    )


def _contacts(messages: pl.DataFrame, points: pl.DataFrame, clocks: pl.DataFrame) -> pl.DataFrame:
    is_gateway = pl.col("tags").list.eval(pl.element().struct.field("key") == "via_gateway")
    newest = points.group_by("row").agg(
        newest_point_ms=pl.col("timestamp").max(), is_via_gateway=is_gateway.list.any().any()
    )
    return (
        messages.filter(pl.col("tenant_id") != CLOCK_TENANT_ID)
        .join(newest, on="row", how="left", maintain_order="left")
        .join(clocks, on="row", maintain_order="left")
        .select(
            "tenant_id",
            "device_id",
            "boot_id",
            "sequence",
            "append_time_ms",
            "clock_ms",
            "partition",
            "offset",
            "hardware_revision",
            "firmware_version",
            "model_version",
            "deployment_group",
            "newest_point_ms",
            pl.col("is_via_gateway").fill_null(value=False),
        )
    )


def _parts(frame: pl.DataFrame) -> list[tuple[tuple[int], pl.DataFrame]]:
    return list(frame.partition_by("shard", as_dict=True, include_key=False).items())
