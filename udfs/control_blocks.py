"""From a block of raw control messages to what every shard gets of it: all of it."""

import polars as pl

from schemas.codec import DecodedBlock, SchemaOfId
from schemas.control_records import ControlMessage, control_frame
from udfs.frame_bytes import pack_frames
from udfs.shards import EVERY_SHARD, Section, SectionKind
from udfs.telemetry_blocks import RawBlock, dead_letter_section


def control_sections(raw: RawBlock, schema_of_id: SchemaOfId) -> list[Section]:
    """Return the control events for every shard: which devices they mean is known there.

    Messages that say no control event make a section of dead letters.

    Raises:
        Unavailable: the schema registry does not answer.
    """
    controls, refused = control_frame(_messages(raw), schema_of_id)
    letters = dead_letter_section(raw, DecodedBlock(pl.DataFrame(), pl.DataFrame(), refused))
    if controls.is_empty():
        return letters
    payload = pack_frames({"controls": controls})
    return [Section(SectionKind.CONTROLS, EVERY_SHARD, payload), *letters]


def _messages(raw: RawBlock) -> list[ControlMessage]:
    places = (raw.append_time_ms.tolist(), raw.partitions.tolist(), raw.offsets.tolist())
    rows = zip(raw.keys, raw.values, *places, strict=True)
    return [ControlMessage(*row) for row in rows]
