"""All detectors of some streams as versioned bytes."""

import numpy as np

from udfs.drift.quality_state import quality_bytes, quality_tables
from udfs.drift.shift_state import shift_bytes, shifts_from_bytes
from udfs.drift.stream_detectors import StreamDetectors, StreamPolicy
from udfs.frame_bytes import join_bodies, split_bodies


def detector_bytes(detectors: StreamDetectors) -> bytes:
    """Write the detectors of some streams."""
    return join_bodies(
        {
            "shifts": shift_bytes(detectors.shifts),
            "quality": quality_bytes(detectors.rates, detectors.quality),
            "window_ms": detectors.window_ms.astype("<i8").tobytes(),
        }
    )


def detectors_from_bytes(packed: bytes, policy: StreamPolicy) -> StreamDetectors:
    """Read what `detector_bytes` wrote.

    Raises:
        StateLayoutError: the bytes are of no version that is known.
    """
    bodies = split_bodies(packed)
    detectors = StreamDetectors(policy)
    detectors.shifts = shifts_from_bytes(bytes(bodies["shifts"]), policy.shifts)
    detectors.rates, detectors.quality = quality_tables(bytes(bodies["quality"]))
    detectors.window_ms = np.frombuffer(bytes(bodies["window_ms"]), "<i8").astype(np.int64)
    return detectors
