"""Peers of D1: the detectors of River, in an environment of their own, over the same series.

    series -> .npy files -> benchmarks/river_peers.py, there -> JSON -> lines beside those of D1

River needs another numpy than the engine, so it is never in our lock files. Each peer's threshold
is tuned until its own mean time between false alarms on N(0, 1) is about 1e4.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.drift_goals import ARL_GAMMA, DELAYS, Line
from benchmarks.drift_judges import learned, mean_delay, policy_of
from benchmarks.drift_series import CHANGES, LAWS, NORMAL

ENVIRONMENT = Path("benchmarks/out/river")
RIVER = "river==0.26.1"
SETUP_TIMEOUT_S = 300
RUN_TIMEOUT_S = 3_600
BASELINE = 5_000
PRELUDE = 1_000
"""Windows without a change that a peer sees before the change."""
HORIZON = 1_000
NULL_LAWS = ("normal", "daily sine 0.5 sigma", "daily sine 1 sigma", "AR(.4)", "AR(.6)", "AR(.8)")
SHIFTS = ("shift 0.5", "shift 1", "shift 2", "shift 3")


def peers(seed: int, *, is_full: bool) -> Iterator[Line]:
    """Measure delays at matched ARL; KSWIN, a thousand times slower, only with `is_full`."""
    names = ["ADWIN", "PageHinkley", *(["KSWIN"] if is_full else [])]
    python = environment()
    if python is None:
        yield from (Line(f"{name}: not run, no environment with {RIVER}", np.inf) for name in names)
        return
    folder = ENVIRONMENT / "series"
    folder.mkdir(exist_ok=True)
    yield from own_delays(write_series(folder, seed, 150))
    for name in names:
        yield from peer_lines(name, _run(python, folder, name))


def environment() -> Path | None:
    """Return the interpreter of the peers' environment, made when missing; None if that fails."""
    python = ENVIRONMENT / "bin" / "python"
    if not (ENVIRONMENT / ".complete").exists():
        try:
            subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True,
                           timeout=SETUP_TIMEOUT_S)  # fmt: skip
            subprocess.run([str(python), "-m", "pip", "install", "--quiet", RIVER], check=True,
                           timeout=SETUP_TIMEOUT_S)  # fmt: skip
        except (OSError, subprocess.SubprocessError):
            return None
        (ENVIRONMENT / ".complete").touch()
    return python


def write_series(folder: Path, seed: int, trial_count: int) -> np.ndarray[Any, Any]:
    """Write the series of the peers; return those of the delays, baselines included, unshifted."""
    for name in NULL_LAWS:
        draw = LAWS[name](np.random.default_rng([seed, 2]), 1)
        np.save(folder / f"null {name}.npy", draw(300_000)[0])
    draw = NORMAL(np.random.default_rng([seed, 3]), trial_count)
    noise = draw(BASELINE + HORIZON)
    for name in SHIFTS:
        seen = noise[:, BASELINE - PRELUDE :].copy()
        seen[:, PRELUDE:] = CHANGES[name](seen[:, PRELUDE:], 0)
        np.save(folder / f"{name}.npy", seen)
    return noise


def own_delays(noise: np.ndarray[Any, Any]) -> Iterator[Line]:
    """Measure D1 on the series that the peers get."""
    judge = learned(lambda _: noise[:, :BASELINE], len(noise), policy_of(ARL_GAMMA, BASELINE))
    for name in SHIFTS:
        again = judge.again(ARL_GAMMA)
        values = CHANGES[name](noise[:, BASELINE:], 0)
        streams, columns = again.alarms(values, BASELINE, np.arange(len(noise)))
        found = np.full(len(noise), HORIZON)
        np.minimum.at(found, streams, columns + 1)
        late = mean_delay(lambda found=found: found, 1)
        goal = DELAYS[ARL_GAMMA, name]
        yield Line(
            f"D1 on the series of the peers: delay, {name}", late.mean, late.error, high=goal
        )


def peer_lines(name: str, told: dict[str, Any] | None) -> Iterator[Line]:
    """Turn what the other interpreter told into lines; peers have no goals."""
    if told is None:
        yield Line(f"{name}: not run, it failed", np.inf)
        return
    title = f"{name}({told['option']}={told['threshold']:.3g})"
    for law, (mean, error) in told["arl"].items():
        yield Line(f"{title}: ARL, {law}", mean or np.inf, error)
    for shift, (mean, error) in told["delays"].items():
        yield Line(f"{title}: delay, {shift}", mean, error)


def _run(python: Path, folder: Path, name: str) -> dict[str, Any] | None:
    script = Path(__file__).with_name("river_peers.py")
    done = subprocess.run([str(python), str(script), str(folder), name], check=False,
                          capture_output=True, timeout=RUN_TIMEOUT_S, text=True)  # fmt: skip
    return json.loads(done.stdout) if done.returncode == 0 else None
