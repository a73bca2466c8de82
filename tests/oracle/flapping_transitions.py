"""What the flapping of devices adds to their transitions (C9).

The fleet's oracle gets `flapping` after the change that begins it, `calm` at its end, and `final`
where an episode is open then; all between are marked.
"""

from itertools import groupby
from typing import Any

from tests.oracle.alerts_oracle import PartitionLog, Transition
from tests.oracle.flapping_oracle import flapping_spans


def with_flapping(
    transitions: list[Transition], partitions: dict[int, PartitionLog]
) -> list[Transition]:
    """Return all transitions of all devices in order, with those of their flapping."""

    def device(transition: Transition) -> tuple[str, str]:
        return transition.tenant_id, transition.device_id

    found: list[Transition] = []
    for _, own in groupby(sorted(transitions, key=device), key=device):
        for life in _lives(list(own)):
            found += _of_life(life, partitions[life[0].partition])
    return sorted(found, key=lambda t: (t.at_ms, t.tenant_id, t.device_id))


def _lives(transitions: list[Transition]) -> list[list[Transition]]:
    """Split a device's transitions after each decommissioning."""
    lives: list[list[Transition]] = [[]]
    for transition in transitions:
        lives[-1].append(transition)
        if transition.kind == "removed":
            lives.append([])
    return [life for life in lives if life]


def _of_life(life: list[Transition], partition: PartitionLog) -> list[Transition]:
    died_ms = life[-1].at_ms if life[-1].kind == "removed" else None
    changes = [
        t.at_ms
        for t in life
        if t.kind == "warning" or (t.kind == "resolved" and t.at_ms != died_ms)
    ]
    for span in flapping_spans(changes, partition.blind):
        is_cut = died_ms is not None and died_ms <= span.end_ms
        before = [t for t in life if t.at_ms <= span.begin_ms]
        within = [t for t in life if span.begin_ms < t.at_ms <= span.end_ms and t.kind != "removed"]
        after = life[len(before) + len(within) :]
        within = [t._replace(flapping_ms=span.begin_ms) for t in within]
        begin = before[-1]._replace(kind="flapping", flapping_ms=span.begin_ms)
        end_ms = died_ms if is_cut and died_ms is not None else span.end_ms
        life = [*before, begin, *within]
        if is_cut or end_ms <= partition.clock_ms:
            life.append(begin._replace(kind="calm", at_ms=end_ms))
        if not is_cut and end_ms <= partition.clock_ms:
            final = _final([*before, *within], end_ms, partition)
            life += final
            after = _renumbered(after, final)
        life += after
    return life


def _final(before: list[Transition], end_ms: int, partition: PartitionLog) -> list[Transition]:
    """Return what is told of the episode that is open when a flapping ends."""
    last = [t for t in before if t.kind in ("joined", "warning", "critical", "resolved")][-1]
    if last.kind not in ("warning", "critical"):
        return []
    blind_ms = partition.blind_ms(last.last_seen_ms, end_ms)
    return [
        last._replace(
            kind="final", at_ms=end_ms, seq=last.seq + 1, flapping_ms=0, blind_ms=blind_ms
        )
    ]


def _renumbered(after: list[Transition], final: list[Transition]) -> list[Transition]:
    """Return the rest with the numbers of the open episode moved by one."""
    open_ms = {told.last_seen_ms for told in final}
    return [
        t._replace(seq=t.seq + 1) if t.last_seen_ms in open_ms and t.seq > 0 else t for t in after
    ]


def flapping_alert(transition: Transition, suppressed_by: list[str]) -> dict[str, Any]:
    """Return what an event says of a flapping, beside its names."""
    is_over = transition.kind == "calm"
    return {
        "time": transition.at_ms,
        "status": "resolved" if is_over else "firing",
        "severity": "warning",
        "starts_at": transition.flapping_ms,
        "ends_at": transition.at_ms if is_over else None,
        "notify": not suppressed_by,
        "channels": ["email"],
        "suppressed_by": list(suppressed_by),
        "blind_seconds": 0.0,
        "counts": None,
    }
