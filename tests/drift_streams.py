"""Simulated streams of windows, and their windows as detectors take them."""

import numpy as np

from udfs.drift.observations import Observations

WINDOW_MS = 300_000


def observations(values, first=0, streams=None):
    """Windows of streams, one row of `values` each; NaN is a window without a point.

    Args:
        values: shape (n_streams, n_windows).
        first: number of the first window.
        streams: their rows in the tables; by default 0, 1, ...
    """
    values = np.asarray(values, np.float64)
    names = np.arange(len(values)) if streams is None else np.asarray(streams)
    stream = np.repeat(names, values.shape[1])
    start_ms = np.tile((first + np.arange(values.shape[1])) * WINDOW_MS, len(values))
    has_value = (~np.isnan(values.reshape(-1))).astype(np.int64)
    none = np.zeros(values.size, np.int64)
    return Observations(
        stream=stream.astype(np.int64),
        start_ms=start_ms.astype(np.int64),
        value=values.reshape(-1),
        count=has_value,
        missing_count=1 - has_value,
        nan_count=none,
        out_of_range_count=none,
        window_ms=none + WINDOW_MS,
    )


def stream_values(law, shape, random):
    """Values of some law without any change, of variance about 1."""
    laws = {
        "normal": lambda: random.standard_normal(shape),
        "t3": lambda: random.standard_t(3, shape),
        "lognormal": lambda: random.lognormal(0, 0.5, shape),
        "exponential": lambda: random.exponential(1, shape),
        "bernoulli": lambda: (random.random(shape) < 0.3).astype(float),
        "five levels": lambda: np.clip(np.round(random.standard_normal(shape)), -2, 2),
    }
    if law in laws:
        return laws[law]()
    correlation = float(law.removeprefix("ar "))
    noise = np.sqrt(1 - correlation**2) * random.standard_normal(shape)
    for window in range(1, shape[1]):
        noise[:, window] += correlation * noise[:, window - 1]
    return noise
