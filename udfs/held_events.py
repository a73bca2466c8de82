"""While the input lags, events wait until the backlog has shown what became of them (C7, C12).

The wall clock decides here when events leave and whom they notify, and nothing of what they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from udfs.alerts import AlertRecord, Status
from udfs.offline_policy import SETTLE_MS
from udfs.partition_clocks import UNKNOWN_MS


@dataclass
class HeldEvents:
    """What waits.

    Args:
        until_ms: input clock at which it leaves; None while nothing is held back.
        events: in the order in which they were found.
    """

    until_ms: int | None = None
    events: list[AlertRecord] = field(default_factory=list)

    def pass_on(
        self, events: Sequence[AlertRecord], clock_ms: int, now_ms: int, lag_after_ms: int | None
    ) -> list[AlertRecord]:
        """Take events in and return those that leave now.

        Args:
            events: new ones.
            clock_ms: the input clock.
            now_ms: wall clock.
            lag_after_ms: an input that is further behind is a backlog; None for logs of the past.
        """
        is_free = self.until_ms is None and lag_after_ms is not None and clock_ms != UNKNOWN_MS
        if is_free and lag_after_ms is not None and now_ms - clock_ms > lag_after_ms:
            self.until_ms = now_ms + SETTLE_MS
        self.events += events
        if self.until_ms is not None and clock_ms < self.until_ms:
            return []
        left, was_held = self.events, self.until_ms is not None
        self.until_ms, self.events = None, []
        return without_passing(left) if was_held else left

    def to_values(self) -> list[Any]:
        """Return everything for the state's bytes."""
        return [self.until_ms, self.events]

    @classmethod
    def from_values(cls, stored: list[Any]) -> "HeldEvents":
        """Return what `to_values` wrote."""
        return cls(stored[0], stored[1])


def without_passing(events: Sequence[AlertRecord]) -> list[AlertRecord]:
    """Return events of which those notify nobody that were over before anybody could be told.

    Args:
        events: in order within an episode.
    """
    open_at: dict[str, list[int]] = {}
    silent: set[int] = set()
    for index, event in enumerate(events):
        if event["status"] == Status.FIRING:
            open_at.setdefault(event["episode_id"], []).append(index)
        elif event["episode_id"] in open_at:
            silent |= {index, *open_at.pop(event["episode_id"])}
    return [
        event | {"notify": False} if index in silent else event
        for index, event in enumerate(events)
    ]
