"""Whether a device's event is told to people, and over which channels (C6, C7, C13)."""

from collections.abc import Iterator

from schemas.severity import Severity
from udfs.alerts import AlertRecord, Notice, Transition, device_episode, device_severity
from udfs.device_columns import ID_END, Stage
from udfs.emergency import LAST_OF_INSTANT
from udfs.hushes import ACK, MUTE, Hushes
from udfs.inhibition import Inhibition
from udfs.offline_policy import OfflinePolicy
from udfs.stays import Stays
from udfs.transitions import ENDS

MAINTENANCE = "maintenance"


def device_notice(
    inhibition: Inhibition, hushes: Hushes, row: Transition, policy: OfflinePolicy
) -> Notice:
    """Return whether a device's event is told: firings by what stands now, ends by what was told.

    Args:
        inhibition: emergencies, before the event counts.
        hushes: what operators silence.
        row: of `TRANSITION_SCHEMA`, with an event.
        policy: for channels.
    """
    if row["kind"] in ENDS:
        return _end_notice(inhibition, hushes, row, policy)
    channels = policy.channels_of(device_severity(row["stage"]))
    causes = inhibition.firing(row)
    if row["is_in_maintenance"]:
        causes.append(MAINTENANCE)
    causes += _hushed(inhibition, hushes, row, row["time_ms"])
    return Notice(not causes, channels, tuple(causes))


def _end_notice(
    inhibition: Inhibition, hushes: Hushes, row: Transition, policy: OfflinePolicy
) -> Notice:
    """Return the notice of an end: each channel that got the firing gets it, no other (C6)."""
    told: list[str] = []
    silent: list[str] = []
    suppressed_by: list[str] = []
    for instant_ms, device_id, severity in sorted(_announced(inhibition, hushes, row)):
        causes = inhibition.covering(row, (instant_ms, device_id))
        if severity is Severity.CRITICAL and row["is_hushed"]:
            causes.append(MAINTENANCE)
        causes += _hushed(inhibition, hushes, row, instant_ms)
        if causes:
            silent += policy.channels_of(severity)
            suppressed_by += causes
        else:
            told += policy.channels_of(severity)
    if told:
        return Notice(is_told=True, channels=tuple(dict.fromkeys(told)))
    return Notice(
        is_told=False,
        channels=tuple(dict.fromkeys(silent)),
        suppressed_by=tuple(dict.fromkeys(suppressed_by)),
    )


def _announced(
    inhibition: Inhibition, hushes: Hushes, row: Transition
) -> Iterator[tuple[int, str, Severity]]:
    """Yield instant, place in the instant and severity of all firings of an episode that ends."""
    starts_ms, escalated_ms = row["starts_ms"], row["escalated_ms"]
    yield starts_ms, row["device_id"], Severity.WARNING
    if row["stage"] == Stage.CRITICAL:
        # At one instant after the warning, which may have begun an emergency.
        yield escalated_ms, row["device_id"] + ID_END, Severity.CRITICAL
    for end_ms in _mute_ends(inhibition.stays, hushes, row):
        is_critical = row["stage"] == Stage.CRITICAL and escalated_ms < end_ms
        severity = Severity.CRITICAL if is_critical else Severity.WARNING
        yield end_ms, LAST_OF_INSTANT, severity


def _mute_ends(stays: Stays, hushes: Hushes, row: Transition) -> list[int]:
    """Return when mutes of a device ended in an episode that ends, as of where it was then."""
    if not hushes.mutes:
        return []
    ends = {
        end_ms
        for subject in stays.subjects(row)
        for end_ms in hushes.mute_ends(subject, row["starts_ms"], row["time_ms"])
        if stays.subject_at(row, end_ms) == subject
    }
    return sorted(ends)


def _hushed(inhibition: Inhibition, hushes: Hushes, row: Transition, at_ms: int) -> list[str]:
    """Return what operators keep from people at an instant."""
    causes = []
    if hushes.mutes and hushes.is_muted(inhibition.stays.subject_at(row, at_ms), at_ms):
        causes.append(MUTE)
    if hushes.acks and hushes.is_in_hands(device_episode(row).id, at_ms):
        causes.append(ACK)
    return causes


def hush_pairs(events: list[AlertRecord], held_ms: int) -> None:
    """Set notify=false on episodes that began and ended before `held_ms`, in place."""
    begun = {event["episode_id"] for event in events if event["seq"] == 1}
    over = {e["episode_id"] for e in events if e["status"] == "resolved" and e["time"] < held_ms}
    for event in events:
        if event["episode_id"] in begun & over:
            event["notify"] = False
