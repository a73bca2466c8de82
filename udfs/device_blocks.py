"""From a block of raw device records to what each shard gets of it."""

from dataclasses import replace
from typing import Any

import polars as pl

from schemas.codec import DecodedBlock, RejectedMessage, SchemaOfId, decode_messages
from schemas.errors import Reason
from schemas.topics import Topic
from udfs.frame_bytes import pack_frames
from udfs.shards import Section, SectionKind, device_hashes, shard_of
from udfs.telemetry_blocks import RawBlock, dead_letter_section, located

DEVICE_COLUMNS = (
    "tenant_id",
    "device_id",
    "hardware_revision",
    "firmware_version",
    "model_version",
    "deployment_group",
    "status",
    "report_interval_s",
    "site",
)


def device_sections(raw: RawBlock, schema_of_id: SchemaOfId, shard_count: int) -> list[Section]:
    """Return the device records of each shard; a tombstone is a row with `is_tombstone`.

    Records that cannot be decoded make a section of dead letters.

    Raises:
        Unavailable: the schema registry does not answer.
    """
    decoded = decode_messages(Topic.DEVICES, raw.values, schema_of_id)
    records = located(raw, decoded.messages).select(
        *DEVICE_COLUMNS, pl.lit(value=False).alias("is_tombstone"), *LOG_COLUMNS
    )
    devices = pl.concat([records, _tombstones(raw, records.schema)]).sort("partition", "offset")
    hashes = device_hashes(devices["tenant_id"].to_list(), devices["device_id"].to_list())
    sharded = devices.with_columns(
        shard=pl.Series(shard_of(hashes, shard_count), dtype=pl.Int32)
    ).partition_by("shard", as_dict=True, include_key=False)
    return [
        *(
            Section(SectionKind.DEVICES, int(key[0]), pack_frames({"devices": part}))
            for key, part in sharded.items()
        ),
        *dead_letter_section(raw, _without_tombstones(raw, decoded)),
    ]


def _without_tombstones(raw: RawBlock, decoded: DecodedBlock) -> DecodedBlock:
    """Forgive tombstones, which the codec cannot decode, unless nobody knows whose they are."""
    rejected = []
    for message in decoded.rejected:
        if raw.values[message.row] is not None:
            rejected.append(message)
        elif _tombstone(raw, message.row) is None:
            detail = "a tombstone whose key is not tenant_id/device_id"
            rejected.append(RejectedMessage(message.row, Reason.IDENTITY_INVALID, detail))
    return replace(decoded, rejected=rejected)


LOG_COLUMNS = ("append_time_ms", "partition", "offset")


def _tombstones(raw: RawBlock, schema: pl.Schema) -> pl.DataFrame:
    rows = [_tombstone(raw, row) for row, value in enumerate(raw.values) if value is None]
    return pl.DataFrame([row for row in rows if row is not None], schema=schema)


def _tombstone(raw: RawBlock, row: int) -> dict[str, Any] | None:
    tenant_id, slash, device_id = (raw.keys[row] or b"").decode(errors="replace").partition("/")
    if not slash:
        return None
    return {
        "tenant_id": tenant_id,
        "device_id": device_id,
        "status": "decommissioned",
        "report_interval_s": 0,
        "is_tombstone": True,
        "append_time_ms": int(raw.append_time_ms[row]),
        "partition": int(raw.partitions[row]),
        "offset": int(raw.offsets[row]),
    }
