"""Control events out of what a person typed, or out of a file of rules; nothing is sent here."""

import json
import re
from collections.abc import Mapping
from typing import Any

from jobs.instants import UNITS_MS
from schemas.control import ControlEvent, ControlRefused, control_key, parse_control
from schemas.errors import SettingsError
from schemas.instants import format_instant, parse_instant_ms
from schemas.printable import printable

AHEAD = re.compile(r"\+([0-9]{1,6})([smhd])")
RULES_MAX_BYTES = 1 << 20
RULES_MAX_COUNT = 1_000

OPTIONS = {
    "scope": "--device, --group, --site",
    "scope.tenant_id": "--tenant",
    "scope.device_id": "--device",
    "scope.deployment_group": "--group",
    "scope.site": "--site",
    "from": "--from",
    "until": "--until",
    "expected_back": "--back",
    "episode_id": "EPISODE_ID",
    "metric": "--metric",
}
"""Fields by what a person types for them."""


def planned_ms(option: str, text: str, now_ms: int) -> int:
    """Return an instant as UTC ms.

    Args:
        option: that gave it, for the refusal.
        text: `+90s`, `+30m`, `+2h` or `+7d` from now, or RFC 3339 with an offset.
        now_ms: from which to count.

    >>> planned_ms("--until", "+2h", 1_767_225_600_000)
    1767232800000
    >>> planned_ms("--until", "2026-01-01T00:00:00Z", 0)
    1767225600000

    Raises:
        SettingsError: neither of them.
    """
    ahead = AHEAD.fullmatch(text)
    if ahead is not None:
        return now_ms + int(ahead[1]) * UNITS_MS[ahead[2]]
    try:
        return parse_instant_ms(text)
    except ValueError as error:
        raise SettingsError(
            option,
            value=text,
            allowed="so long from now (+90s, +30m, +2h, +7d) or a time with its offset",
            cure="write +2h, or 2026-01-01T12:00:00Z",
        ) from error


def later_ms(option: str, text: str, now_ms: int) -> int:
    """Return an instant that is still to come as UTC ms; see `planned_ms`.

    Raises:
        SettingsError: no instant, or one that is over.
    """
    time_ms = planned_ms(option, text, now_ms)
    if time_ms <= now_ms:
        allowed = f"later than now, {format_instant(now_ms)}"
        raise SettingsError(option, value=text, allowed=allowed, cure="write +2h, or a later time")
    return time_ms


def typed_event(fields: dict[str, Any]) -> ControlEvent:
    """Return the event of what was typed; scope fields that are None were not.

    Raises:
        SettingsError: it is none; names the option.
    """
    if "scope" in fields:
        scope = {name: value for name, value in fields["scope"].items() if value is not None}
        fields = fields | {"scope": scope}
    try:
        return parse_control(fields)
    except ControlRefused as error:
        field, _, allowed = str(error).partition(": ")
        raise SettingsError(
            OPTIONS.get(field, field),
            value=_value_at(fields, field),
            allowed=allowed,
            cure=f"see `fleetpulse control {_command(fields['type'])} --help`",
        ) from error


def _command(kind: str) -> str:
    return "accept" if kind == "accept_new_normal" else kind


def rules_of(name: str, content: bytes) -> list[ControlEvent]:
    """Return the rules of a file: one JSON object or a list of them; `type` may be left out.

    Args:
        name: of the file, for the refusal.
        content: of the file; whoever reads it needs to read no more than one byte over the limit.

    Raises:
        SettingsError: one of them is no rule; names its number, counted from 1, and the field.
    """
    if len(content) > RULES_MAX_BYTES:
        raise _refusal(name, f"over {RULES_MAX_BYTES} bytes", "a smaller file")
    try:
        found = json.loads(content, parse_constant=_refuse_constant, object_pairs_hook=_fields)
    except (ValueError, RecursionError) as error:
        raise _refusal(name, str(error), "JSON, in which no field is there twice") from error
    objects = found if isinstance(found, list) else [found]
    if not 1 <= len(objects) <= RULES_MAX_COUNT:
        raise _refusal(name, f"{len(objects)} rules", f"1 to {RULES_MAX_COUNT} rules")
    rules: dict[str, ControlEvent] = {}
    for number, fields in enumerate(objects, 1):
        rule = _rule(f"{name}, rule {number}", fields)
        if control_key(rule) in rules:
            cause = f"the key {control_key(rule)} a second time"
            raise _refusal(f"{name}, rule {number}, rule_id", cause, "another rule_id")
        rules[control_key(rule)] = rule
    return list(rules.values())


def _rule(where: str, fields: object) -> ControlEvent:
    if not isinstance(fields, dict):
        raise _refusal(where, type(fields).__name__, "a JSON object")
    if fields.get("type", "rule") != "rule":
        raise _refusal(f"{where}, type", fields["type"], "rule")
    try:
        return parse_control({"type": "rule"} | fields)
    except ControlRefused as error:
        field, _, allowed = str(error).partition(": ")
        raise _refusal(f"{where}, {field}", _value_at(fields, field), allowed) from error


def _refusal(what: str, value: object, allowed: str) -> SettingsError:
    shown = value if isinstance(value, int | float | bool | None) else str(value)[:100]
    cure = "correct the file; nothing of it was sent"
    return SettingsError(printable(what, 200), value=shown, allowed=allowed, cure=cure)


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a field is there twice")
    return fields


def _value_at(fields: Mapping[str, Any], path: str) -> Any:
    """Return what was given for a dotted field; instants as text."""
    value: Any = fields
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return format_instant(value) if path in ("from", "until", "expected_back") else value
