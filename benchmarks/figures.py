"""Durations as quantiles and pictures, and where measurements leave their figures."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

HISTOGRAM_BAR_CHARS = 50


def write_figures(figures: Mapping[str, object], out: Path | None) -> str:
    """Write figures as JSON to a file, when one is given; return the text, for people."""
    text = json.dumps(figures, indent=2)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n", encoding="utf-8")
    return text


def quantiles(values_ms: Sequence[float]) -> dict[str, float]:
    """Return p50, p90, p99 and the largest of some durations, in seconds.

    >>> quantiles([1000.0, 3000.0])
    {'p50_s': 1.0, 'p90_s': 3.0, 'p99_s': 3.0, 'max_s': 3.0}
    """
    found = np.quantile(np.asarray(values_ms), [0.5, 0.9, 0.99, 1.0], method="inverted_cdf")
    names = ("p50_s", "p90_s", "p99_s", "max_s")
    return {name: round(float(value) / 1000, 2) for name, value in zip(names, found, strict=True)}


def histogram(values_ms: Sequence[float]) -> list[str]:
    r"""Draw durations, one line a second.

    >>> print("\n".join(histogram([100, 200, 1500])))
      0- 1 s     2 ##################################################
      1- 2 s     1 #########################
    """
    seconds = np.floor(np.asarray(values_ms) / 1000).astype(int)
    counts = np.bincount(seconds)
    scale = HISTOGRAM_BAR_CHARS / counts.max()
    first = int(seconds.min())
    return [
        f"{second:3}-{second + 1:2} s {counts[second]:5} {'#' * round(counts[second] * scale)}"
        for second in range(first, len(counts))
    ]
