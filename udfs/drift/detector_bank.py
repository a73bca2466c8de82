"""All detectors of one shard behind one face: complete windows in, findings out.

What a detector keeps is its own; the bank only carries its bytes under its name. A detector that
older bytes do not know begins blank, one that is gone is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self

import polars as pl

from schemas.control import AcceptNewNormal
from udfs.drift.budget import USUAL, Budget
from udfs.drift.distribution_member import DistributionMember
from udfs.drift.findings import DriftFinding
from udfs.drift.prediction_member import PredictionMember
from udfs.drift.stream_member import StreamMember
from udfs.drift.unreadable import UnreadableStreams
from udfs.frame_bytes import join_bodies, split_bodies


class Detectors(Protocol):
    """What looks at complete windows.

    What it says is a function of the calls, in their order; of their arguments it changes none.
    """

    def observe(self, windows: pl.DataFrame, clock_ms: int) -> list[DriftFinding]:
        """Look at the windows that became complete at one step of the input clock.

        Args:
            windows: `udfs.drift.window_rows.COMPLETE_SCHEMA`, in `CANONICAL_ORDER`, maybe none. Of
                one series windows come in the order of their starts, over all calls.
            clock_ms: the step; it rises from call to call.
        """
        ...

    def accept(self, accepted: Sequence[AcceptNewNormal], clock_ms: int) -> list[DriftFinding]:
        """Take what metrics do now for normal, before the windows of the same step.

        Args:
            accepted: in the order in which operators said it.
            clock_ms: the step.

        Returns:
            The incidents that are over by it.
        """
        ...

    def to_bytes(self) -> bytes:
        """Write everything."""
        ...

    @classmethod
    def of(cls, budget: Budget) -> Self:
        """Return detectors that have seen nothing.

        Args:
            budget: false pages that are accepted.
        """
        ...

    @classmethod
    def from_bytes(cls, packed: bytes, budget: Budget = USUAL) -> Self:
        """Read what `to_bytes` wrote; the budget is that of the present settings.

        Raises:
            StateLayoutError: the bytes are of no version that is known.
        """
        ...


MEMBERS: dict[str, type[Detectors]] = {
    "unreadable": UnreadableStreams,
    "streams": StreamMember,
    "distributions": DistributionMember,
    "predictions": PredictionMember,
}
"""The detectors of every shard, in the order in which they look; a name is for ever."""


@dataclass
class DetectorBank:
    """The detectors of one shard."""

    members: dict[str, Detectors] = field(
        default_factory=lambda: {name: member.of(USUAL) for name, member in MEMBERS.items()}
    )

    @classmethod
    def of(cls, budget: Budget) -> Self:
        """Return detectors that have seen nothing and keep a budget."""
        return cls({name: member.of(budget) for name, member in MEMBERS.items()})

    def observe(self, windows: pl.DataFrame, clock_ms: int) -> list[DriftFinding]:
        """Let every detector look."""
        return [f for member in self.members.values() for f in member.observe(windows, clock_ms)]

    def accept(self, accepted: Sequence[AcceptNewNormal], clock_ms: int) -> list[DriftFinding]:
        """Let every detector accept."""
        return [f for member in self.members.values() for f in member.accept(accepted, clock_ms)]

    def take_near(self) -> pl.DataFrame:
        """Take out which streams of devices are near a page, see `StreamMember.take_near`."""
        streams = self.members["streams"]
        assert isinstance(streams, StreamMember)
        return streams.take_near()

    def to_bytes(self) -> bytes:
        """Write every detector under its name."""
        return join_bodies({name: member.to_bytes() for name, member in self.members.items()})

    @classmethod
    def from_bytes(cls, packed: bytes, budget: Budget = USUAL) -> Self:
        """Read what `to_bytes` wrote; the budget is that of the present settings.

        Raises:
            StateLayoutError: the bytes of a detector are of no version that is known.
        """
        bank, bodies = cls.of(budget), split_bodies(packed)
        for name in bank.members.keys() & bodies.keys():
            bank.members[name] = MEMBERS[name].from_bytes(bytes(bodies[name]), budget)
        return bank
