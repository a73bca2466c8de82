"""The false-alarm budget: from what a person states to the thresholds of detectors."""

import re
from dataclasses import dataclass

from udfs.offline_policy import DAY_MS

_BUDGET = re.compile(r"^(\d+(?:\.\d+)?)/(\d+)(k|M)?_device_days$")
_FACTORS = {None: 1, "k": 1_000, "M": 1_000_000}
ALLOWED_BUDGET = "a number of false pages per device-days, such as 1/10k_device_days"

SHIFT_SHARE = 0.55
"""Of the budget for D1; the rest is for rates, rules, distributions and predictions."""
RATE_SHARE = 0.27
RULE_SHARE = 0.09
PREDICTION_SHARE = 0.07
DISTRIBUTION_SHARE = 0.02


@dataclass(frozen=True)
class Budget:
    """How many false pages are accepted.

    Args:
        false_pages: in `device_days`, above 0.
        device_days: above 0.
    """

    false_pages: float = 1.0
    device_days: float = 10_000.0

    def gamma(self, window_ms: int, metric_count: int, share: float) -> float:
        """Return the mean number of windows of one stream between false pages.

        Args:
            window_ms: length of a window.
            metric_count: streams of one device that share the budget.
            share: of the budget for the detector, above 0, at most 1.

        >>> round(Budget().gamma(300_000, 8, 1.0))
        23040000
        """
        windows = self.device_days * DAY_MS / window_ms * metric_count
        return max(windows / self.false_pages / share, 2.0)

    def expected_pages(self, device_days: float) -> float:
        """Return how many false pages are to be expected in some device-days.

        >>> Budget().expected_pages(100_000)
        10.0
        """
        return self.false_pages * device_days / self.device_days


USUAL = Budget()
"""Unless somebody says otherwise: fewer than one false page in 10,000 device-days."""


def parse_budget(text: str) -> Budget:
    """Read a budget as people write it.

    >>> parse_budget("1/10k_device_days")
    Budget(false_pages=1.0, device_days=10000.0)

    Raises:
        ValueError: it is not of that form, or a number is 0.
    """
    found = _BUDGET.match(text.strip())
    if found is None or float(found[1]) == 0 or int(found[2]) == 0:
        raise ValueError(ALLOWED_BUDGET)
    return Budget(float(found[1]), float(int(found[2]) * _FACTORS[found[3]]))
