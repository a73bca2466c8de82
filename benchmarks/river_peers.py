"""Runs one detector of River over the series of `drift_peers`; needs nothing of this project.

    python benchmarks/river_peers.py FOLDER ADWIN|PageHinkley|KSWIN

Prints JSON: the threshold at which its own ARL on N(0, 1) is 1e4, its ARL elsewhere, its delays.
"""

import importlib
import json
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

WANTED_ARL = 1e4
NEAR_RATIO = 1.1
PRELUDE = 1_000


@dataclass(frozen=True)
class Peer:
    """A detector and the option that is tuned.

    Args:
        option: its name.
        strict: a value at which it hardly fires.
        loose: one at which it fires often.
        null_count: windows its ARL is counted over: a slow one gets few.
        trial_count: series of a delay.
        prelude: windows before the change that it sees.
        steps: of the bisection.
    """

    option: str
    strict: float
    loose: float
    null_count: int = 300_000
    trial_count: int = 150
    prelude: int = PRELUDE
    steps: int = 12


PEERS = {
    "ADWIN": Peer("delta", 1e-4, 0.999),
    "PageHinkley": Peer("threshold", 1_000.0, 10.0),
    # Its window is 100 values, so a longer prelude changes nothing.
    "KSWIN": Peer("alpha", 1e-6, 5e-3, null_count=50_000, trial_count=30, prelude=150, steps=5),
}


def main() -> None:
    """Tune, measure, print."""
    folder, name = Path(sys.argv[1]), sys.argv[2]
    peer = PEERS[name]
    make = maker(name, peer)
    nulls = {path.stem[5:]: np.load(path)[: peer.null_count] for path in folder.glob("null *.npy")}
    threshold = tuned(make, nulls["normal"], peer)
    told = {
        "option": peer.option,
        "threshold": threshold,
        "arl": {law: arl(make(threshold), values) for law, values in sorted(nulls.items())},
        "delays": {
            path.stem: delay(make, threshold, np.load(path), peer)
            for path in sorted(folder.glob("shift *.npy"))
        },
    }
    sys.stdout.write(json.dumps(told))


def maker(name: str, peer: Peer) -> Callable[[float], Any]:
    """Return what builds the detector with a value of its option."""
    detector = getattr(importlib.import_module("river.drift"), name)
    fixed = {"seed": 1} if name == "KSWIN" else {}
    return lambda value: detector(**{peer.option: value}, **fixed)


def fired(detector: Any, values: Any) -> Iterator[int]:
    """Yield the places at which it fires; it starts anew by itself."""
    for place, value in enumerate(values.tolist()):
        detector.update(value)
        if detector.drift_detected:
            yield place


def arl(detector: Any, values: Any) -> tuple[float | None, float]:
    """Return the mean windows between alarms and its standard error, as of a Poisson count."""
    count = sum(1 for _ in fired(detector, values))
    return (len(values) / count, len(values) / count**1.5) if count else (None, 0.0)


def tuned(make: Callable[[float], Any], values: Any, peer: Peer) -> float:
    """Return the value of the option, by bisection on its logarithm."""
    strict, loose = math.log(peer.strict), math.log(peer.loose)
    middle = (strict + loose) / 2
    for _ in range(peer.steps):
        middle = (strict + loose) / 2
        found = arl(make(math.exp(middle)), values)[0] or math.inf
        if WANTED_ARL / NEAR_RATIO <= found <= WANTED_ARL * NEAR_RATIO:
            break
        strict, loose = (middle, loose) if found > WANTED_ARL else (strict, middle)
    return math.exp(middle)


def delay(
    make: Callable[[float], Any], threshold: float, series: Any, peer: Peer
) -> tuple[float, float]:
    """Return the mean windows from the change to the alarm, and its standard error."""
    found = []
    for values in series[: peer.trial_count]:
        places = fired(make(threshold), values[PRELUDE - peer.prelude :])
        after = (place + 1 - peer.prelude for place in places if place >= peer.prelude)
        found.append(next(after, len(values) - PRELUDE))
    return float(np.mean(found)), float(np.std(found, ddof=1) / math.sqrt(len(found)))


if __name__ == "__main__":
    main()
