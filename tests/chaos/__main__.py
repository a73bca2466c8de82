"""Kills parts of a running engine, one fault after another, and prints what came of it.

    python -m tests.chaos                       every fault, one new seed for all
    python -m tests.chaos --seed 7 worker       one of them again
    python -m tests.chaos --together            one stack suffers them all: shorter, and harder
    python -m tests.chaos loader-kills          only the loader, at every step of its work

Exit code 1 when anything was lost, duplicated or different from the oracle.
"""

import argparse
import logging
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import structlog

from tests.chaos.faults import FAULTS, Fault
from tests.chaos.judgement import Judgement
from tests.chaos.loader_kills import line as _line
from tests.chaos.loader_kills import run_loader_kills
from tests.chaos.run import Recovery, run_faults

LOADER_KILLS = "loader-kills"
EXIT_TERMINATED = 128 + signal.SIGTERM
HEADINGS = (
    "fault", "healed by", "outcome", "recovery s", "reader waited s (before)", "lost",
    "duplicated", "windows", "points", "dead letters",
)  # fmt: skip


def main() -> int:
    """Run the faults that are named and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "fault", nargs="*", choices=[[], *FAULTS, LOADER_KILLS], help="all when none is named"
    )
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    parser.add_argument("--together", action="store_true", help="in one stack, one after another")
    given = parser.parse_args()
    # Whoever ends us has our stack ended, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))
    # The fleet's progress would stand between the rows of the table.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    print(f"seed {given.seed}", flush=True)
    names = given.fault or [*FAULTS, LOADER_KILLS]
    wrong = _engine_faults([n for n in names if n in FAULTS], given.seed, given.together)
    if LOADER_KILLS in names:
        folder = Path(tempfile.mkdtemp(prefix="fleetpulse-kills-"))
        print(f"the directory that is killed in: {folder}", file=sys.stderr)
        wrong += run_loader_kills(folder, given.seed, report=_say)
    for each in wrong:
        print(each, file=sys.stderr)
    return 1 if wrong else 0


def _engine_faults(names: list[str], seed: int, is_together: bool) -> list[str]:  # noqa: FBT001 - a flag as given
    """Run faults of the whole engine, print their rows and return what was wrong."""
    if names:
        print(_line(HEADINGS), _line(["---"] * len(HEADINGS)), sep="\n", flush=True)
    runs = [names] if is_together else [[name] for name in names]
    judgements = [_run([FAULTS[name] for name in run], seed) for run in runs if run]
    return [each for judgement in judgements for each in judgement.wrong]


def _say(text: str) -> None:
    print(text, flush=True)


def _run(faults: list[Fault], seed: int) -> Judgement:
    folder = Path(tempfile.mkdtemp(prefix="fleetpulse-chaos-"))
    began_s = time.monotonic()
    recoveries, judgement = run_faults(faults, folder, seed)
    for fault, recovery in zip(faults, recoveries, strict=True):
        print(_row(fault, recovery, judgement), flush=True)
    took_s = time.monotonic() - began_s
    print(f"  {took_s:.0f} s; what the stack has stored: {folder}", file=sys.stderr, flush=True)
    return judgement


def _row(fault: Fault, recovery: Recovery, judgement: Judgement) -> str:
    return _line(
        (
            fault.text,
            fault.healed_by,
            "differs" if judgement.wrong else "equals the oracle",
            f"{recovery.recovery_s:.1f}",
            f"{recovery.reader_wait_s:.1f} ({recovery.usual_wait_s:.1f})",
            judgement.lost,
            judgement.duplicated,
            judgement.rows,
            judgement.points,
            judgement.letters,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
