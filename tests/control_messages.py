"""Control events of every type as JSON objects, and as messages of their topic: for tests."""

from schemas.control import control_key, parse_control
from schemas.control_records import ControlMessage, control_record
from schemas.records import encode_record, schema_of
from schemas.topics import Topic
from tests.strategies import NOON_MS

EPISODE = "0c3a5d1e-7f0b-5a51-9d4e-2f8a1c6b7e90"
ACME = {"tenant_id": "acme"}
PARIS = ACME | {"site": "paris"}
SPAN = {"from": NOON_MS, "until": NOON_MS + 3_600_000}
HOT = {
    "type": "rule",
    "rule_id": "hot",
    "scope": ACME | {"deployment_group": "edge"},
    "per": "group",
    "metric": "temp",
    "aggregate": "p95",
    "operator": ">=",
    "threshold": 81.5,
    "for_windows": 3,
    "clear_threshold": 79.25,
    "severity": "critical",
    "channels": ["sms", "slack"],
}
SLOW = {"type": "rule", "rule_id": "slow", "scope": PARIS, "warning_after_s": 600.0,
        "critical_after_s": 3600.0, "emergency_ratio": 0.25, "enabled": False}  # fmt: skip
EVENTS = {
    "maintenance": {"type": "maintenance", "scope": PARIS} | SPAN,
    "mute": {"type": "mute", "scope": ACME | {"device_id": "cam/7"}} | SPAN,
    "ack": {"type": "ack", "episode_id": EPISODE},
    "goodbye": {"type": "goodbye", "scope": ACME, "expected_back": NOON_MS},
    "offline rule": SLOW,
    "threshold rule": HOT,
    "accept_new_normal": {"type": "accept_new_normal", "scope": PARIS, "metric": "temp"},
}
KEYS = {
    "maintenance": "acme/site/paris/maintenance",
    "mute": "acme/device_id/cam/7/mute",
    "ack": f"ack/{EPISODE}",
    "goodbye": "acme/goodbye",
    "offline rule": "acme/rule/slow",
    "threshold rule": "acme/rule/hot",
    "accept_new_normal": "acme/site/paris/accept_new_normal/temp",
}
SCHEMA_ID = 9


def schema_of_id(_):
    return schema_of(Topic.CONTROL)


def encoded(fields):
    """Return an event as the bytes of its record."""
    return encode_record(Topic.CONTROL, control_record(parse_control(fields)), SCHEMA_ID)


def refused_record(**record):
    """Return a record that says no event, as its bytes."""
    return encode_record(Topic.CONTROL, record, SCHEMA_ID)


def message(value, *, key=None, at_ms=NOON_MS, partition=0, offset=0):
    """Return a message; an event's object is encoded and has its key."""
    if isinstance(value, dict):
        key = control_key(parse_control(value)).encode() if key is None else key
        value = encoded(value)
    return ControlMessage(key, value, at_ms, partition, offset)
