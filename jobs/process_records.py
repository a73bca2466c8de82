"""Which processes a stack has: written down, found again, measured and ended.

`stack.json` names pid and birth of each process, so that another command can end them and never
touches a stranger that was given the same pid later.
"""

import json
import os
import signal
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

BIRTH_TOLERANCE_S = 1.5
"""How far two readings of a process's birth may differ: the kernel counts in clock ticks."""


@dataclass(frozen=True)
class ProcessRecord:
    """A started process, as it is written down."""

    name: str
    pid: int
    born_at_s: float

    def process(self) -> psutil.Process | None:
        """Return the process while it lives; None when it ended or the pid is another's."""
        try:
            process = psutil.Process(self.pid)
            is_same = abs(process.create_time() - self.born_at_s) <= BIRTH_TOLERANCE_S
            return process if is_same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


@dataclass(frozen=True)
class ProcessStatus:
    """What one process, or the Python workers of one process, use now."""

    name: str
    pid: int
    is_alive: bool
    rss_bytes: int
    cpu_seconds: float


def state_path(run_dir: Path) -> Path:
    """Return the file that names the processes of a stack."""
    return run_dir / "stack.json"


def read_records(run_dir: Path) -> list[ProcessRecord]:
    """Read which processes were started, in the order of their start."""
    path = state_path(run_dir)
    if not path.is_file():
        return []
    return [ProcessRecord(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]


def write_records(run_dir: Path, records: Iterable[ProcessRecord]) -> None:
    """Write down which processes were started; a reader never sees half a file."""
    run_dir.mkdir(parents=True, exist_ok=True)
    partial = state_path(run_dir).with_suffix(".partial")
    partial.write_text(json.dumps([asdict(r) for r in records], indent=1), encoding="utf-8")
    partial.replace(state_path(run_dir))


def birth_s(pid: int) -> float:
    """Return when a process was started, UTC seconds; now when it has ended already."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return time.time()


def end_processes(records: Sequence[ProcessRecord], *, grace_s: float) -> None:
    """End processes and all that they started: ask first, insist after a while.

    Args:
        records: which; those that have ended or whose pid is another's are left alone.
        grace_s: how long they may take to end by themselves.
    """
    members = [m for record in records for m in _session_members(record)]
    for record in records:
        if record.process() is not None:
            _signal_session(record.pid, signal.SIGTERM)
    _, stubborn = psutil.wait_procs(members, timeout=grace_s)
    left = {*stubborn, *(m for record in records for m in _session_members(record))}
    for process in left:
        _kill(process)
    psutil.wait_procs(list(left), timeout=grace_s)


def _session_members(record: ProcessRecord) -> list[psutil.Process]:
    """Return the living processes of the session that a process of ours leads or led.

    A worker may outlive its parent; it is still in the parent's session. A session id is not given
    away while a member lives, so a member that is younger than the leader is ours.
    """
    return [
        process
        for process in psutil.process_iter(["create_time", "status"])
        if _session_id(process.pid) == record.pid
        and process.info["create_time"] >= record.born_at_s - BIRTH_TOLERANCE_S
        and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


def _session_id(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None


def _signal_session(leader_pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it may end meanwhile, which is what we want
        os.killpg(leader_pid, number)


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):  # it may end meanwhile, which is what we want
        process.kill()


def process_statuses(records: Sequence[ProcessRecord]) -> list[ProcessStatus]:
    """Measure every process, and the workers that it started as a row of their own."""
    return [status for record in records for status in _statuses(record)]


def _statuses(record: ProcessRecord) -> list[ProcessStatus]:
    process = record.process()
    if process is None:
        return [ProcessStatus(record.name, record.pid, False, 0, 0.0)]  # noqa: FBT003 - is_alive
    workers = [m for m in _session_members(record) if m.pid != record.pid]
    rows = [_measure(record.name, record.pid, [process])]
    if workers:
        rows.append(_measure(f"{record.name} workers", workers[0].pid, workers))
    return rows


def _measure(name: str, pid: int, processes: Sequence[psutil.Process]) -> ProcessStatus:
    rss_bytes, cpu_seconds = 0, 0.0
    for process in processes:
        try:
            times = process.cpu_times()
            rss_bytes += process.memory_info().rss
            cpu_seconds += times.user + times.system
        except psutil.NoSuchProcess:
            continue
    return ProcessStatus(name, pid, is_alive=True, rss_bytes=rss_bytes, cpu_seconds=cpu_seconds)
