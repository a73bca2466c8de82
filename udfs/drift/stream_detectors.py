"""All detectors of single streams, one after another, over the same rounds of windows."""

from dataclasses import dataclass, field

import numpy as np

from udfs.drift.alarms import Alarms
from udfs.drift.observations import Observations
from udfs.drift.shift_alarms import RANKS
from udfs.drift.shift_findings import ShiftPicture
from udfs.drift.shift_policy import ShiftPolicy
from udfs.drift.shifts import ShiftStreams
from udfs.histogram import Floats
from udfs.partition_clocks import Bools, Int64s


@dataclass(frozen=True)
class StreamStep:
    """What one round has shown.

    Args:
        log10_e: evidence of a shift of each window's stream, -infinity where there is none.
        fired: alarms that began, or became worse.
        ended: alarms that are over.
        pictures: of the shifts in `fired`, in the order they have there.
    """

    log10_e: Floats
    fired: Alarms
    ended: Alarms
    pictures: tuple[ShiftPicture, ...] = ()


@dataclass
class StreamDetectors:
    """The state of all detectors of some streams; a step changes it in place."""

    policy: ShiftPolicy
    shifts: ShiftStreams = field(init=False)
    window_ms: Int64s = field(default_factory=lambda: np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        self.shifts = ShiftStreams(self.policy)

    def grow(self, stream_count: int) -> None:
        """Make room for streams that are new."""
        self.shifts.grow(stream_count)
        more = np.zeros(stream_count - len(self.window_ms), np.int64)
        self.window_ms = np.concatenate([self.window_ms, more])

    def is_paging(self, streams: Int64s) -> Bools:
        """Say of each stream whether an alarm that pages is open."""
        ranks: Bools = self.shifts.table["opened_rank"][streams] > RANKS.tolist().index("watch")
        return ranks

    def observe(self, seen: Observations) -> StreamStep:
        """Take windows, any number of each stream, in the order of their times."""
        self.window_ms[seen.stream] = seen.window_ms
        step = self.shifts.observe(seen)
        return StreamStep(step.log10_e, step.fired, step.ended, step.pictures)
