"""Bounded retry with backoff: for what is away now and may come back."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_after_delay,
    stop_any,
    stop_when_event_set,
    wait_random_exponential,
)

from schemas.errors import Unavailable

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class RetryPolicy:
    """How long an absent ClickHouse is waited for."""

    first_pause_s: float = 0.2
    longest_pause_s: float = 30.0
    give_up_after_s: float = 3_600.0


class Retry:
    """Calls something until it is not `Unavailable` any more.

    Args:
        policy: pauses and patience.
        stop: ends a pause, and the trying, when set.
        on_retry: called with each error that leads to another attempt.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        stop: threading.Event,
        on_retry: Callable[[Unavailable], None] = lambda _: None,
    ) -> None:
        self._policy = policy
        self._stop = stop
        self._on_retry = on_retry

    def __call__(self, attempt: Callable[[], Answer]) -> Answer:
        """Return the first answer.

        Raises:
            Unavailable: it took too long, or we are to stop.
        """
        pause = wait_random_exponential(
            multiplier=self._policy.first_pause_s, max=self._policy.longest_pause_s
        )
        patience = stop_after_delay(self._policy.give_up_after_s)
        attempts = Retrying(
            retry=retry_if_exception_type(Unavailable),
            wait=pause,
            stop=stop_any(patience, stop_when_event_set(self._stop)),
            sleep=sleep_using_event(self._stop),
            before_sleep=self._report,
            reraise=True,
        )
        return attempts(attempt)

    def _report(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, Unavailable):
            self._on_retry(error)
