"""Instants as people write them, and as we keep them: UTC ms."""

from datetime import UTC, datetime

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_instant_ms(value: object) -> int:
    """Return an instant as UTC ms.

    >>> parse_instant_ms("2026-01-01T12:00:00.001Z"), parse_instant_ms(1767268800001)
    (1767268800001, 1767268800001)

    Raises:
        ValueError: neither RFC 3339 with an offset nor epoch ms; the text says what is allowed.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        moment = datetime.fromisoformat(value)  # type: ignore[arg-type]  # checked by the call
    except (TypeError, ValueError) as error:
        raise ValueError("times as RFC 3339 or epoch ms") from error
    if moment.tzinfo is None:
        raise ValueError("times with an offset, such as 2026-01-01T12:00:00.000Z")
    elapsed = moment - EPOCH
    return (elapsed.days * 86_400 + elapsed.seconds) * 1000 + elapsed.microseconds // 1000


def format_instant(time_ms: int) -> str:
    """Return an instant as RFC 3339 with milliseconds.

    >>> format_instant(1767268800001)
    '2026-01-01T12:00:00.001Z'
    """
    moment = datetime.fromtimestamp(time_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03d}Z"
