"""Alert events as a reader of the topic got them: how late they were, and whether they are right.

due ---------> input clock --------> emitted -------> sent ----> arrived
the instant    the log's clock when  the fleet        Kafka's    in our hands
that is told   it was found          stage's own      stamp
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from benchmarks.figures import histogram, quantiles
from schemas.records import Record
from schemas.severity import Severity
from udfs.alerts import Rule, Status

PARTS: tuple[tuple[str, str, str], ...] = (
    ("ticks, blocks, clocks of all shards: due -> input clock", "due_ms", "input_clock_ms"),
    ("read, decode, shards, fleet: input clock -> emitted", "input_clock_ms", "emitted_ms"),
    ("sink: emitted -> sent", "emitted_ms", "sent_ms"),
    ("sent -> arrived", "sent_ms", "arrived_ms"),
    ("in all: due -> arrived", "due_ms", "arrived_ms"),
)


class Arrival(NamedTuple):
    """One alert event and when it was where, UTC ms."""

    event_id: str
    rule: str
    subject: str
    status: str
    severity: str
    is_told: bool
    monitored_count: int | None
    due_ms: int
    silent_since_ms: int | None
    threshold_ms: int | None
    input_clock_ms: int
    emitted_ms: int
    sent_ms: int
    arrived_ms: int

    @property
    def is_device_firing(self) -> bool:
        """Return whether a device turned warning or critical."""
        return self.rule == Rule.DEVICE_OFFLINE and self.status == Status.FIRING

    @property
    def is_emergency_firing(self) -> bool:
        """Return whether a fleet's emergency began, or says something new."""
        return self.severity == Severity.EMERGENCY and self.status == Status.FIRING


def arrival(record: Record, sent_ms: int, arrived_ms: int) -> Arrival:
    """Return what is kept of one alert event."""
    counts, threshold_s = record["counts"], record["threshold_s"]
    return Arrival(
        event_id=record["id"],
        rule=record["labels"]["rule"],
        subject=record["subject"],
        status=record["status"],
        severity=record["severity"],
        is_told=record["notify"],
        monitored_count=None if counts is None else counts["monitored"],
        due_ms=record["time"],
        silent_since_ms=record["last_seen"],
        threshold_ms=None if threshold_s is None else round(threshold_s * 1000),
        input_clock_ms=record["input_clock"],
        emitted_ms=record["emitted_at"],
        sent_ms=sent_ms,
        arrived_ms=arrived_ms,
    )


def firings(arrivals: Iterable[Arrival], severity: Severity) -> list[Arrival]:
    """Return the firings of devices of one severity."""
    return [seen for seen in arrivals if seen.is_device_firing and seen.severity == severity]


def latency_figures(arrivals: Sequence[Arrival]) -> dict[str, Any]:
    """Return how late events were, in all and part by part."""
    late_ms = [seen.arrived_ms - seen.due_ms for seen in arrivals]
    parts = {
        name: quantiles([getattr(seen, end) - getattr(seen, start) for seen in arrivals])
        for name, start, end in PARTS
    }
    return {
        "events": len(arrivals),
        "latency": quantiles(late_ms),
        "parts": parts,
        "histogram": histogram(late_ms),
    }


def require_each_once(arrivals: Sequence[Arrival], device_ids: Iterable[str]) -> None:
    """Check that each of some devices, and no other, has one event of one severity, on time.

    Raises:
        AssertionError: one is missing, comes twice, is of another device or has a wrong instant.
    """
    expected = {f"device/{device_id}" for device_id in device_ids}
    counts = Counter(seen.subject for seen in arrivals)
    missing, others = expected - set(counts), set(counts) - expected
    assert not missing, f"{len(missing)} devices without an event, {sorted(missing)[:3]}"
    assert not others, f"{len(others)} false events, {sorted(others)[:3]}"
    twice = [subject for subject, count in counts.items() if count > 1]
    assert not twice, f"{len(twice)} devices more than once, {sorted(twice)[:3]}"
    for seen in arrivals:
        assert seen.silent_since_ms is not None, f"never seen: {seen}"
        assert seen.threshold_ms is not None, f"no threshold: {seen}"
        assert seen.due_ms == seen.silent_since_ms + seen.threshold_ms, f"not when due: {seen}"


def require_one_emergency(arrivals: Sequence[Arrival], device_count: int) -> Arrival:
    """Check that people were told of one emergency and of no device after it; return it.

    Args:
        arrivals: everything since the fleet was whole.
        device_count: of the fleet, all of which must have been monitored.

    Raises:
        AssertionError: there is no emergency or a second, or a device's event is told after it.
    """
    told = [seen for seen in arrivals if seen.is_emergency_firing and seen.is_told]
    assert len(told) == 1, f"{len(told)} emergencies are told"
    (emergency,) = told
    assert emergency.monitored_count == device_count, f"{emergency.monitored_count} monitored"
    later = [seen for seen in arrivals if seen.is_device_firing and seen.due_ms > emergency.due_ms]
    loud = [seen for seen in later if seen.is_told]
    assert later, "nothing came after the emergency"
    assert not loud, f"{len(loud)} events of devices are told during the emergency"
    return emergency
