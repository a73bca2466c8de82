"""Why a Flink job ended, in one line out of hundreds."""

import re
from dataclasses import dataclass

from jobs.flink_cluster import ask_flink
from jobs.settings import Settings

FAILED = "FAILED"
OURS = "schemas.errors."
PYTHON_ERROR = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:: .*)?")
"""The last line of a Python traceback: a class, and mostly a text."""
CAUSED_BY = "Caused by: "
CAUSE_MAX_CHARS = 500


@dataclass(frozen=True)
class JobState:
    """One job of the cluster; of several of one name the newest.

    Args:
        name: of the job.
        state: as Flink calls it.
        cause: why it is failed, one line; None when it is not.
    """

    name: str
    state: str
    cause: str | None = None

    @property
    def is_failed(self) -> bool:
        """Return whether Flink has given the job up."""
        return self.state == FAILED


def job_states(settings: Settings) -> list[JobState]:
    """Return the cluster's jobs.

    Raises:
        Unavailable: the cluster does not answer.
    """
    jobs = ask_flink(settings, "/jobs/overview")["jobs"]
    newest = {job["name"]: job for job in sorted(jobs, key=lambda job: job["start-time"])}
    return [
        JobState(name, job["state"], _cause(settings, job["jid"], job["state"]))
        for name, job in newest.items()
    ]


def _cause(settings: Settings, job_id: str, state: str) -> str | None:
    if state != FAILED:
        return None
    history = ask_flink(settings, f"/jobs/{job_id}/exceptions")["exceptionHistory"]["entries"]
    return failure_cause(history[0]["stacktrace"]) if history else "Flink tells no cause"


def failure_cause(stack_trace: str) -> str:
    r"""Return the line of a Java stack trace that says what went wrong.

    That is one of our own errors, else the end of a Python traceback, else Java's root cause.

    >>> trace = "java.X: failed\n\tat a.b(C.java:1)\nCaused by: java.Y: disk full\n\tat d.e(F:2)"
    >>> failure_cause(trace)
    'java.Y: disk full'
    >>> failure_cause(trace + "\nTraceback (most recent call last):\n  File x\nKeyError: 7\n\tat g")
    'KeyError: 7'
    >>> failure_cause("X: y\nTraceback (most recent call last):\nschemas.errors.Unavailable: away")
    'Unavailable: away'
    """
    lines = [line.strip() for line in stack_trace.splitlines()]
    ours = [line.removeprefix(OURS) for line in lines if line.startswith(OURS)]
    python = lines[_first(lines, "Traceback") :]
    ends = [line for line in python if PYTHON_ERROR.fullmatch(line)]
    java = [line.removeprefix(CAUSED_BY) for line in lines if line.startswith(CAUSED_BY)]
    found = [*ours[-1:], *ends[-1:], *java[-1:], *lines[:1], "Flink tells no cause"]
    return found[0][:CAUSE_MAX_CHARS]


def _first(lines: list[str], start: str) -> int:
    return next((i for i, line in enumerate(lines) if line.startswith(start)), len(lines))
