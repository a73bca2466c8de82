"""Numbers, units and chances as people read them."""

import math
from dataclasses import dataclass

UNITS = {
    "celsius": "°C", "c": "°C", "f": "°F", "k": "K",
    "milliseconds": "ms", "ms": "ms", "seconds": "s", "s": "s", "us": "µs",
    "bytes": "bytes", "kb": "kB", "mb": "MB", "gb": "GB", "mib": "MiB", "gib": "GiB",
    "watts": "W", "w": "W", "mw": "mW", "volts": "V", "v": "V", "mv": "mV", "a": "A", "ma": "mA",
    "dbm": "dBm", "db": "dB", "percent": "%", "pct": "%", "hz": "Hz", "mhz": "MHz", "rpm": "rpm",
}  # fmt: skip
"""By the last word of a metric's name, where names of metrics have their unit."""
LARGE_NUMBERS = ((1e12, "trillion"), (1e9, "billion"), (1e6, "million"))
POWERS_FROM = 15.0
"""Exponents of ten that no word helps with."""
POWERS_MAX = 300.0
YEAR_MS, DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS = 31_557_600_000, 86_400_000, 3_600_000, 60_000, 1000
SPANS = (
    (YEAR_MS, "year"), (DAY_MS, "day"), (HOUR_MS, "hour"), (MINUTE_MS, "minute"),
    (SECOND_MS, "second"),
)  # fmt: skip
YEARS_SAID = 100_000
"""More are said as "over 100,000 years": the sun does not care for the rest."""
PLAIN_MAX = 1e7
DECIMALS_MAX = 6


def unit_of(metric: str) -> str:
    """Return the unit that a metric's name ends with, empty when it has none.

    >>> [unit_of(m) for m in ("cpu_temp_c", "inference_latency_milliseconds", "load_ratio", "c")]
    ['°C', 'ms', '', '']
    """
    words = metric.lower().rsplit("_", 1)
    return UNITS.get(words[1], "") if len(words) > 1 else ""


@dataclass(frozen=True)
class Scale:
    """How numbers of one page are rounded: alike, and as finely as their spread deserves.

    Args:
        decimals: digits behind the point; None where powers of ten are needed.
    """

    decimals: int | None

    @classmethod
    def of_spread(cls, spread: float, largest: float) -> "Scale":
        """Return the scale whose last digit is at most a fiftieth of the spread.

        Args:
            spread: of the values, their unit; 0 where there is none.
            largest: magnitude of the largest value.
        """
        width = spread if spread > 0 else largest
        if width == 0:
            return cls(0)
        decimals = max(0, math.ceil(1.7 - math.log10(width)))
        is_plain = largest < PLAIN_MAX and decimals <= DECIMALS_MAX
        return cls(decimals if is_plain else None)

    def text(self, value: float) -> str:
        """Write a number.

        >>> Scale.of_spread(9.7, 54.6).text(49.92471), Scale.of_spread(300, 4e4).text(41_234.5)
        ('49.9', '41,234')
        >>> Scale.of_spread(1e-9, 2e-9).text(1.25e-9), Scale.of_spread(0, 5.0).text(-5.0)
        ('1.25e-09', '-5.00')
        """
        if self.decimals is None:
            return f"{value:.4g}"
        return f"{value:z,.{self.decimals}f}"


def with_unit(text: str, unit: str) -> str:
    """Write a number with its unit.

    >>> with_unit("4.2", "%"), with_unit("4.2", ""), with_unit("52.8", "°C")
    ('4.2 %', '4.2', '52.8 °C')
    """
    return f"{text} {unit}" if unit else text


def count_text(count: int, thing: str) -> str:
    """Write a count of things.

    >>> count_text(1, "window"), count_text(1200, "window")
    ('1 window', '1,200 windows')
    """
    return f"{count:,} {thing}" + ("" if count == 1 else "s")


def odds_text(log10_count: float) -> str:
    """Write 10^x as a number that can be read aloud.

    >>> [odds_text(x) for x in (0.8, 2.4, 4.0, 7.502, 10.3, 45.2, math.inf)]
    ['6', '250', '10,000', '32 million', '20 billion', '10^45', '10^300 or more']
    """
    if log10_count >= POWERS_FROM:
        return "10^300 or more" if log10_count > POWERS_MAX else f"10^{math.floor(log10_count)}"
    count = _two_digits(10**log10_count)
    for size, word in LARGE_NUMBERS:
        if count >= size:
            return f"{count / size:g} {word}"
    return f"{count:,.0f}"


def _two_digits(number: float) -> float:
    return float(f"{number:.1e}")


def length_text(length_ms: float) -> str:
    """Write a length of time in its largest fitting unit, to two digits.

    >>> [length_text(ms) for ms in (500, 300_000, 5_400_000, 90_000_000, 9.5e12, 1e30)]
    ['500 ms', '5 minutes', '90 minutes', '25 hours', '300 years', 'over 100,000 years']
    """
    if length_ms >= YEARS_SAID * YEAR_MS:
        return f"over {YEARS_SAID:,} years"
    for unit_ms, unit in SPANS:
        # 90 minutes are easier to think of than 1.5 hours.
        if length_ms >= 2 * unit_ms or (unit == "second" and length_ms >= unit_ms):
            return count_text(int(_two_digits(length_ms / unit_ms)), unit)
    return f"{length_ms:g} ms"


def window_text(window_ms: int) -> str:
    """Write the length of windows before the word: `5-minute`.

    >>> window_text(300_000), window_text(86_400_000), window_text(1500)
    ('5-minute', '24-hour', '1500-ms')
    """
    for unit_ms, unit in SPANS[2:]:
        if window_ms >= unit_ms and window_ms % unit_ms == 0:
            return f"{window_ms // unit_ms}-{unit}"
    return f"{window_ms}-ms"
