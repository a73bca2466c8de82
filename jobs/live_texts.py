"""Writes times, rates and names for people."""

from datetime import UTC, datetime

OWN_PREFIX = "fleetpulse-"


def duration_text(seconds: float) -> str:
    """Write a duration as minutes and seconds.

    >>> duration_text(83.9)
    '1:23'
    """
    whole = max(0, int(seconds))
    return f"{whole // 60}:{whole % 60:02}"


def clock_text(at_ms: int) -> str:
    """Write the time of day, UTC.

    >>> clock_text(1_795_366_237_243)
    '16:50:37'
    """
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%H:%M:%S")


def rate_text(per_s: float | None) -> str:
    """Write a rate without decimals; a dash while it is unknown.

    >>> rate_text(4999.7), rate_text(None)
    ('5,000', '-')
    """
    return "-" if per_s is None else f"{per_s:,.0f}"


def subject_text(subject: str) -> str:
    """Write a subject for people: of a device, the commonest, the identity alone.

    >>> subject_text("device/edge-000007"), subject_text("tenant/demo")
    ('edge-000007', 'tenant demo')
    """
    kind, _, name = subject.partition("/")
    return name if kind == "device" else f"{kind} {name}"


def short_name(name: str) -> str:
    """Return a job's or a reader's name without what all have in common."""
    return name.removeprefix(OWN_PREFIX)


def process_name(name: str) -> str:
    """Return a process's name for people: Flink's children are where our Python code runs.

    >>> process_name("taskmanager workers")
    'Python workers'
    """
    return "Python workers" if name == "taskmanager workers" else name
