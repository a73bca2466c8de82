"""From when to when something that operators said acts, and what a later word does to an earlier.

earlier   [------------------|  cut off where the later one of its key was appended
later                 |   [---------------)
planned                      [----)  replaced before it began: it never acts, so it is gone
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeVar


@dataclass(frozen=True)
class ActingSpan:
    """Something that acts from `begin_ms` to `end_ms`, exclusive.

    Args:
        key: on the topic; of one key at most one acts at any instant.
        begin_ms: never before its own append time.
        end_ms: never after that of a later one of its key.
    """

    key: str
    begin_ms: int
    end_ms: int


S = TypeVar("S", bound=ActingSpan)


def with_later(spans: Iterable[S], later: S, acts_ms: int) -> tuple[S, ...]:
    """Return spans with one more, in whose favour earlier ones of its key end.

    What has no instant at which it acts is left out: its begin and end are no instants at which
    something happens.

    Args:
        spans: in the order in which they were said.
        later: the new one.
        acts_ms: its append time, UTC ms.
    """
    kept: list[S] = []
    for span in spans:
        if span.key != later.key:
            kept.append(span)
        elif span.begin_ms < (end_ms := min(span.end_ms, acts_ms)):
            kept.append(replace(span, end_ms=end_ms))
    return (*kept, later) if later.begin_ms < later.end_ms else tuple(kept)
