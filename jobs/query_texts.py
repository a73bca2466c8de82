"""Writes spans, sizes and instants for people."""

from datetime import UTC, datetime

MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400
SIZE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
SIZE_STEP = 1024


def span_text(seconds: float) -> str:
    """Write a span in its two largest units.

    >>> [span_text(s) for s in (0.25, 42, 300, 303, 7_500, 266_400)]
    ['0.25s', '42s', '5m', '5m 03s', '2h 05m', '3d 02h']
    """
    if abs(seconds) < 1:
        return f"{seconds:.2g}s"
    sign, whole = "-" if seconds < 0 else "", int(abs(seconds))
    if whole < MINUTE_S:
        return f"{sign}{whole}s"
    if whole < HOUR_S:
        return sign + _pair(whole // MINUTE_S, "m", whole % MINUTE_S, "s")
    if whole < DAY_S:
        return sign + _pair(whole // HOUR_S, "h", whole % HOUR_S // MINUTE_S, "m")
    return sign + _pair(whole // DAY_S, "d", whole % DAY_S // HOUR_S, "h")


def _pair(large: int, large_unit: str, small: int, small_unit: str) -> str:
    rest = f" {small:02}{small_unit}" if small > 0 else ""
    return f"{large}{large_unit}{rest}"


def size_text(size_bytes: float) -> str:
    """Write a number of bytes with its binary unit.

    >>> [size_text(b) for b in (0, 1_023, 1_536, 5 * 1024**3)]
    ['0 B', '1,023 B', '1.50 KiB', '5.00 GiB']
    """
    size, unit = float(size_bytes), SIZE_UNITS[0]
    for larger in SIZE_UNITS[1:]:
        if abs(size) < SIZE_STEP:
            break
        size, unit = size / SIZE_STEP, larger
    digits = f"{size:,.0f}" if unit == SIZE_UNITS[0] else f"{size:#.3g}".rstrip(".")
    return f"{digits} {unit}"


def instant_text(at_ms: int) -> str:
    """Write an instant, UTC, to the second, and to the minute when that is all it says.

    >>> instant_text(1_767_225_600_000), instant_text(1_767_225_601_999)
    ('2026-01-01 00:00', '2026-01-01 00:00:01')
    """
    at = datetime.fromtimestamp(at_ms // 1000, UTC)
    return at.strftime("%Y-%m-%d %H:%M:%S" if at.second else "%Y-%m-%d %H:%M")
