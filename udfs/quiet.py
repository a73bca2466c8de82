"""Until when none of a shard's devices can be due: so a block need not look at all of them.

    heard last    o  o o   o                           a device each
    silent for 5 min     |---------------> due
                         ^ quiet until then, whoever else is heard meanwhile

Nothing of it is in the state: it is found anew after a restart, and whenever something else than a
contact has changed a device.
"""

from dataclasses import dataclass, replace

import numpy as np

from udfs.offline_policy import OfflinePolicy
from udfs.partition_clocks import UNKNOWN_MS, Int64s

NEVER_MS = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Quiet:
    """Instants before which nothing becomes due, UTC ms.

    Args:
        policy: by which they were found; they say nothing of another one.
        climbs_ms: no device climbs up the ladder below or at it.
        overdue_ms: no device that was never seen is overdue below or at it.
    """

    policy: OfflinePolicy
    climbs_ms: int = UNKNOWN_MS
    overdue_ms: int = UNKNOWN_MS

    def heard(self, seen_ms: Int64s) -> "Quiet":
        """Return it after contacts; meant for devices with the usual thresholds."""
        after_ms = self.policy.warning_after_ms
        first_ms = int(seen_ms.min(initial=NEVER_MS - after_ms))
        return replace(self, climbs_ms=min(self.climbs_ms, first_ms + after_ms))
