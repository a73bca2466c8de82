"""The headers of a dead letter: where the message came from, and who refused it why.

The names are Kafka Connect's, which other tools know, plus our own (`dlq.`). The text of headers
never contains a value of the record.
"""

from dataclasses import dataclass

from schemas.errors import Reason

CONNECT = "__connect.errors."
REASON = "dlq.reason"
ERROR_CLASS = "schemas.errors.Rejected"


@dataclass(frozen=True)
class Origin:
    """Where a message was read."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True)
class Refusal:
    """Who refused a message, in which step, and why."""

    component: str
    stage: str
    reason: Reason
    detail: str


def cause_headers(origin: Origin, refusal: Refusal) -> dict[str, str]:
    """Return Kafka Connect's ten headers, and the reason from our closed list."""
    return {
        f"{CONNECT}topic": origin.topic,
        f"{CONNECT}partition": str(origin.partition),
        f"{CONNECT}offset": str(origin.offset),
        f"{CONNECT}connector.name": refusal.component,
        f"{CONNECT}task.id": "0",
        f"{CONNECT}stage": refusal.stage,
        f"{CONNECT}class.name": ERROR_CLASS,
        f"{CONNECT}exception.class.name": ERROR_CLASS,
        f"{CONNECT}exception.message": f"{refusal.reason}: {refusal.detail}",
        f"{CONNECT}exception.stacktrace": "",
        REASON: refusal.reason.value,
    }
