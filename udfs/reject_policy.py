"""How much may be rejected, and whether it is many senders whose messages are."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Senders = NDArray[np.uint32]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class RejectPolicy:
    """How much may be rejected.

    Args:
        max_ratio: share of messages, and of senders, that may be rejected, 0-1; 1 switches it off.
        window_count: over how many messages of a partition the shares are taken.
        min_count: fewer messages than this say nothing.
        max_run_count: messages of a partition that may be rejected in a row; 0 switches it off.
        topics: full names of the topics that are judged; None: all.
    """

    max_ratio: float = 0.5
    window_count: int = 1_000
    min_count: int = 100
    max_run_count: int = 5_000
    topics: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Check that the window can speak at all."""
        assert 0 < self.max_ratio <= 1
        assert 0 < self.min_count <= self.window_count


def first_with_many_senders(
    senders: Senders, is_rejected: Bools, is_asked: Bools, policy: RejectPolicy
) -> int | None:
    """Return the first message asked about at which the share of bad senders is too large.

    A sender is bad when too large a share of its own messages in the window is rejected.

    Args:
        senders: hash of each message's key, oldest first, shape (n,).
        is_rejected: shape (n,).
        is_asked: at which messages the answer matters, shape (n,).
        policy: the share, and how many messages a window has.
    """
    shares = _SenderShares(policy.max_ratio)
    messages = list(zip(senders.tolist(), is_rejected.tolist(), strict=True))
    for index, (sender, is_bad) in enumerate(messages):
        shares.add(sender, 1, is_rejected=is_bad)
        if index >= policy.window_count:
            left, was_bad = messages[index - policy.window_count]
            shares.add(left, -1, is_rejected=was_bad)
        if is_asked[index] and shares.is_large():
            return index
    return None


class _SenderShares:
    """How many senders a window has, and of how many too much is rejected."""

    def __init__(self, max_ratio: float) -> None:
        self._max_ratio = max_ratio
        self._message_counts: Counter[int] = Counter()
        self._rejected_counts: Counter[int] = Counter()
        self._bad: set[int] = set()

    def add(self, sender: int, change: int, *, is_rejected: bool) -> None:
        self._message_counts[sender] += change
        self._rejected_counts[sender] += change * is_rejected
        # The comparison that the whole window gets, for one sender.
        limit = self._max_ratio * self._message_counts[sender]
        if self._rejected_counts[sender] > limit:
            self._bad.add(sender)
        else:
            self._bad.discard(sender)
        if self._message_counts[sender] == 0:
            del self._message_counts[sender], self._rejected_counts[sender]

    def is_large(self) -> bool:
        return len(self._bad) > self._max_ratio * len(self._message_counts)
