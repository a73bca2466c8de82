"""Processes that belong together: started, watched, written down and ended.

Each process leads a session of its own, so that its children end with it and Ctrl-C in the
terminal reaches only us.
"""

import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jobs.process_records import ProcessRecord, birth_s, read_records, write_records
from schemas.errors import Unavailable

POLL_INTERVAL_S = 0.1
LOG_TAIL_LINES = 8


@dataclass(frozen=True)
class Program:
    """A program to start.

    Args:
        name: unique in the stack; also the name of its log.
        argv: the program and its arguments.
        environment: the whole environment of the process.
    """

    name: str
    argv: Sequence[str]
    environment: dict[str, str] = field(repr=False)


class ProcessGroup:
    """The processes of one stack.

    Args:
        run_dir: where `stack.json` is kept.
        log_dir: where each process's output goes.
    """

    def __init__(self, run_dir: Path, log_dir: Path) -> None:
        self._run_dir = run_dir
        self._log_dir = log_dir
        self._lock = threading.Lock()
        self._is_closed = False
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, program: Program) -> ProcessRecord:
        """Start a program and write it down.

        Raises:
            Unavailable: the group is being ended, or the program cannot be started.
        """
        with self._lock:
            if self._is_closed:
                raise Unavailable(f"{program.name} is not started: the stack is being ended")
            child = self._spawn(program)
            self._children[program.name] = child
            record = ProcessRecord(program.name, child.pid, birth_s(child.pid))
            others = [r for r in read_records(self._run_dir) if r.name != program.name]
            write_records(self._run_dir, [*others, record])
            return record

    def _spawn(self, program: Program) -> subprocess.Popen[bytes]:
        self._log_dir.mkdir(parents=True, exist_ok=True)
        with log_path(self._log_dir, program.name).open("wb") as log:
            try:
                return subprocess.Popen(
                    program.argv,
                    env=program.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise Unavailable(f"{program.name} cannot be started: {error}") from error

    def wait_until(
        self, name: str, is_ready: Callable[[], bool], *, what: str, timeout_s: float
    ) -> None:
        """Wait until a process is ready.

        Args:
            name: of the process.
            is_ready: asked every tenth of a second.
            what: is waited for, for people.
            timeout_s: how long.

        Raises:
            Unavailable: it ended, or was not ready in time; with the end of its log.
        """
        give_up_at_s = time.monotonic() + timeout_s
        while not is_ready():
            if self._is_closed:
                raise Unavailable(f"the wait for {name} was given up: the stack is being ended")
            exit_code = self._children[name].poll()
            if exit_code is not None:
                raise Unavailable(self._failure(name, f"ended with exit code {exit_code}"))
            if time.monotonic() >= give_up_at_s:
                raise Unavailable(self._failure(name, f"shows no {what} after {timeout_s:.0f} s"))
            time.sleep(POLL_INTERVAL_S)

    def wait_for_exit(self, name: str, *, timeout_s: float) -> None:
        """Wait until a program that does one thing has done it.

        Raises:
            Unavailable: it failed or took too long; with the end of its log.
        """
        child = self._children[name]
        try:
            exit_code = child.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            cause = f"has not finished after {timeout_s:.0f} s"
            raise Unavailable(self._failure(name, cause)) from error
        if exit_code != 0:
            raise Unavailable(self._failure(name, f"failed with exit code {exit_code}"))

    def exit_code(self, name: str) -> int | None:
        """Return the exit code of a process that we started; None while it runs."""
        return self._children[name].poll()

    def _failure(self, name: str, cause: str) -> str:
        path = log_path(self._log_dir, name)
        return f"{name} {cause}; its log {path} ends with:\n{log_tail(path)}"

    def close(self) -> None:
        """Let no further process start and let every wait give up."""
        with self._lock:
            self._is_closed = True

    def reap(self) -> None:
        """Collect the exit codes of our children that have ended."""
        for child in self._children.values():
            child.wait()


def log_path(log_dir: Path, name: str) -> Path:
    """Return the log of one process."""
    return log_dir / f"{name}.log"


def log_tail(path: Path, line_count: int = LOG_TAIL_LINES) -> str:
    """Return the last lines of a log, indented."""
    if not path.is_file():
        return "  (no log)"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-line_count:]
    return "\n".join(f"  {line}" for line in lines) or "  (empty)"
