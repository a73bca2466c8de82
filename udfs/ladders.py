"""The distinct pairs of thresholds in use: a device's row holds the number of its pair.

Number 0 is the policy's own pair, and a None in any other one is the policy's, too: so a device
whom no rule speaks of costs nothing, and other settings after a restart count for it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from udfs.offline_policy import OfflinePolicy
from udfs.partition_clocks import Int64s

Pair = tuple[int | None, int | None]
"""Warning and critical, ms of silence beyond what is due."""
Codes = NDArray[np.uint16]

USUAL: Pair = (None, None)
LADDERS_MAX_COUNT = 2**16
"""Rows hold the number in 16 bits."""
UNSAID_MS = -1


class Ladders:
    """Pairs by number; only grows, so numbers that are out stay valid.

    Args:
        pairs: in the order of their numbers, from 1 on.
    """

    def __init__(self, pairs: Sequence[Pair] = ()) -> None:
        self._code_of: dict[Pair, int] = {}
        self._table_ms = np.zeros((0, 2), dtype=np.int64)
        self.codes_of([USUAL, *pairs])

    def __len__(self) -> int:
        """Return how many pairs there are, the usual one included."""
        return len(self._code_of)

    def codes_of(self, pairs: Sequence[Pair]) -> Codes:
        """Return the number of each pair; new ones are added."""
        codes = [self._code_of.setdefault(pair, len(self._code_of)) for pair in pairs]
        assert len(self._code_of) <= LADDERS_MAX_COUNT, "fewer different thresholds a shard"
        if len(self._table_ms) < len(self._code_of):
            said = [[UNSAID_MS if ms is None else ms for ms in pair] for pair in self._code_of]
            self._table_ms = np.array(said, dtype=np.int64)
        return np.array(codes, dtype=np.uint16)

    def after_ms(self, codes: Codes, policy: OfflinePolicy) -> tuple[Int64s, Int64s]:
        """Return after how much silence each row warns and turns critical, shape (n,) each."""
        if len(self) == 1:
            usual_ms = policy.warning_after_ms, policy.critical_after_ms
            return np.full(len(codes), usual_ms[0]), np.full(len(codes), usual_ms[1])
        warning_ms, critical_ms = self._table_ms[codes].T
        return (
            np.where(warning_ms == UNSAID_MS, policy.warning_after_ms, warning_ms),
            np.where(critical_ms == UNSAID_MS, policy.critical_after_ms, critical_ms),
        )

    def used(self, codes: Codes) -> tuple[list[Pair], Codes]:
        """Return the pairs in use but the usual one, and the codes renumbered for them."""
        in_use = np.unique(np.append(codes, 0))
        renumbered = np.searchsorted(in_use, codes).astype(np.uint16)
        pairs = list(self._code_of)
        return [pairs[code] for code in in_use.tolist() if code != 0], renumbered

    @classmethod
    def from_values(cls, values: Sequence[Any]) -> "Ladders":
        """Return the pairs that `used` gave, out of the state's bytes."""
        return cls([(warning_ms, critical_ms) for warning_ms, critical_ms in values])
