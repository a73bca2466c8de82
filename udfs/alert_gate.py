"""What lies between an event that rules on windows have found and the people it is for.

    found ──> told to whom? (mutes, maintenance, acks) ──> held while the input lags ──> leaves

Only the holding looks at the wall clock; what an event is, and whom it is for, the log decides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from udfs.alerts import AlertRecord
from udfs.held_events import HeldEvents
from udfs.threshold_notices import ThresholdNotices


@dataclass
class AlertGate:
    """The state of a shard's gate.

    Args:
        notices: what operators silence.
        held: events that wait for the end of a backlog.
    """

    notices: ThresholdNotices = field(default_factory=ThresholdNotices)
    held: HeldEvents = field(default_factory=HeldEvents)

    def announce(self, controls: pl.DataFrame) -> None:
        """Take control events in: `schemas.control_records.CONTROL_SCHEMA`."""
        self.notices.announce(controls)

    def pass_on(
        self, events: Sequence[AlertRecord], clock_ms: int, now_ms: int, lag_after_ms: int | None
    ) -> list[AlertRecord]:
        """Take events in and return those that leave now.

        Args:
            events: as the rules found them.
            clock_ms: the input clock.
            now_ms: wall clock.
            lag_after_ms: an input that is further behind is a backlog; None for logs of the past.
        """
        told = self.notices.pass_on(events, clock_ms)
        return self.held.pass_on(told, clock_ms, now_ms, lag_after_ms)

    def to_values(self) -> dict[str, Any]:
        """Return everything for the state's bytes, by name."""
        return {"notices": self.notices.to_values(), "held": self.held.to_values()}

    @classmethod
    def from_values(cls, stored: Mapping[str, Any]) -> "AlertGate":
        """Return what `to_values` wrote; other names are left alone."""
        notices = ThresholdNotices.from_values(stored["notices"])
        return cls(notices, HeldEvents.from_values(stored["held"]))
