"""Kills parts of a running engine, one fault after another, and prints what came of it.

    python -m tests.chaos                       every fault, one new seed for all
    python -m tests.chaos --seed 7 worker       one of them again
    python -m tests.chaos --together            one stack suffers them all: shorter, and harder

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
from tests.chaos.run import Recovery, run_faults

EXIT_TERMINATED = 128 + signal.SIGTERM
HEADINGS = (
    "fault", "healed by", "outcome", "recovery s", "reader waited s (before)", "lost",
    "duplicated", "windows", "points", "dead letters",
)  # fmt: skip


def main() -> int:
    """Run the faults that are named and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fault", nargs="*", choices=[[], *FAULTS], help="all when none is named")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    parser.add_argument("--together", action="store_true", help="in one stack, one after another")
    given = parser.parse_args()
    # Whoever ends us has our stack ended, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))
    # The fleet's progress would stand between the rows of the table.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    print(f"seed {given.seed}", flush=True)
    print(_line(HEADINGS), _line(["---"] * len(HEADINGS)), sep="\n", flush=True)
    names = given.fault or list(FAULTS)
    runs = [names] if given.together else [[name] for name in names]
    judgements = [_run([FAULTS[name] for name in run], given.seed) for run in runs]
    for line in (line for judgement in judgements for line in judgement.wrong):
        print(line, file=sys.stderr)
    return 1 if any(judgement.wrong for judgement in judgements) else 0


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


def _line(cells: tuple[object, ...] | list[str]) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"


if __name__ == "__main__":
    sys.exit(main())
