"""Lines of a backtest's log as the records that devices, the registry and operators would send."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jobs.backtest_log import LineType, LogLine, parse_time_ms
from jobs.clock_service import tick
from schemas.control import control_key, parse_control
from schemas.control_records import control_record
from schemas.records import Record, encode_record
from schemas.topics import Topic, device_key

Encode = Callable[[Topic, Record], bytes]
CONTACT_FIELDS = (
    "boot_id",
    "sequence",
    "hardware_revision",
    "firmware_version",
    "model_version",
    "deployment_group",
)


class ReplayRecord(NamedTuple):
    """One record: where it goes, when it was appended, and its bytes."""

    topic: Topic
    partition: int
    at_ms: int
    key: bytes
    value: bytes | None


def encoder(schema_ids: Mapping[Topic, int]) -> Encode:
    """Return what encodes a record of a topic."""
    return lambda topic, record: encode_record(topic, record, schema_ids[topic])


def replay_record(line: LogLine, encode: Encode) -> ReplayRecord:
    """Return the record of a line; what has no partition of its own lies in the first."""
    if line.type is LineType.DEVICE:
        key, record = _device(line.fields)
        value = None if record is None else encode(Topic.DEVICES, record)
        return ReplayRecord(Topic.DEVICES, 0, line.at_ms, key, value)
    if line.type is LineType.CONTROL:
        event = parse_control(line.fields["event"])
        value = encode(Topic.CONTROL, control_record(event))
        return ReplayRecord(Topic.CONTROL, 0, line.at_ms, control_key(event).encode(), value)
    is_tick = line.type is LineType.TICK
    record = tick(line.at_ms) if is_tick else _batch(line)
    key = device_key(record["tenant_id"], record["device_id"])
    value = encode(Topic.TELEMETRY, record)
    return ReplayRecord(Topic.TELEMETRY, line.partition, line.at_ms, key, value)


def _device(fields: Mapping[str, Any]) -> tuple[bytes, Record | None]:
    record = fields.get("record")
    named = fields if record is None else record
    return device_key(named["tenant_id"], named["device_id"]), record


def _batch(line: LogLine) -> Record:
    said = {name: line.fields.get(name) for name in CONTACT_FIELDS}
    identity = {name: line.fields[name] for name in ("tenant_id", "device_id")}
    points = [_point(point) for point in line.fields.get("points") or [] if "timestamp" in point]
    return {**said, **identity, "sent_at": line.at_ms, "points": points}


def _point(point: Mapping[str, Any]) -> Record:
    """Return a point; liveness looks at its time and tags alone."""
    tags = {name: str(text) for name, text in (point.get("tags") or {}).items()}
    return {
        "name": str(point.get("name") or "value"),
        "value": float(point.get("value") or 0.0),
        "timestamp": parse_time_ms(point["timestamp"]),
        "tags": tags,
    }
