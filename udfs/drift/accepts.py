"""What operators accepted as the new normal, waiting for the input clock to pass its instant."""

import json
from dataclasses import dataclass, field

import polars as pl

from schemas.control import AcceptNewNormal, parse_control
from udfs.drift.complete_policy import CompletePolicy


@dataclass
class Accepts:
    """Control events that have not acted yet.

    Args:
        pending: the step at which each acts, its place on the topic, and its JSON; in order.
    """

    pending: list[tuple[int, int, str]] = field(default_factory=list)

    def announce(self, controls: pl.DataFrame, settled_ms: int, policy: CompletePolicy) -> None:
        """Take control events in.

        Args:
            controls: `schemas.control_records.CONTROL_SCHEMA`.
            settled_ms: the last step; what was said before acts at the next one.
            policy: of steps.
        """
        rows = controls.select("append_time_ms", "offset", "event").iter_rows()
        for at_ms, offset, text in rows:
            if isinstance(parse_control(json.loads(text)), AcceptNewNormal):
                step_ms = policy.step_after(max(at_ms, settled_ms))
                self.pending.append((step_ms, offset, text))
        self.pending.sort()

    def next_step(self, clock_ms: int) -> int | None:
        """Return the next step at which something acts, None when it is not due."""
        due = bool(self.pending) and self.pending[0][0] <= clock_ms
        return self.pending[0][0] if due else None

    def take_due(self, step_ms: int) -> list[AcceptNewNormal]:
        """Return what acts at a step, in the order in which it was said."""
        due = [text for at_ms, _, text in self.pending if at_ms <= step_ms]
        self.pending = self.pending[len(due) :]
        found = (parse_control(json.loads(text)) for text in due)
        return [event for event in found if isinstance(event, AcceptNewNormal)]
