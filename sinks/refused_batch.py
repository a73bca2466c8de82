"""Cuts a batch that the engine refuses because of some of its messages, until they stand alone.

The ledger keeps its protocol: each share of the batch is a batch of its own, with a number that was
never used, so with a token of its own and with rows that bear its number. Whatever dies, the last
ledger row of each partition says all.

    batch 7  p0 0-9, p1 0-5        begun, refused, nothing of it has landed
    batch 8  p0 0-7                begun, and in the same insert p1 waits at 0, which is an empty
                                   range that is done; landed, done
    batch 9  p0 8-9, p1 0-5        begun, refused
    batch 10 p0 8-9                begun, p1 waits at 0; refused
    batch 11 p0 8-8                one message, refused: to the dead letters; done, without rows
    batch 12 p0 9-9                landed, done
    batch 13 p1 0-5                landed, done

    crash after any line: the open batch of that line is read again and goes the same way (a letter
    may be written twice: it has the same origin); what waits is read anew, as if never begun.

A later row of the ledger has a larger number, so it stands above the row of the batch it was cut
from. That batch must not have landed in any part: this is looked at before it is cut.
Pure: messages and entries in, messages and entries out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.errors import RejectLimitExceeded
from sinks.load_ledger import LedgerEntry, OffsetRange
from sinks.messages import Message

REFUSED_MIN_COUNT = 10
REFUSED_MAX_RATIO = 0.5
"""More than both of the messages that were judged: it is the table, not they."""


@dataclass(frozen=True)
class Share:
    """Consecutive messages of a batch.

    Args:
        messages: by partition and offset.
        ranges: of offsets that it covers, gaps of the log included; ascending.
    """

    messages: tuple[Message, ...]
    ranges: tuple[OffsetRange, ...]

    def entry(self, topic: str, batch_number: int, row_count: int) -> LedgerEntry:
        """Return it as a batch of its own."""
        return LedgerEntry(topic, batch_number, self.ranges, row_count)


def whole(entry: LedgerEntry, messages: Sequence[Message]) -> Share:
    """Return all of a batch as one share."""
    ordered = sorted(messages, key=lambda message: (message.partition, message.offset))
    return Share(tuple(ordered), entry.ranges)


def halves(share: Share) -> tuple[Share, Share]:
    """Cut a share of two or more messages between two of them.

    >>> messages = tuple(Message(0, offset, 0, None, None) for offset in (3, 5, 8))
    >>> left, right = halves(Share(messages, (OffsetRange(0, 3, 9), OffsetRange(1, 0, 4))))
    >>> left.ranges, right.ranges
    ((OffsetRange(partition=0, first_offset=3, last_offset=3),), \
(OffsetRange(partition=0, first_offset=4, last_offset=9), \
OffsetRange(partition=1, first_offset=0, last_offset=4)))
    """
    assert len(share.messages) > 1, "one message cannot be cut"
    middle = len(share.messages) // 2
    last = share.messages[middle - 1]
    left, right = [], []
    for span in share.ranges:
        if span.partition < last.partition:
            left.append(span)
        elif span.partition > last.partition:
            right.append(span)
        else:
            left.append(OffsetRange(span.partition, span.first_offset, last.offset))
            if last.offset < span.last_offset:
                right.append(OffsetRange(span.partition, last.offset + 1, span.last_offset))
    return Share(share.messages[:middle], tuple(left)), Share(share.messages[middle:], tuple(right))


def waiting(share: Share, later: Sequence[Share]) -> tuple[OffsetRange, ...]:
    """Return the partitions that wait while a share is under way, as empty ranges.

    Args:
        share: under way.
        later: all that is left of the batch, in any order.

    >>> waiting(Share((), (OffsetRange(0, 0, 7),)), [Share((), (OffsetRange(1, 4, 5),))])
    (OffsetRange(partition=1, first_offset=4, last_offset=3),)
    """
    own = {span.partition for span in share.ranges}
    firsts: dict[int, int] = {}
    for span in (span for each in later for span in each.ranges if span.partition not in own):
        firsts[span.partition] = min(
            span.first_offset, firsts.get(span.partition, span.first_offset)
        )
    return tuple(OffsetRange(p, first, first - 1) for p, first in sorted(firsts.items()))


def check_refused(topic: str, refused_count: int, judged_count: int, cause: str) -> None:
    """Stop when so many messages of a batch are refused that it cannot be their fault.

    Args:
        topic: full name.
        refused_count: single messages that were refused.
        judged_count: those, and the messages that have landed.
        cause: of the last refusal, without values.

    Raises:
        RejectLimitExceeded: it is the table.
    """
    if refused_count > max(REFUSED_MIN_COUNT, REFUSED_MAX_RATIO * judged_count):
        raise RejectLimitExceeded(
            f"topic {topic}: ClickHouse refuses {refused_count} of {judged_count} messages "
            f"({cause}); cure: undo the change of the table, or load into a new database"
        )
