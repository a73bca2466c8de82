"""A set of positions in logs that takes 8 bytes for each."""

from collections import defaultdict

import numpy as np
import numpy.typing as npt

PENDING_MAX_COUNT = 65_536


class PositionSet:
    """Which (topic, partition, offset) were seen; exact, however many there are.

    Offsets are kept sorted for each partition of each topic; new ones wait in a small plain set
    until it is worth sorting them in.
    """

    def __init__(self) -> None:
        self._sorted: dict[tuple[str, int], npt.NDArray[np.int64]] = {}
        self._pending: set[tuple[str, int, int]] = set()

    def add(self, topic: str, partition: int, offset: int) -> None:
        """Remember a position; a second time changes nothing."""
        self._pending.add((topic, partition, offset))
        if len(self._pending) >= PENDING_MAX_COUNT:
            self._sort_in()

    def has(self, topic: str, partition: int, offset: int) -> bool:
        """Say whether a position was added."""
        if (topic, partition, offset) in self._pending:
            return True
        known = self._sorted.get((topic, partition))
        if known is None:
            return False
        index = int(np.searchsorted(known, offset))
        return index < len(known) and int(known[index]) == offset

    def _sort_in(self) -> None:
        offsets: dict[tuple[str, int], list[int]] = defaultdict(list)
        for topic, partition, offset in self._pending:
            offsets[topic, partition].append(offset)
        for place, found in offsets.items():
            known = self._sorted.get(place, np.empty(0, np.int64))
            self._sorted[place] = np.union1d(known, np.array(found, np.int64))
        self._pending.clear()
