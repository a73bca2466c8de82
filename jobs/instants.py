"""Instants on the command line: how long ago, or when."""

import re

from schemas.errors import SettingsError
from schemas.instants import parse_instant_ms

UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
AGO = re.compile(r"([0-9]{1,9})([smhd])")


def instant_ms(option: str, text: str, now_ms: int) -> int:
    """Return an instant as UTC ms.

    Args:
        option: that gave it, for the refusal.
        text: `90s`, `30m`, `1h` or `7d` ago, or RFC 3339 with an offset.
        now_ms: from which to count back.

    >>> instant_ms("--since", "1h", 1_767_229_200_000)
    1767225600000
    >>> instant_ms("--since", "2026-01-01T00:00:00Z", 0)
    1767225600000

    Raises:
        SettingsError: neither of them.
    """
    ago = AGO.fullmatch(text)
    if ago is not None:
        return now_ms - int(ago[1]) * UNITS_MS[ago[2]]
    try:
        return parse_instant_ms(text)
    except ValueError as error:
        raise SettingsError(
            option,
            value=text,
            allowed="so long ago (90s, 30m, 1h, 7d) or a time with its offset",
            cure="write 1h, or 2026-01-01T12:00:00Z",
        ) from error
