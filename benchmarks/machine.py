"""What a figure was measured on: without it, no figure can be compared."""

import os
import platform
from importlib.metadata import version

LIBRARIES = ("apache-flink", "chdb", "confluent-kafka", "fastavro", "numpy", "polars", "pyarrow")


def machine_facts() -> dict[str, object]:
    """Return the machine's cores, its load, and the versions of what was measured."""
    return {
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "load_1_min": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in LIBRARIES},
    }
