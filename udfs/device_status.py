"""The live twin: what a device is doing, after each of its transitions."""

from typing import Any

from udfs.alerts import Transition, device_severity
from udfs.device_columns import Stage
from udfs.hushes import MAINTENANCE
from udfs.transitions import Kind

StatusRecord = dict[str, Any]
"""A record of `schemas/avro/device_status.avsc`; times are UTC ms."""


def status_record(row: Transition) -> StatusRecord | None:
    """Return the live twin of a device after a row; None for a device that was never there."""
    is_unknown = row["last_seen_ms"] is None and row["stage"] == Stage.NONE
    if is_unknown and row["kind"] == Kind.REGISTERED:
        return None
    has_ended = row["kind"] == Kind.RESOLVED
    last_seen_ms = row["ends_ms"] if has_ended else row["last_seen_ms"]
    return {
        "tenant_id": row["tenant_id"],
        "device_id": row["device_id"],
        "status": _status(row),
        "status_since": row["time_ms"],
        "last_seen": row["start_ms"] if last_seen_ms is None else last_seen_ms,
        "hardware_revision": row["hardware_revision"],
        "firmware_version": row["firmware_version"],
        "model_version": row["model_version"],
        "deployment_group": row["deployment_group"],
        "site": row["site"],
    }


def _status(row: Transition) -> str:
    if row["kind"] == Kind.REMOVED:
        return "decommissioned"
    if row["is_in_maintenance"]:
        return MAINTENANCE
    if row["kind"] in (Kind.RESOLVED, Kind.RULE_CHANGED) or row["stage"] == Stage.NONE:
        return "online"
    return device_severity(row["stage"]).value
