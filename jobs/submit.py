"""Submits the jobs from a process of its own, because the driver brings a Java process with it.

The environment tells PyFlink where the cluster's configuration and jars are before it is imported.
"""

import subprocess
import sys

from jobs.flink_cluster import flink_dir, flink_environment, prepare_flink
from jobs.process_group import Program
from jobs.settings import Settings, load_settings
from jobs.settings_file import write_settings_file
from schemas.errors import FleetpulseError, SettingsError


def submission_program(settings: Settings) -> Program:
    """Return the program that submits all jobs and prints their ids."""
    argv = [sys.executable, "-m", "jobs.submit"]
    return Program("submission", argv, flink_environment(settings))


def submit_from_child(settings: Settings) -> int:
    """Submit all jobs from a child process and return its exit code."""
    write_settings_file(settings)
    if not (flink_dir(settings) / "conf" / "config.yaml").is_file():
        prepare_flink(settings)
    program = submission_program(settings)
    return subprocess.run(program.argv, env=program.environment, check=False).returncode


def main() -> int:
    """Submit the jobs; return the exit code."""
    from jobs.submission import submit_jobs  # noqa: PLC0415 - PyFlink reads the environment then

    try:
        job_ids = submit_jobs(load_settings())
        print("\n".join(job_ids) or "every job is running already")
    except FleetpulseError as error:
        print(f"fleetpulse submit: {error}", file=sys.stderr)
        return 2 if isinstance(error, SettingsError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
