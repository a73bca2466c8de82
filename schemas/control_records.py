"""Control events on their way: as records of the topic, and as a frame for the shards.

    event ──control_record──> record ──Avro──> topic ──control_events──> events ──> frame

A tombstone ends what its key names: it is read as the event that takes the other's place and is
over at the tombstone's own append time (`ended_event`), so a running engine hears of it like of any
other event, also when compaction has removed what it ends.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import orjson
import polars as pl

from schemas.codec import RejectedMessage, SchemaOfId, decode_messages
from schemas.control import (
    EPISODE_ID,
    ControlEvent,
    ControlRefused,
    control_fields,
    parse_control,
)
from schemas.errors import Reason, Rejected
from schemas.instants import parse_instant_ms
from schemas.records import Record
from schemas.topics import Topic

CONTROL_SCHEMA: dict[str, Any] = {
    "append_time_ms": pl.Int64,
    "offset": pl.Int64,
    "event": pl.String,  # the JSON of `schemas.control.control_fields`
}
INSTANTS = ("from", "until", "expected_back")
NARROW = "device_id|deployment_group|site"
SCOPED_KEY = re.compile(
    rf"(?P<tenant>[^/\0]+)(/(?P<field>{NARROW})/(?P<name>.+))?/(?P<type>maintenance|mute|goodbye)",
    re.DOTALL,
)
RULE_KEY = re.compile(r"(?P<tenant>[^/\0]+)/rule/(?P<rule_id>.+)", re.DOTALL)
ENDLESS_KEY = re.compile(
    rf"ack/{EPISODE_ID[1:-1]}|[^/\0]+(/({NARROW})/.+)?/accept_new_normal/.+", re.DOTALL
)
"""What has happened once: it is in force no longer than its effect, and nothing undoes it."""


@dataclass(frozen=True)
class ControlMessage:
    """One message of the control topic as the broker has it."""

    key: bytes | None
    value: bytes | None
    append_time_ms: int
    partition: int
    offset: int


def no_controls() -> pl.DataFrame:
    """Return a frame without control events."""
    return pl.DataFrame(schema=CONTROL_SCHEMA)


def control_record(event: ControlEvent) -> Record:
    """Return an event as the record of its topic; fields that do not count are left out."""
    fields = control_fields(event)
    return fields | {name: parse_instant_ms(fields[name]) for name in INSTANTS if name in fields}


def event_of_record(record: Mapping[str, Any]) -> ControlEvent:
    """Return what a record of the topic says; null fields do not count.

    Raises:
        Rejected: it says no control event; the detail names the field.
    """
    fields = {name: value for name, value in record.items() if value is not None}
    if "scope" in fields:
        fields["scope"] = {n: value for n, value in fields["scope"].items() if value is not None}
    try:
        return parse_control(fields)
    except ControlRefused as error:
        raise Rejected(Reason.CONTROL_INVALID, str(error)) from error


def ended_event(key: bytes | None, at_ms: int) -> ControlEvent | None:
    """Return the event that ends what has this key; None where there is nothing to end.

    A rule is switched off, a span or a goodbye is over at this instant.

    Args:
        key: of a tombstone, as `schemas.control.control_key` writes it.
        at_ms: append time of the tombstone, UTC ms.

    >>> ended_event(b"acme/site/paris/mute", 5).until_ms
    5
    >>> ended_event(b"acme/rule/hot", 5).enabled
    False

    Raises:
        Rejected: no control event has such a key.
    """
    text = _key_text(key)
    if (rule := RULE_KEY.fullmatch(text)) is not None:
        scope = {"tenant_id": rule["tenant"]}
        fields = {"type": "rule", "rule_id": rule["rule_id"], "enabled": False, "scope": scope}
        return event_of_record(fields)
    if (found := SCOPED_KEY.fullmatch(text)) is not None:
        narrow = {} if found["field"] is None else {found["field"]: found["name"]}
        return event_of_record(
            {"type": found["type"], "scope": {"tenant_id": found["tenant"]} | narrow}
            | _over(found["type"], at_ms)
        )
    if ENDLESS_KEY.fullmatch(text) is not None:
        return None
    raise Rejected(Reason.CONTROL_INVALID, "a tombstone whose key is no control event's")


def _key_text(key: bytes | None) -> str:
    try:
        return (key or b"").decode()
    except UnicodeDecodeError:
        return ""


def _over(kind: str, at_ms: int) -> dict[str, int]:
    # A span has at least one instant: this one lies before the tombstone, so it never acts.
    if kind == "goodbye":
        return {"expected_back": at_ms}
    return {"from": max(at_ms - 1, 0), "until": max(at_ms, 1)}


def control_events(
    messages: Sequence[ControlMessage], schema_of_id: SchemaOfId
) -> tuple[dict[int, ControlEvent], list[RejectedMessage]]:
    """Read messages of the topic, of which there are few: once decoded, one by one.

    Returns:
        The events by index of their message, tombstones as what they end; and what is refused.

    Raises:
        Unavailable: the schema registry does not answer.
    """
    values = [message.value for message in messages]
    decoded = decode_messages(Topic.CONTROL, values, schema_of_id)
    refused = [each for each in decoded.rejected if values[each.row] is not None]
    records = {row.pop("row"): row for row in decoded.messages.to_dicts()}
    events = {}
    for row, message in enumerate(messages):
        try:
            if row in records:
                events[row] = event_of_record(records[row])
            elif message.value is None:
                event = ended_event(message.key, message.append_time_ms)
                events |= {} if event is None else {row: event}
        except Rejected as error:
            refused.append(RejectedMessage(row, error.reason, error.detail))
    return events, sorted(refused, key=attrgetter("row"))


def control_frame(
    messages: Sequence[ControlMessage], schema_of_id: SchemaOfId
) -> tuple[pl.DataFrame, list[RejectedMessage]]:
    """Return the events of messages as columns of `CONTROL_SCHEMA`, and what is refused.

    Rows are in the order of append time, then partition and offset.

    Raises:
        Unavailable: the schema registry does not answer.
    """
    events, refused = control_events(messages, schema_of_id)
    in_order = sorted(events, key=lambda row: _position(messages[row]))
    rows = ((messages[row], events[row]) for row in in_order)
    return _frame(rows), refused


def _position(message: ControlMessage) -> tuple[int, int, int]:
    return message.append_time_ms, message.partition, message.offset


def _frame(rows: Iterable[tuple[ControlMessage, ControlEvent]]) -> pl.DataFrame:
    values = [
        (message.append_time_ms, message.offset, orjson.dumps(control_fields(event)).decode())
        for message, event in rows
    ]
    return pl.DataFrame(values, schema=CONTROL_SCHEMA, orient="row")
