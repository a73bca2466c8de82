"""Text that others wrote, made safe to show: a terminal obeys control characters."""

ELLIPSIS = "…"


def printable(text: str, max_chars: int | None = None) -> str:
    r"""Return text without control, format and other invisible characters, cut to a length.

    Args:
        text: anything, such as a message key that a device chose.
        max_chars: of the answer; None: all of it.

    >>> print(printable("caf\u00e9 \x1b[2J\x9b\u202e"))
    café \x1b[2J\x9b\u202e
    >>> printable("abcdef", 4)
    'abc…'
    """
    # Twelve characters at most stand for one; what is beyond the limit need not be looked at.
    seen = text if max_chars is None else text[: max_chars + 1]
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in seen)
    if max_chars is None or len(shown) <= max_chars:
        return shown
    return shown[: max_chars - 1] + ELLIPSIS
