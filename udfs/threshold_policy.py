"""The numbers of threshold rules that no rule sets by itself: frozen, filled in by `jobs`."""

from dataclasses import dataclass

from udfs.offline_policy import DAY_MS, HOUR_MS, MINUTE_MS


@dataclass(frozen=True)
class ThresholdPolicy:
    """When a window is judged, how long it may be corrected, and what is old (C10)."""

    complete_after_ms: int = 10 * MINUTE_MS
    """Of input clock after its end a window is judged, whatever its subject has sent since."""
    group_lag_ms: int = 3 * MINUTE_MS
    """How far its group must be beyond the end of a window. The first device that reports a later
    minute says nothing of the others: they report each minute, on clocks up to 2 min ahead."""
    kept_ms: int = 30 * MINUTE_MS
    """A window is kept for corrections this long after its end, or after its last change."""
    old_after_ms: int = 15 * MINUTE_MS
    """A breach whose last window ended longer ago than this is old when it is found."""
    oldest_ms: int = 6 * DAY_MS
    """Deltas of windows that ended longer ago are refused."""
    forgotten_after_ms: int = 7 * DAY_MS
    """A subject without any delta for this long is forgotten; what fires resolves with no_data."""

    def __post_init__(self) -> None:
        # Every window is judged before it can be dropped.
        assert 0 < self.complete_after_ms < self.kept_ms < self.oldest_ms
        # What was told of a subject that is forgotten can never be told again.
        assert self.oldest_ms + HOUR_MS <= self.forgotten_after_ms
