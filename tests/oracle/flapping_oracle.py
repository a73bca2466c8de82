"""When a device flaps, worked out from its whole history at once (C9).

    changes of one device:  c c   c c        c        the 4th within 60 min begins it;
                                  |--- spans ------|   30 min heard without another end it

Nothing is incremental: at each change all changes of the last 60 min are counted again.
"""

from collections.abc import Iterable
from typing import NamedTuple

WITHIN_MS = 3_600_000
CALM_MS = 1_800_000
CHANGES = 4


class Span(NamedTuple):
    """From when a device flaps, and until when."""

    begin_ms: int
    end_ms: int


def calm_ms(change_ms: int, blind: Iterable[tuple[int, int]]) -> int:
    """Return when 30 min were heard since a change.

    Args:
        change_ms: the last change.
        blind: when nothing was heard, each from and to, in order.
    """
    at_ms = change_ms + CALM_MS
    for from_ms, to_ms in blind:
        if to_ms > change_ms and from_ms < at_ms:
            at_ms += to_ms - max(from_ms, change_ms)
    return at_ms


def flapping_spans(changes: list[int], blind: list[tuple[int, int]]) -> list[Span]:
    """Return when a device flaps that is never removed.

    Args:
        changes: the begins and ends of its silences, in order; two may fall on one instant.
        blind: when its partition was not heard, each from and to, in order.

    >>> minute = 60_000
    >>> flapping_spans([0, 20 * minute, 40 * minute, 60 * minute], [])
    [Span(begin_ms=3600000, end_ms=5400000)]
    >>> flapping_spans([0, 20 * minute, 40 * minute, 60 * minute + 1], [])
    []
    """
    spans: list[Span] = []
    for place, at_ms in enumerate(changes):
        recent = [c for c in changes[: place + 1] if at_ms - c <= WITHIN_MS]
        if spans and at_ms <= spans[-1].end_ms:
            spans[-1] = spans[-1]._replace(end_ms=calm_ms(at_ms, blind))
        elif len(recent) >= CHANGES:
            spans.append(Span(at_ms, calm_ms(at_ms, blind)))
    return spans
