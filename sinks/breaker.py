"""A circuit breaker: whether to send now, after what became of earlier attempts.

               failures in a row < limit                      pause is over
    ┌────────┐ ───────────────────────┐  ┌──────┐ ─────────────────────────────> ┌───────────┐
    │ CLOSED │ <──────────────────────┘  │ OPEN │ <───────────────────────────── │ HALF_OPEN │
    └────────┘ ─────────────────────────>└──────┘   failure: a pause twice as    └───────────┘
         ^       failures in a row = limit           long, up to the longest           │
         └─────────────────────────────── success ─────────────────────────────────────┘

Pure: time and chance are arguments. `Circuit` in `retry.py` puts it around calls.
"""

from dataclasses import dataclass, replace
from enum import StrEnum


class BreakerState(StrEnum):
    """Whether anything is sent."""

    CLOSED = "closed"
    HALF_OPEN = "half-open"
    OPEN = "open"


@dataclass(frozen=True)
class BreakerPolicy:
    """When nothing is sent any more, and how long.

    Args:
        open_after_count: failures in a row.
        first_pause_ms: at most so long after the first failure; twice as long after the next.
        longest_pause_ms: at most so long after any.
    """

    open_after_count: int = 5
    first_pause_ms: int = 200
    longest_pause_ms: int = 30_000

    def __post_init__(self) -> None:
        """Check the order."""
        assert self.open_after_count >= 1
        assert 1 <= self.first_pause_ms <= self.longest_pause_ms

    def pause_ms(self, failure_count: int, dice: float) -> int:
        """Return how long to wait after so many failures in a row.

        The upper half of the pause is drawn, so that many processes do not come back at once.

        Args:
            failure_count: 1 or more.
            dice: 0-1.

        >>> BreakerPolicy().pause_ms(1, 0.0), BreakerPolicy().pause_ms(3, 1.0)
        (100, 800)
        """
        assert failure_count >= 1
        assert 0 <= dice <= 1
        # 2**30 pauses are longer than any limit; a larger power would only be a larger number.
        doubled = self.first_pause_ms << min(failure_count - 1, 30)
        return max(1, round(min(doubled, self.longest_pause_ms) * (1 + dice) / 2))


@dataclass(frozen=True)
class Breaker:
    """What became of the last attempts.

    Args:
        state: now.
        failure_count: in a row.
        retry_at_ms: nothing is sent before, by a clock that only rises.
    """

    state: BreakerState = BreakerState.CLOSED
    failure_count: int = 0
    retry_at_ms: int = 0

    def may_send(self, now_ms: int) -> bool:
        """Return whether an attempt is allowed; in the open state it is the one probe."""
        return now_ms >= self.retry_at_ms


def on_attempt(breaker: Breaker, now_ms: int) -> Breaker:
    """Return the breaker while an attempt is under way."""
    assert breaker.may_send(now_ms), "asked to send while it must not"
    if breaker.state is BreakerState.OPEN:
        return replace(breaker, state=BreakerState.HALF_OPEN)
    return breaker


def on_success(_: Breaker) -> Breaker:
    """Return the breaker after an attempt that succeeded: closed, and all is forgotten."""
    return Breaker()


def on_failure(breaker: Breaker, policy: BreakerPolicy, now_ms: int, dice: float) -> Breaker:
    """Return the breaker after an attempt that failed.

    Args:
        breaker: before.
        policy: limits.
        now_ms: a clock that only rises.
        dice: 0-1, for the length of the pause.
    """
    failure_count = breaker.failure_count + 1
    is_open = breaker.state is not BreakerState.CLOSED or failure_count >= policy.open_after_count
    return Breaker(
        BreakerState.OPEN if is_open else BreakerState.CLOSED,
        failure_count,
        now_ms + policy.pause_ms(failure_count, dice),
    )
