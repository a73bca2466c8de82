"""What operators have said: the control topic, read to its end, and what is in force now."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import polars as pl

from jobs.settings import KafkaSettings, Settings
from jobs.whole_topic import whole_topic
from schemas.control import (
    Ack,
    ControlEvent,
    Goodbye,
    Maintenance,
    Mute,
    OfflineRule,
    ThresholdRule,
    control_fields,
    control_key,
)
from schemas.control_records import ControlMessage, control_events, ended_event
from schemas.errors import Rejected, SettingsError
from schemas.instants import format_instant
from schemas.printable import printable
from schemas.registry import SchemaRegistry
from schemas.topics import Topic

KEY_MAX_CHARS = 100
WHAT_MAX_CHARS = 120


class State(StrEnum):
    """Whether an event is in force; in the order in which they are shown."""

    ACTIVE = "active"
    PLANNED = "planned"
    REFUSED = "refused"
    DISABLED = "disabled"
    OVER = "over"


@dataclass(frozen=True)
class Listed:
    """One key of the topic.

    Args:
        key: as text.
        append_time_ms: of its newest message, UTC ms.
        event: None when the message says none; the engine has refused it.
        cause: why it was refused; empty when it was not.
    """

    key: str
    append_time_ms: int
    event: ControlEvent | None
    cause: str = ""

    def state(self, now_ms: int) -> State:
        """Return whether it is in force at an instant; an ack is for good."""
        if self.event is None:
            return State.REFUSED
        if isinstance(self.event, OfflineRule | ThresholdRule):
            return State.ACTIVE if self.event.enabled else State.DISABLED
        begin_ms, end_ms = self.span_ms()
        if end_ms is not None and now_ms >= end_ms:
            return State.OVER
        return State.PLANNED if now_ms < begin_ms else State.ACTIVE

    def span_ms(self) -> tuple[int, int | None]:
        """Return from when to when it acts, exclusive: never before its own append time."""
        if isinstance(self.event, Maintenance | Mute):
            return max(self.append_time_ms, self.event.from_ms), self.event.until_ms
        if isinstance(self.event, Goodbye):
            return self.append_time_ms, self.event.expected_back_ms
        return self.append_time_ms, None


def list_controls(settings: Settings) -> list[Listed]:
    """Return the newest event of each key that has no tombstone, in the order of append time.

    Raises:
        SettingsError: there is no such topic.
        Unavailable: Kafka or the schema registry does not answer.
    """
    newest: dict[bytes | None, ControlMessage] = {}
    for message in _messages(settings.kafka):
        before = newest.get(message.key)
        if before is None or _place(before) < _place(message):
            newest[message.key] = message
    kept = sorted((each for each in newest.values() if each.value is not None), key=_place)
    registry = SchemaRegistry(settings.registry.url, settings.registry.timeout_s)
    with contextlib.closing(registry):
        events, refused = control_events(kept, registry.schema_by_id)
    causes = {each.row: f"{each.reason}: {each.detail}" for each in refused}
    return [
        Listed(_text(message.key), message.append_time_ms, events.get(row), causes.get(row, ""))
        for row, message in enumerate(kept)
    ]


def require_endable(settings: Settings, key: str) -> None:
    """Refuse a key that nothing in the topic has, or that the engine would not know.

    Raises:
        SettingsError: names what is allowed.
        Unavailable: Kafka or the schema registry does not answer.
    """
    if all(each.key != key for each in list_controls(settings)):
        allowed, cure = "a key of what was sent", "take it from `fleetpulse control list`"
        raise SettingsError("KEY", value=key, allowed=allowed, cure=cure)
    try:
        ended_event(key.encode(), 0)
    except Rejected as error:
        allowed, cure = "a key that `fleetpulse control` gives", "send the event with its end"
        raise SettingsError("KEY", value=key, allowed=allowed, cure=cure) from error


def sent_line(event: ControlEvent, append_time_ms: int) -> str:
    """Return what was sent and from when it acts, for people."""
    sent = Listed(control_key(event), append_time_ms, event)
    from_ms, until_ms = sent.span_ms()
    end = "" if until_ms is None else f" until {format_instant(until_ms)}"
    return f"sent {printable(sent.key)}: acts from {format_instant(from_ms)}{end}"


def _place(message: ControlMessage) -> tuple[int, int, int]:
    return message.append_time_ms, message.partition, message.offset


def _text(key: bytes | None) -> str:
    return (key or b"").decode(errors="backslashreplace")


def _messages(kafka: KafkaSettings) -> Iterator[ControlMessage]:
    """Yield everything that lies in the topic now."""
    for m in whole_topic(kafka, Topic.CONTROL, "fleetpulse-control-list"):
        yield ControlMessage(m.key, m.value, m.timestamp_ms, m.partition, m.offset)


_COLUMNS: dict[str, Any] = {
    "state": pl.String,
    "key": pl.String,
    "from": pl.Datetime("ms", "UTC"),
    "until": pl.Datetime("ms", "UTC"),
    "what": pl.String,
}


def control_table(listed: list[Listed], now_ms: int) -> pl.DataFrame:
    """Return events as columns for people, with nothing in them that a terminal obeys."""
    rows = []
    for each in listed:
        from_ms, until_ms = each.span_ms()
        rows.append(
            {
                "state": each.state(now_ms),
                "key": printable(each.key, KEY_MAX_CHARS),
                "from": from_ms,
                "until": until_ms,
                "what": printable(_what(each), WHAT_MAX_CHARS),
            }
        )
    return pl.DataFrame(rows, schema=_COLUMNS)


def _what(listed: Listed) -> str:
    event = listed.event
    if event is None:
        return listed.cause
    if isinstance(event, ThresholdRule):
        figure = f"{event.severity} when {event.aggregate} {event.metric}"
        return f"{figure} {event.operator} {event.threshold:g}, {event.for_windows} windows"
    if isinstance(event, OfflineRule):
        names = ("warning_after_s", "critical_after_s", "emergency_ratio")
        values = ((name, getattr(event, name)) for name in names)
        return ", ".join(f"{name} {value:g}" for name, value in values if value is not None)
    return "an episode is taken on" if isinstance(event, Ack) else event.type.replace("_", " ")


def by_state(listed: list[Listed], now_ms: int) -> list[Listed]:
    """Return what is in force first, what is over last, each kind with its newest first."""
    rank = {state: number for number, state in enumerate(State)}
    newest_first = listed[::-1]
    return sorted(newest_first, key=lambda each: rank[each.state(now_ms)])


def json_lines(listed: list[Listed], now_ms: int) -> Iterator[str]:
    """Yield one JSON object for each event."""
    for each in listed:
        line = {
            "key": each.key,
            "state": each.state(now_ms),
            "acts_from": format_instant(each.span_ms()[0]),
            "sent_at": format_instant(each.append_time_ms),
            "event": None if each.event is None else control_fields(each.event),
            "cause": each.cause,
        }
        yield json.dumps(line)
