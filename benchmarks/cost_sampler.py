"""CPU time and memory of processes while something is measured, and what a span of time cost."""

import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from jobs.process_records import ProcessRecord, ProcessStatus, process_statuses, read_records
from jobs.settings import Settings

INTERVAL_S = 0.25
MB = 1_000_000

Read = Callable[[], Sequence[ProcessStatus]]


class CostSampler:
    """Measures processes four times a second, from a thread of its own, while the block runs.

    Args:
        read: the processes and their workers; one that ends takes its CPU time with it, so who
            asks for a span asks while all of them live.
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._is_running = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cost-sampler")
        self._at_s: list[float] = []
        self._cpu_s: list[dict[str, float]] = []
        self.peak_mb = 0.0
        """Most memory of all processes at one time, resident; shared pages count in each."""

    def __enter__(self) -> "CostSampler":
        """Start to measure."""
        self._is_running.set()
        self.sample()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the thread."""
        self._is_running.clear()
        self._thread.join()

    def sample(self) -> None:
        """Measure once."""
        statuses = self._read()
        self._at_s.append(time.time())
        cpu_s: dict[str, float] = {}
        for status in statuses:
            cpu_s[status.name] = cpu_s.get(status.name, 0.0) + status.cpu_seconds
        self._cpu_s.append(cpu_s)
        self.peak_mb = max(self.peak_mb, sum(status.rss_bytes for status in statuses) / MB)

    def cpu_by_name(self, begin_s: float, end_s: float) -> dict[str, float]:
        """Return the CPU seconds, user and system, of each process between two instants, UTC."""
        names = {name for cpu_s in self._cpu_s for name in cpu_s}
        return {name: self._between(name, begin_s, end_s) for name in sorted(names)}

    def cpu_s(self, begin_s: float, end_s: float) -> float:
        """Return the CPU seconds of all processes between two instants, UTC seconds."""
        return sum(self.cpu_by_name(begin_s, end_s).values())

    def _between(self, name: str, begin_s: float, end_s: float) -> float:
        """Return one process's CPU seconds, linear between two samples."""
        at_s = np.asarray(self._at_s)
        spent_s = np.asarray([cpu_s.get(name, 0.0) for cpu_s in self._cpu_s])
        return float(np.interp(end_s, at_s, spent_s) - np.interp(begin_s, at_s, spent_s))

    def _run(self) -> None:
        while self._is_running.is_set():
            self.sample()
            time.sleep(INTERVAL_S)


def processes_named(settings: Settings, names: Sequence[str] | None = None) -> Read:
    """Return what measures processes of a stack by the names of their starts; None: all."""
    run_dir = settings.stack.data_dir.resolve() / "run"

    def read() -> Sequence[ProcessStatus]:
        records = read_records(run_dir)
        return process_statuses([r for r in records if names is None or r.name in names])

    return read


def one_process(record: ProcessRecord) -> Read:
    """Return what measures one process that leads a session of its own."""
    return lambda: process_statuses([record])
