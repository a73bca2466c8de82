"""The Avro schemas of every topic, loaded from `schemas/avro`, and their single-record codec.

Single records are for the quiet topics (devices, alerts, device status) and for tests: fastavro,
the reference. Blocks of telemetry and of windows go through `schemas/codec.py`.
"""

import io
import json
from functools import cache
from importlib import resources
from typing import Any, cast

import fastavro

from schemas.errors import Reason, Rejected
from schemas.topics import Topic

Record = dict[str, Any]
Schema = dict[str, Any]

WIRE_MAGIC = b"\0"
WIRE_HEADER_BYTES = 5
"""Confluent wire format: one zero byte, then the schema id as 4 bytes, big-endian."""

SCHEMA_FILES = {
    Topic.TELEMETRY: "telemetry_batch",
    Topic.DEVICES: "device_record",
    Topic.CONTROL: "control_event",
    Topic.WINDOWS: "window_deltas",
    Topic.DRIFT: "drift_finding",
    Topic.ROLLOUTS: "rollout_verdict",
    Topic.ALERTS: "alert_event",
    Topic.DEVICE_STATUS: "device_status",
    Topic.ACCOUNTS: "account_deltas",
}


@cache
def schema_text(topic: Topic) -> str:
    """Return the Avro schema of a topic's values as JSON text, as it is registered."""
    path = resources.files("schemas") / "avro" / f"{SCHEMA_FILES[topic]}.avsc"
    return path.read_text(encoding="utf-8")


@cache
def schema_of(topic: Topic) -> Schema:
    """Return the Avro schema of a topic's values; treat it as read-only."""
    return cast("Schema", json.loads(schema_text(topic)))


def wire_header(schema_id: int) -> bytes:
    r"""Return the five bytes before an Avro datum.

    >>> wire_header(7)
    b'\x00\x00\x00\x00\x07'
    """
    return WIRE_MAGIC + schema_id.to_bytes(4, "big")


def schema_id_of(message: bytes) -> int:
    """Return the schema id of a message in the Confluent wire format.

    Raises:
        Rejected: the message does not start with the magic byte and a schema id.
    """
    if len(message) < WIRE_HEADER_BYTES or message[:1] != WIRE_MAGIC:
        raise Rejected(Reason.BAD_MAGIC, "the value does not start with 0 and a 4-byte schema id")
    return int.from_bytes(message[1:WIRE_HEADER_BYTES], "big")


def encode_record(topic: Topic, record: Record, schema_id: int) -> bytes:
    """Encode one record of a topic in the Confluent wire format."""
    out = io.BytesIO()
    out.write(wire_header(schema_id))
    fastavro.schemaless_writer(out, _plain(None, topic), record)
    return out.getvalue()


def decode_record(topic: Topic, message: bytes, writer_schema: Schema | None = None) -> Record:
    """Decode one message of a topic; timestamps stay integers (UTC ms).

    Args:
        topic: whose schema the reader wants.
        message: Confluent wire format.
        writer_schema: as registered under the message's id; the topic's own when None.

    Raises:
        Rejected: not in the wire format, or not a datum of the schema.
    """
    schema_id_of(message)
    datum = io.BytesIO(message[WIRE_HEADER_BYTES:])
    try:
        record = fastavro.schemaless_reader(
            datum, _plain(writer_schema, topic), _plain(None, topic)
        )
    except (EOFError, ValueError, IndexError, KeyError, OverflowError, UnicodeDecodeError) as error:
        raise Rejected(Reason.AVRO_INVALID, type(error).__name__) from error
    if datum.read(1):
        raise Rejected(Reason.AVRO_INVALID, "bytes are left after the datum")
    return cast("Record", record)


def _plain(schema: Schema | None, topic: Topic) -> Any:
    """Return the schema without logical types, so that times stay integers."""
    return _parsed_plain(json.dumps(schema) if schema is not None else schema_text(topic))


@cache
def _parsed_plain(text: str) -> Any:
    return fastavro.parse_schema(_without_logical_types(json.loads(text)))


def _without_logical_types(node: Any) -> Any:
    if isinstance(node, dict):
        return {k: _without_logical_types(v) for k, v in node.items() if k != "logicalType"}
    if isinstance(node, list):
        return [_without_logical_types(item) for item in node]
    return node
