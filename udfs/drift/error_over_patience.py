"""Which of many streams have moved, each needing the less evidence the more move with it.

Per window the k streams with most evidence are named, for the largest k for which each of them has
E >= gamma / k (e-BH at level K / gamma over the K streams of a group, whatever hangs together): one
stream alone needs gamma, as if it were watched alone; of twenty that move together each needs a
twentieth. Present values are compared, never the highest so far.

References:
    Wang, Ramdas 2022, False discovery rate control with e-values, JRSS B 84(3).
    Dandapanthula, Ramdas 2025, Multiple testing in multi-stream sequential change detection.
"""

import math
from collections.abc import Sequence


def company_size(margins: Sequence[float]) -> int:
    """Return how many streams are named.

    Args:
        margins: log10 of E / gamma of each stream, in falling order; those that are left out
            have less than the last.

    >>> company_size([0.1, -0.9]), company_size([-0.2, -0.25, -0.3]), company_size([-0.5, -0.5])
    (1, 3, 0)
    """
    named = [k for k, margin in enumerate(margins, start=1) if margin >= -math.log10(k)]
    return named[-1] if named else 0
