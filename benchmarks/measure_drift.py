"""Measures D1: false alarms first, then delays, beside their goals, two sham detectors and peers.

    python -m benchmarks.measure_drift --out benchmarks/out/drift.json     # --full, --peers, --part

The mean time between false alarms (ARL) is counted at gamma 1e4, 5e5 windows a case (5e6 with
`--full`); delays are zero-state: the change comes with the first window behind the baseline.
"""

import argparse
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.drift_costs import costs
from benchmarks.drift_goals import (
    ARL_GAMMA,
    ARL_LEARNED,
    ARL_SMALL_BASELINE,
    ARL_SURE,
    DELAYS,
    SURE_ALARM_LAWS,
    Line,
)
from benchmarks.drift_judges import (
    D1,
    Always,
    Judge,
    Never,
    delays,
    false_alarms,
    learned,
    mean_between,
    mean_delay,
    policy_of,
)
from benchmarks.drift_peers import SHIFTS, peers
from benchmarks.drift_series import CHANGES, LAWS, NORMAL
from benchmarks.figures import write_figures
from benchmarks.machine import machine_facts

BASELINE = 1_000
SMALL_BASELINE = 500
GAMMAS = (1e4, 1e6, 1e8)
SHORT_GAMMA = 1e6


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Args:
        streams: baselines of a case of false alarms.
        windows: of each behind its baseline.
        baseline: windows of the baselines of delays.
        tries: of each of `trial_streams` for a delay.
        trial_streams: baselines of delays.
    """

    streams: int = 250
    windows: int = 2_000
    baseline: int = 5_000
    tries: int = 2
    trial_streams: int = 200


FULL = Size(streams=1_000, windows=5_000, baseline=20_000, tries=10, trial_streams=300)


def arl(name: str, size: Size, seed: int, baseline: int = BASELINE) -> Line:
    """Count the false alarms of D1 on one law."""
    draw = LAWS[name](np.random.default_rng(seed), size.streams)
    policy = policy_of(ARL_GAMMA, baseline, has_season=name.startswith("daily"))
    judge = learned(draw, size.streams, policy)
    counts = false_alarms(judge, draw, baseline, (size.streams, size.windows))
    found = mean_between(counts, size.windows)
    if baseline < BASELINE:
        low, high = ARL_SMALL_BASELINE
    else:
        low, high = ARL_SURE if name in SURE_ALARM_LAWS else ARL_LEARNED
    return Line(f"ARL, {name}, baseline of {baseline:,}", found.mean, found.error, low, high)


def arls(size: Size, seed: int) -> Iterator[Line]:
    """False alarms on every law, and of a small baseline."""
    for name in LAWS:
        yield arl(name, size, seed)
    yield arl("normal", size, seed, SMALL_BASELINE)


def add(size: Size, seed: int) -> Iterator[Line]:
    """Delays of D1."""
    draw = NORMAL(np.random.default_rng(seed), size.trial_streams)
    judge = learned(draw, size.trial_streams, policy_of(ARL_GAMMA, size.baseline))
    for gamma in GAMMAS:
        # At 1e6 what has a goal is enough: the changes without one are long.
        for name in CHANGES if gamma != SHORT_GAMMA else SHIFTS:
            yield add_line(judge, gamma, name, size, seed)


def add_line(judge: D1, gamma: float, name: str, size: Size, seed: int) -> Line:
    """Measure one delay; each try begins without any evidence."""
    rng, shape = np.random.default_rng([seed, 1]), (size.baseline, size.trial_streams)
    found = mean_delay(lambda: delays(judge.again(gamma), CHANGES[name], rng, *shape), size.tries)
    goal = DELAYS.get((gamma, name), np.inf)
    return Line(f"delay, gamma {gamma:.0e}, {name}", found.mean, found.error, high=goal)


def shams(size: Size, seed: int) -> Iterator[Line]:
    """What the goals are worth to a detector that does not look."""
    judges: dict[str, Judge] = {"always": Always(), "never": Never()}
    for name, judge in judges.items():
        draw = NORMAL(np.random.default_rng(seed), size.streams)
        counts = false_alarms(judge, draw, 0, (size.streams, size.windows))
        found = mean_between(counts, size.windows)
        yield Line(f"{name} fires: ARL, normal", found.mean, found.error, *ARL_SURE)
        late = delays(judge, CHANGES["shift 1"], np.random.default_rng(seed), 0, 10)
        found = mean_delay(lambda late=late: late, 1)
        goal = DELAYS[1e4, "shift 1"]
        yield Line(f"{name} fires: delay, shift 1", found.mean, found.error, high=goal)


def main() -> None:
    """Measure, print goal and measured side by side, and store."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--full", action="store_true", help="5e6 windows a case, larger baselines")
    parser.add_argument("--part", choices=["arl", "add", "sham", "cost", "peers"], action="append")
    parser.add_argument("--seed", type=int, default=20_261_123)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    size = FULL if given.full else Size()
    parts = {
        "arl": lambda: arls(size, given.seed),
        "add": lambda: add(size, given.seed),
        "sham": lambda: shams(size, given.seed),
        "cost": lambda: costs(given.seed),
        "peers": lambda: peers(given.seed, is_full=given.full),
    }
    facts = {"seed": given.seed, "size": asdict(size), **machine_facts()}
    print(f"seed {given.seed}, load {facts['load_1_min']}, {size}")
    told = []
    for name in given.part or parts:
        for line in parts[name]():
            print(line.text(), flush=True)
            told.append(line.columns())
    write_figures({**facts, "lines": told}, given.out)


if __name__ == "__main__":
    main()
