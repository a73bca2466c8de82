"""Retry with backoff, for what is away now and may come back: bounded, or behind a breaker."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

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

from schemas.errors import FleetpulseError, Unavailable
from sinks.breaker import (
    Breaker,
    BreakerPolicy,
    BreakerState,
    on_attempt,
    on_failure,
    on_success,
)

Answer = TypeVar("Answer")


class Attempts(Protocol):
    """Calls something, more than once when it is `Unavailable`."""

    def __call__(self, attempt: Callable[[], Answer]) -> Answer:
        """Return the first answer."""


class CircuitOpen(Unavailable):
    """Nothing is sent now: it failed too often, and the pause is not over."""


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


class Circuit:
    """Calls something while a breaker lets it, and does not wait for what is away for long.

    Short faults are bridged by attempts in a row. When the breaker opens, the caller gets
    `CircuitOpen` and can do other things; a call after the pause is the probe.

    tenacity has no breaker; pybreaker and its kin count failures, but sleep or look at the clock
    themselves, know neither backoff nor a stop event, and guard functions rather than hold a state
    that can be tested with time as an argument. So it is our own 60 lines.

    Args:
        policy: when it opens, and pauses.
        stop: ends a pause, and the trying, when set.
        clock_ms: a clock that only rises.
        on_error: called with each error.
        on_change: called with each new state.
    """

    def __init__(
        self,
        policy: BreakerPolicy,
        stop: threading.Event,
        clock_ms: Callable[[], int],
        on_error: Callable[[Unavailable], None] = lambda _: None,
        on_change: Callable[[BreakerState], None] = lambda _: None,
    ) -> None:
        self._policy = policy
        self._stop = stop
        self._clock_ms = clock_ms
        self._on_error = on_error
        self._on_change = on_change
        self._breaker = Breaker()
        self._dice = random.SystemRandom()

    @property
    def state(self) -> BreakerState:
        """Return whether anything is sent."""
        return self._breaker.state

    def may_send(self) -> bool:
        """Return whether a call would be an attempt."""
        return self._breaker.may_send(self._clock_ms())

    def __call__(self, attempt: Callable[[], Answer]) -> Answer:
        """Return the first answer.

        Raises:
            CircuitOpen: it is away for longer, or we are to stop.
        """
        if not self.may_send():
            raise CircuitOpen(f"not asked: {self._breaker.failure_count} attempts failed in a row")
        while True:
            self._become(on_attempt(self._breaker, self._clock_ms()))
            try:
                answer = attempt()
            except CircuitOpen:
                raise  # the attempt itself asks through us
            except Unavailable as error:
                self._note(error)
            except FleetpulseError:
                self._become(on_success(self._breaker))  # it answered
                raise
            else:
                self._become(on_success(self._breaker))
                return answer

    def _note(self, error: Unavailable) -> None:
        """Count a failure and wait for the next attempt.

        Raises:
            CircuitOpen: there is none for now.
        """
        dice = self._dice.random()
        self._become(on_failure(self._breaker, self._policy, self._clock_ms(), dice))
        self._on_error(error)
        if self._breaker.state is BreakerState.OPEN:
            raise CircuitOpen(str(error)) from error
        while not self._breaker.may_send(self._clock_ms()):
            pause_ms = self._breaker.retry_at_ms - self._clock_ms()
            if self._stop.wait(max(pause_ms, 1) / 1000):
                raise CircuitOpen(str(error)) from error

    def _become(self, breaker: Breaker) -> None:
        is_new = breaker.state is not self._breaker.state
        self._breaker = breaker
        if is_new:
            self._on_change(breaker.state)
