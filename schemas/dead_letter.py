"""What a dead letter is: the refused message as it was, and headers that say why and where from.

    headers = the original's, as far as the limits go | ours: __connect.errors.* and dlq.*

The names `__connect.errors.*` are Kafka Connect's, which other tools know. Both families of names
are ours alone: what a producer sends under them is dropped, or a device could forge where its
message came from, or a receipt. A message that `fleetpulse dead-letters replay` sent again keeps
three of them (`KEPT_OF_REPLAY`); who forges those only parks its own message sooner.

No header holds a value of the record, but for the tenant that its key claims.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from schemas.errors import Reason
from schemas.records import WIRE_HEADER_BYTES, WIRE_MAGIC
from schemas.topics import MESSAGE_MAX_BYTES

Headers = tuple[tuple[str, bytes], ...]
"""In order; a name may occur twice. A null value counts as empty."""

CONNECT = "__connect.errors."
OURS = "dlq."
REASON = "dlq.reason"
SCHEMA_ID = "dlq.schema.id"
TENANT_CLAIMED = "dlq.tenant.claimed"
PAYLOAD_SHA256 = "dlq.payload.sha256"
ATTEMPT = "dlq.attempt"
FIRST_FAILED_AT = "dlq.first_failed_at"
TRUNCATED = "dlq.truncated"
"""Size of the original value, bytes, when only its beginning fits."""
KEY_TRUNCATED = "dlq.key.truncated"
HEADERS_DROPPED = "dlq.headers.dropped"
REPLAY_OF = "dlq.replay.of"
"""On a message that was sent again: TOPIC/PARTITION/OFFSET of the letter."""
RECEIPT_OF = "dlq.receipt.of"
"""On a receipt: PARTITION/OFFSET of the letter in the dead-letter topic."""
RECEIPT_TIME = "dlq.receipt.time_ms"
"""On a receipt: timestamp of the letter, so of the original, UTC ms."""
ERROR_CLASS = "schemas.errors.Rejected"

# A batch on the wire is at most 1 MiB, but compressed: what comes out of it may be larger.
VALUE_MAX_BYTES = MESSAGE_MAX_BYTES
KEY_MAX_BYTES = 64 * 1024
HEADER_MAX_COUNT = 64
HEADERS_MAX_BYTES = 64 * 1024
DETAIL_MAX_CHARS = 500
TENANT_MAX_BYTES = 128

KEPT_OF_REPLAY = {
    ATTEMPT: re.compile(rb"[0-9]{1,6}"),
    FIRST_FAILED_AT: re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"),
    REPLAY_OF: re.compile(rb"[A-Za-z0-9._-]{1,249}/[0-9]{1,10}/[0-9]{1,18}"),
}
"""Our names that survive a second refusal, and what their values look like."""


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


@dataclass(frozen=True)
class Original:
    """A refused message as its log has it.

    Args:
        key: None is a null key, which is not an empty one.
        value: None is a tombstone.
        headers: in order; a name may occur twice.
        timestamp_ms: append time, UTC.
    """

    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int


@dataclass(frozen=True)
class Letter:
    """A message for the dead-letter topic, which keeps the original's timestamp."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int


def dead_letter(origin: Origin, refusal: Refusal, original: Original) -> Letter:
    """Return the dead letter of a refused message; no part of it is larger than its limit."""
    kept = _kept_headers(original.headers)
    taken = {name for name, _ in kept}
    own = cause_headers(origin, refusal) | _account_of(original, len(original.headers) - len(kept))
    added = tuple((name, text.encode()) for name, text in own.items() if name not in taken)
    key, value = original.key, original.value
    return Letter(
        key=key if key is None else key[:KEY_MAX_BYTES],
        value=value if value is None else value[:VALUE_MAX_BYTES],
        headers=(*kept, *added),
        timestamp_ms=original.timestamp_ms,
    )


