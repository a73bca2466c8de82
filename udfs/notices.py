"""Whether a device's event is told to people, and over which channels (C6, C7, C9, C13)."""

from collections.abc import Iterator
from typing import NamedTuple

from schemas.severity import Severity
from udfs.alerts import AlertRecord, Notice, Transition, device_episode, device_severity
from udfs.device_columns import ID_END, Stage
from udfs.emergency import LAST_OF_INSTANT
from udfs.flapping import Untold
from udfs.flapping_events import flapping_event_id
from udfs.hushes import ACK, MAINTENANCE, MUTE, Hushes
from udfs.inhibition import Inhibition
from udfs.offline_policy import OfflinePolicy
from udfs.stays import Stays
from udfs.transitions import ENDS, Kind


class _Firing(NamedTuple):
    """A firing of an episode: where it stands in its instant, and what the shard says kept it."""

    instant_ms: int
    place: str
    severity: Severity
    causes: tuple[str, ...] = ()


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
    is_flapping = row["flapping_ms"] is not None and row["calm_ms"] is None
    causes = [flapping_event_id(row)] if is_flapping else []
    causes += inhibition.firing(row)
    if row["is_in_maintenance"]:
        causes.append(MAINTENANCE)
    causes += _hushed(inhibition, hushes, row, row["time_ms"])
    return Notice(not causes, channels, tuple(causes))


def _end_notice(
    inhibition: Inhibition, hushes: Hushes, row: Transition, policy: OfflinePolicy
) -> Notice:
    """Return the notice of an end: each channel that got the firing gets it, no other (C6)."""
    firings = sorted(_announced(inhibition, hushes, row))
    return _ended(inhibition, hushes, row, firings, policy)


def flapping_notice(
    inhibition: Inhibition, hushes: Hushes, row: Transition, policy: OfflinePolicy
) -> Notice:
    """Return whether it is told that a device flaps, or does no longer; arguments as above."""
    if row["kind"] != Kind.FLAPPING:
        begun_ms = row["start_ms"]
        told_ms = begun_ms, *_mute_ends(inhibition.stays, hushes, row, begun_ms)
        firings = [_Firing(at_ms, row["device_id"], Severity.WARNING) for at_ms in told_ms]
        return _ended(inhibition, hushes, row, firings, policy)
    firing = _Firing(row["time_ms"], row["device_id"], Severity.WARNING)
    causes = _causes(inhibition, hushes, row, firing)
    return Notice(not causes, policy.channels_of(Severity.WARNING), tuple(causes))


def _ended(
    inhibition: Inhibition,
    hushes: Hushes,
    row: Transition,
    firings: list[_Firing],
    policy: OfflinePolicy,
) -> Notice:
    told: list[str] = []
    silent: list[str] = []
    suppressed_by: list[str] = []
    for firing in firings:
        causes = _causes(inhibition, hushes, row, firing)
        if causes:
            silent += policy.channels_of(firing.severity)
            suppressed_by += causes
        else:
            told += policy.channels_of(firing.severity)
    if told:
        return Notice(is_told=True, channels=tuple(dict.fromkeys(told)))
    return Notice(
        is_told=False,
        channels=tuple(dict.fromkeys(silent)),
        suppressed_by=tuple(dict.fromkeys(suppressed_by)),
    )


def _causes(inhibition: Inhibition, hushes: Hushes, row: Transition, firing: _Firing) -> list[str]:
    """Return what kept a firing from people."""
    covering = inhibition.covering(row, (firing.instant_ms, firing.place))
    causes = [*firing.causes, *covering]
    return causes + _hushed(inhibition, hushes, row, firing.instant_ms)


def _announced(inhibition: Inhibition, hushes: Hushes, row: Transition) -> Iterator[_Firing]:
    """Yield all firings of an episode that ends."""
    starts_ms, escalated_ms, calm_ms = row["starts_ms"], row["escalated_ms"], row["calm_ms"]
    device_id, is_critical = row["device_id"], row["stage"] == Stage.CRITICAL
    yield _Firing(starts_ms, device_id, Severity.WARNING, _kept(row, Untold.WARNING))
    if is_critical:
        # At one instant after the warning, which may have begun an emergency.
        causes = (*_kept(row, Untold.CRITICAL), *([MAINTENANCE] if row["is_hushed"] else ()))
        yield _Firing(escalated_ms, device_id + ID_END, Severity.CRITICAL, causes)
    if calm_ms is not None:
        is_worse = is_critical and escalated_ms <= calm_ms
        severity = Severity.CRITICAL if is_worse else Severity.WARNING
        yield _Firing(calm_ms, device_id + ID_END, severity, _kept(row, Untold.FINAL))
    for end_ms in _mute_ends(inhibition.stays, hushes, row, starts_ms):
        severity = Severity.CRITICAL if is_critical and escalated_ms < end_ms else Severity.WARNING
        is_hidden = hushes.hidden_ends and hushes.is_hidden_end(device_episode(row).id, end_ms)
        causes = (*_kept_at(row, end_ms), *([MAINTENANCE] if is_hidden else ()))
        yield _Firing(end_ms, LAST_OF_INSTANT, severity, causes)


def _kept(row: Transition, untold: Untold) -> tuple[str, ...]:
    """Return what kept a firing from people as the device flapped."""
    if row["flapping_ms"] is None or not Untold(row["untold"]) & untold:
        return ()
    return (MAINTENANCE if untold is Untold.FINAL else flapping_event_id(row),)


def _kept_at(row: Transition, at_ms: int) -> tuple[str, ...]:
    """Return the flapping that kept the end of a mute from people."""
    begun_ms, calm_ms = row["flapping_ms"], row["calm_ms"]
    is_flapping = begun_ms is not None and begun_ms <= at_ms
    is_flapping = is_flapping and (calm_ms is None or at_ms <= calm_ms)
    return (flapping_event_id(row),) if is_flapping else ()


def _mute_ends(stays: Stays, hushes: Hushes, row: Transition, after_ms: int) -> list[int]:
    """Return when mutes of a device ended since an instant, as of where it was then."""
    if not hushes.mutes:
        return []
    ends = {
        end_ms
        for subject in stays.subjects(row)
        for end_ms in hushes.mute_ends(subject, after_ms, row["time_ms"])
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
