"""What a figure was measured on: without it, no figure can be compared."""

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version

from jobs.process_records import ProcessStatus

LIBRARIES = ("apache-flink", "chdb", "confluent-kafka", "fastavro", "numpy", "polars", "pyarrow")


def machine_facts() -> dict[str, object]:
    """Return the machine's cores, its load, and the versions of what was measured."""
    return {
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "load_1_min": load_1_min(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in LIBRARIES},
    }


def load_1_min() -> float:
    """Return how many threads wanted a core, mean of the last minute."""
    return round(os.getloadavg()[0], 1)


def cpu_shares(
    before: Sequence[ProcessStatus], after: Sequence[ProcessStatus], seconds: float
) -> dict[str, float]:
    """Return the CPU seconds a second that each process took, so 1 is one core."""
    at_start = {(status.name, status.pid): status.cpu_seconds for status in before}
    shares: dict[str, float] = {}
    for status in after:
        spent_s = status.cpu_seconds - at_start.get((status.name, status.pid), 0.0)
        shares[status.name] = round(shares.get(status.name, 0.0) + spent_s / seconds, 3)
    return shares
