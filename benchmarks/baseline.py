"""Whether something got slower: ratios of one run beside those that were stored.

Ratios alone are compared: absolute times are the machine's, and its neighbours'. Of the engine
beside others it is the ratio of points a CPU-second, which a busy machine moves least.
"""

import json
from collections.abc import Mapping
from pathlib import Path

PATH = Path(__file__).with_name("baseline.json")
GUARDED = (
    "codec_vs_fastavro_ratio",
    "ratio_per_cpu_vs_flink_sql_decode",
    "ratio_per_cpu_vs_flink_sql_windows",
    "ratio_per_cpu_vs_quix",
    "ratio_per_cpu_vs_bytewax",
)
SLOWER_RATIO = 0.8
"""Below this share of the stored ratio: on a busy machine runs differ by a tenth, seldom more."""

Figures = Mapping[str, float | None]


def stored(path: Path = PATH) -> dict[str, float]:
    """Return the stored ratios; none when nothing is stored."""
    if not path.is_file():
        return {}
    return dict(json.loads(path.read_text(encoding="utf-8"))["ratios"])


def slower(figures: Figures, before: Mapping[str, float]) -> list[str]:
    """Return a line for each ratio that is well below the stored one.

    >>> slower({"codec_vs_fastavro_ratio": 3.0}, {"codec_vs_fastavro_ratio": 6.0})
    ['slower: codec_vs_fastavro_ratio is 3.00, was 6.00']
    >>> slower({"codec_vs_fastavro_ratio": 5.5}, {"codec_vs_fastavro_ratio": 6.0})
    []
    """
    return [
        f"slower: {name} is {now:.2f}, was {was:.2f}"
        for name, was in before.items()
        if (now := figures.get(name)) is not None and now < SLOWER_RATIO * was
    ]


def store(figures: Figures, about: Mapping[str, object], path: Path = PATH) -> None:
    """Write the ratios of a run as the new baseline, with what they were measured on."""
    ratios = {name: figures[name] for name in GUARDED if figures.get(name) is not None}
    text = json.dumps({**about, "ratios": ratios}, indent=2)
    path.write_text(text + "\n", encoding="utf-8")
