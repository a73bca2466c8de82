"""When a window is complete, and which rows are believed: frozen, filled in by `jobs`."""

from dataclasses import dataclass

from udfs.offline_policy import DAY_MS, MINUTE_MS


@dataclass(frozen=True)
class CompletePolicy:
    """Spans of the input clock."""

    complete_after_ms: int = 10 * MINUTE_MS
    """So long after its end a window is complete, whatever was heard since."""
    is_early: bool = True
    """Whether a device's window is complete when the device has gone on to a later one."""
    step_ms: int = MINUTE_MS // 2
    """Windows are judged at multiples of this: shorter costs a call of every detector each time."""
    oldest_ms: int = 5 * DAY_MS
    """Rows of windows that ended longer before them are refused: no detector waits for them."""
    ahead_max_ms: int = DAY_MS
    """Rows of windows that begin longer after them are refused. Telemetry's own clocks are held to
    2 min by the aggregate job; more is a partition that is read ahead of the others."""
    forgotten_after_ms: int = 7 * DAY_MS
    """What left so long ago needs no memory: nothing that is so old is taken any more."""

    def __post_init__(self) -> None:
        assert 0 < self.step_ms <= self.complete_after_ms < self.oldest_ms
        # A window is at most a day long, so what is forgotten lies before all that is taken.
        assert self.oldest_ms + DAY_MS <= self.forgotten_after_ms

    def step_after(self, time_ms: int) -> int:
        """Return the first instant of judgement after a time.

        >>> CompletePolicy(step_ms=10).step_after(20), CompletePolicy(step_ms=10).step_after(19)
        (30, 20)
        """
        return (time_ms // self.step_ms + 1) * self.step_ms
