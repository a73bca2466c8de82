"""Submits the jobs that the command line names, and no other, with empty state.

A process of its own, for the same reason as `jobs.submit`.
"""

import subprocess
import sys
from collections.abc import Collection

from jobs.flink_cluster import flink_environment
from jobs.settings import Settings, load_settings


def submit_chosen(settings: Settings, job_names: Collection[str]) -> None:
    """Submit some jobs from a child process and wait until they are handed over."""
    argv = [sys.executable, "-m", "benchmarks.submit_chosen", *job_names]
    subprocess.run(argv, env=flink_environment(settings), check=True)


def main() -> int:
    """Submit; return the exit code."""
    from jobs.submission import SUBMIT  # noqa: PLC0415 - PyFlink reads the environment then

    settings = load_settings()
    for name in sys.argv[1:]:
        SUBMIT[name](settings, None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