def cause_headers(origin: Origin, refusal: Refusal) -> dict[str, str]:
    """Return Kafka Connect's ten headers, and the reason from our closed list."""
    detail = " ".join(refusal.detail.split())[:DETAIL_MAX_CHARS]
    return {
        f"{CONNECT}topic": origin.topic,
        f"{CONNECT}partition": str(origin.partition),
        f"{CONNECT}offset": str(origin.offset),
        f"{CONNECT}connector.name": refusal.component,
        f"{CONNECT}task.id": "0",
        f"{CONNECT}stage": refusal.stage,
        f"{CONNECT}class.name": ERROR_CLASS,
        f"{CONNECT}exception.class.name": ERROR_CLASS,
        f"{CONNECT}exception.message": f"{refusal.reason}: {detail}",
        f"{CONNECT}exception.stacktrace": "",
        REASON: refusal.reason.value,
    }


def is_reserved(name: str) -> bool:
    """Say whether a header name is ours alone.

    >>> is_reserved("dlq.attempt"), is_reserved("traceparent")
    (True, False)
    """
    return name.startswith((CONNECT, OURS))


def tenant_claimed(key: bytes | None) -> str | None:
    r"""Return the tenant that a key names before its slash; None when it names none.

    >>> tenant_claimed(b"acme/cam-7"), tenant_claimed(b"cam-7"), tenant_claimed(b"\xff/d")
    ('acme', None, None)
    """
    tenant, slash, _ = (key or b"").partition(b"/")
    if not slash or not 0 < len(tenant) <= TENANT_MAX_BYTES:
        return None
    try:
        return tenant.decode()
    except UnicodeDecodeError:
        return None


def rfc3339(time_ms: int) -> str:
    """Write UTC milliseconds as text; what no calendar has is written as the epoch.

    >>> rfc3339(1_767_225_600_007)
    '2026-01-01T00:00:00.007Z'
    """
    try:
        instant = datetime.fromtimestamp(time_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        instant = datetime.fromtimestamp(0, UTC)
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _account_of(original: Original, dropped_count: int) -> dict[str, str]:
    """Return our headers about the message itself; those that do not apply are left out."""
    key, value = original.key or b"", original.value or b""
    tenant = tenant_claimed(original.key)
    has_schema_id = len(value) >= WIRE_HEADER_BYTES and value.startswith(WIRE_MAGIC)
    optional = {
        SCHEMA_ID: int.from_bytes(value[1:WIRE_HEADER_BYTES], "big") if has_schema_id else None,
        TENANT_CLAIMED: tenant,
        TRUNCATED: len(value) if len(value) > VALUE_MAX_BYTES else None,
        KEY_TRUNCATED: len(key) if len(key) > KEY_MAX_BYTES else None,
        HEADERS_DROPPED: dropped_count if dropped_count > 0 else None,
    }
    return {
        PAYLOAD_SHA256: hashlib.sha256(value).hexdigest(),
        ATTEMPT: "0",
        FIRST_FAILED_AT: rfc3339(original.timestamp_ms),
        **{name: str(found) for name, found in optional.items() if found is not None},
    }


def _kept_headers(headers: Headers) -> Headers:
    """Return the original's headers without forged names, up to the limits of count and size.

    What a replay keeps is outside the limits: without its number a message could come back forever.
    """
    is_replay = any(name == REPLAY_OF and _survives(name, value) for name, value in headers)
    kept: list[tuple[str, bytes]] = []
    seen_ours: set[str] = set()
    count = size_bytes = 0
    for name, value in headers:
        if is_reserved(name):
            if is_replay and name not in seen_ours and _survives(name, value):
                seen_ours.add(name)
                kept.append((name, value))
            continue
        count += 1
        size_bytes += len(name.encode(errors="replace")) + len(value)
        # Once over a limit, always over it: what is kept is a beginning, not a selection.
        if count <= HEADER_MAX_COUNT and size_bytes <= HEADERS_MAX_BYTES:
            kept.append((name, value))
    return tuple(kept)


def _survives(name: str, value: bytes) -> bool:
    pattern = KEPT_OF_REPLAY.get(name)
    return pattern is not None and pattern.fullmatch(value) is not None
