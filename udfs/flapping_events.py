"""The events of a flapping: an episode of its own, named by the instant at which it began."""

from schemas.severity import Severity
from udfs.alerts import (
    AlertRecord,
    Episode,
    Head,
    Notice,
    Rule,
    Status,
    Transition,
    alert_record,
    device_labels,
    device_severity,
)
from udfs.device_columns import Stage
from udfs.flapping import CHANGES_COUNT, WITHIN_MS
from udfs.offline_policy import MINUTE_MS
from udfs.transitions import Kind


def flapping_event_id(row: Transition) -> str:
    """Return the id of what keeps the events of a flapping device from people.

    Args:
        row: of `TRANSITION_SCHEMA`, of a device that flaps, or did in the open episode.
    """
    return _episode(row, row["flapping_ms"]).event_id(1)


def flapping_record(row: Transition, notice: Notice) -> AlertRecord:
    """Return the event of a device that begins to flap, is unmuted while it does, or ends it."""
    is_over = row["kind"] != Kind.FLAPPING
    head = Head(
        _episode(row, row["start_ms"]),
        row["seq"],
        Status.RESOLVED if is_over else Status.FIRING,
        Severity.WARNING,
        row["time_ms"],
        row["input_clock_ms"],
    )
    return alert_record(
        head,
        notice,
        previous_severity=Severity.WARNING.value if row["seq"] > 1 else None,
        starts_at=row["start_ms"],
        ends_at=row["ends_ms"],
        last_seen=row["last_seen_ms"],
        reason=row["reason"],
        labels=device_labels(row, Rule.FLAPPING),
        summary=_summary(row),
    )


def _episode(row: Transition, start_ms: int) -> Episode:
    return Episode(row["tenant_id"], Rule.FLAPPING, f"device/{row['device_id']}", start_ms)


def _summary(row: Transition) -> str:
    device = f"Device {row['device_id']} of {row['tenant_id']}"
    if row["kind"] == Kind.FLAPPING:
        minutes = WITHIN_MS // MINUTE_MS
        return f"{device} flaps: {CHANGES_COUNT} changes or more within {minutes} minutes."
    if row["kind"] == Kind.CALM_REMOVED:
        return f"{device} was decommissioned while it flapped."
    if row["stage"] == Stage.NONE:
        return f"{device} flaps no longer: it is online."
    return f"{device} flaps no longer: it is silent ({device_severity(row['stage']).value})."
