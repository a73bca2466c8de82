"""Ends a local stack and measures it, whoever started it: all that is known is in `stack.json`."""

import fcntl
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from jobs.process_records import (
    ProcessRecord,
    ProcessStatus,
    end_processes,
    process_statuses,
    read_records,
    write_records,
)
from jobs.settings import Settings
from schemas.errors import Unavailable

END_GRACE_S = 20.0
END_ORDER = (
    # Who writes ends before who is written to; what is not named here ends first.
    ("clock", "loader", "submission"),
    ("taskmanager", "jobmanager"),
    ("registry", "kafka"),
)

END_SIGNALS = (signal.SIGINT, signal.SIGTERM)

ONE_OFF = ("kafka-format", "submission")
"""Programs that do one thing and end: that they are gone is no news."""


@contextmanager
def exclusive_start(run_dir: Path) -> Iterator[None]:
    """Let only one command at a time start a stack in a folder."""
    run_dir.mkdir(parents=True, exist_ok=True)
    with (run_dir / "start.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Unavailable(f"another command is starting a stack in {run_dir.parent}") from error
        yield


def stack_processes(settings: Settings) -> list[ProcessStatus]:
    """Measure every process of the stack in the settings' folder."""
    records = read_records(settings.stack.data_dir.resolve() / "run")
    return process_statuses([r for r in records if r.name not in ONE_OFF])


def stop_stack(settings: Settings, report: Callable[[str], None] | None = None) -> int:
    """End the stack of the settings' folder, whoever started it.

    Returns:
        How many processes were running.
    """
    run_dir = settings.stack.data_dir.resolve() / "run"
    with _uninterrupted():
        return _stop(run_dir, report)


def _stop(run_dir: Path, report: Callable[[str], None] | None) -> int:
    records = read_records(run_dir)
    running_count = sum(record.process() is not None for record in records)
    for wave in _end_waves([r for r in records if r.name not in ONE_OFF or r.process()]):
        if report is not None:
            report("ending " + ", ".join(record.name for record in wave))
        end_processes(wave, grace_s=END_GRACE_S)
    if run_dir.is_dir():
        write_records(run_dir, [])
    for marker in run_dir.glob("*.ready"):
        marker.unlink()
    return running_count


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let neither a second Ctrl-C nor SIGTERM leave processes behind; the end is bounded anyway."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in END_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_waves(records: Sequence[ProcessRecord]) -> list[list[ProcessRecord]]:
    named = {name for wave in END_ORDER for name in wave}
    waves = [[r for r in records if r.name not in named]]
    waves += [[r for r in records if r.name in wave] for wave in END_ORDER]
    return [wave for wave in waves if wave]
