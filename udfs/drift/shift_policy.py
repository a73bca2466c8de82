"""How D1 judges: the false-alarm budget and the lengths of its phases."""

from dataclasses import dataclass

import numpy as np

from udfs.histogram import Floats
from udfs.offline_policy import HOUR_MS
from udfs.partition_clocks import Int64s

CALIBRATED_GAMMA = 1e4
"""Up to it a baseline of 250 windows keeps its budget without more caution (DECISIONS.md)."""
CAUTION_WINDOW_COUNT = 125
"""How fast caution falls with the size of a baseline; measured, see DECISIONS.md."""


@dataclass(frozen=True)
class ShiftPolicy:
    """How shifts are judged.

    Args:
        gamma_page: mean windows of one stream between false pages.
        gamma_watch: the same for what is only shown.
        provisional_count: windows of the first baseline; as many as `window_count` for none.
        window_count: windows of the baseline that is frozen.
        min_span_ms: it spans at least this long.
        does_provisional_page: whether a provisional baseline may page.
        has_season: whether streams have seasons of their own; else their peers take them out.
        min_shift_sigma: a shift of the location that is smaller never pages.
        clear_windows: calm windows that end an alarm, at least.
        cooldown_ms: after an alarm its stream pages no more for so long.
    """

    gamma_page: float = 2.3e7
    gamma_watch: float = 1e6
    provisional_count: int = 250
    window_count: int = 1_000
    min_span_ms: int = 0
    does_provisional_page: bool = False
    has_season: bool = False
    min_shift_sigma: float = 0.5
    clear_windows: int = 48
    cooldown_ms: int = 6 * HOUR_MS

    def log10_gamma(self, gamma: float, window_count: Int64s) -> Floats:
        """Return the threshold for baselines of some sizes, as log10, shape (n,).

        What a small baseline has wrong counts the more, the longer a run without an alarm is
        wanted: the threshold rises by (gamma / 10^4) ^ (125 / n).
        """
        above = max(np.log10(gamma / CALIBRATED_GAMMA), 0.0)
        raised = above * CAUTION_WINDOW_COUNT / np.maximum(window_count, 1)
        threshold: Floats = np.log10(gamma) + raised
        return threshold
