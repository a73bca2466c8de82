"""Goals of the drift contract and the judgement of what was measured: one line each.

what was measured                      goal            measured            word
ARL, normal                      10,000-40,000     17,300 +- 600            met
delay, gamma 1e4, shift 1                <= 21      21.4 +- 0.4   missed by 2 %, within noise
"""

import math
from dataclasses import asdict, dataclass

ARL_GAMMA = 1e4
NOISE_ERRORS = 2
SURE_ALARM_LAWS = ("normal", "t3", "lognormal(.5)", "exponential", "Bernoulli(.3)", "five levels")
"""Their mean time between false alarms also has a ceiling: caution costs delay."""
ARL_SURE = (1e4, 4e4)
ARL_LEARNED = (8e3, math.inf)
ARL_SMALL_BASELINE = (5e3, math.inf)
DELAYS: dict[tuple[float, str], float] = {
    (1e4, "shift 0.5"): 70, (1e4, "shift 1"): 21, (1e4, "shift 2"): 7, (1e4, "shift 3"): 4.5,
    # 1.25 times the oracle's delay up to 1 sigma, 1.6 times beyond.
    (1e6, "shift 0.5"): 114.4, (1e6, "shift 1"): 32.1,
    (1e6, "shift 2"): 11.5, (1e6, "shift 3"): 5.6,
    (1e8, "shift 0.5"): 155, (1e8, "shift 1"): 42, (1e8, "shift 2"): 12.5, (1e8, "shift 3"): 7.5,
    (1e4, "ramp .01"): 85, (1e4, "ramp .001"): 380,
    (1e8, "ramp .01"): 115, (1e8, "ramp .001"): 500,
}  # fmt: skip
"""Mean windows to the alarm, by gamma and change (DRIFT.md 4a)."""
UPDATES_PER_CPU_S = 2e6
STATE_MAX_BYTES = 614  # 0.6 KB, DRIFT.md 4e


@dataclass(frozen=True)
class Line:
    """One figure beside its goal.

    Args:
        name: what was measured.
        measured: the figure; infinite: it never came.
        error: its standard error, 0 where it has none.
        low: the goal's floor, none when -infinity.
        high: its ceiling, none when infinity.
    """

    name: str
    measured: float
    error: float = 0.0
    low: float = -math.inf
    high: float = math.inf

    @property
    def is_met(self) -> bool | None:
        """Say whether the figure itself, not its interval, is within the goal; None: no goal."""
        if math.isinf(self.low) and math.isinf(self.high):
            return None
        # What never comes is within no goal, be its ceiling as high as it may.
        return self.low <= self.measured <= self.high and not math.isinf(self.measured)

    @property
    def word(self) -> str:
        """Return the judgement in words.

        >>> Line("delay", 22.0, 0.1, high=20.0).word
        'missed by 10 %'
        >>> Line("delay", 20.5, 0.4, high=20.0).word
        'missed by 2 %, within noise'
        """
        if self.is_met is None:
            return ""
        if self.is_met:
            return "met"
        bound = self.low if self.measured < self.low else self.high
        if math.isinf(self.measured) or math.isinf(bound):
            return "missed: never"
        near = abs(self.measured - bound) <= NOISE_ERRORS * self.error
        percent = 100 * abs(self.measured / bound - 1)
        amount = f"{percent:.0f}" if percent >= 1 else f"{percent:.1g}"
        return f"missed by {amount} %" + (", within noise" if near else "")

    @property
    def goal(self) -> str:
        """Return the goal as text."""
        if self.is_met is None:
            return ""
        if math.isinf(self.high):
            return f">= {shown(self.low)}"
        if math.isinf(self.low):
            return f"<= {shown(self.high)}"
        return f"{shown(self.low)}-{shown(self.high)}"

    def text(self) -> str:
        """Return the line as it is printed."""
        measured = shown(self.measured)
        if 0 < self.error < math.inf:
            measured += f" +- {shown(self.error)}"
        return f"{self.name:<58} {self.goal:>14} {measured:>20}  {self.word}"

    def columns(self) -> dict[str, object]:
        """Return everything for the file; JSON knows no infinity."""
        numbers = {
            name: None if isinstance(value, float) and math.isinf(value) else value
            for name, value in asdict(self).items()
        }
        return {**numbers, "word": self.word}


def shown(number: float) -> str:
    """Return a number with as many digits as it deserves.

    >>> [shown(each) for each in (12345.6, 12.34, 0.5, float("inf"))]
    ['12,346', '12.3', '0.5', 'never']
    """
    if math.isinf(number):
        return "never"
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.1f}"  # noqa: PLR2004  # three digits
