"""Open windows as versioned bytes, and back."""

from typing import Any

from udfs.drift.complete_policy import CompletePolicy
from udfs.drift.complete_windows import CompleteWindows
from udfs.state_bytes import StateLayoutError, pack_state, unpack_state

LAYOUT_VERSION = 1
FRAMES = ("subjects", "kinds", "series", "open", "bins", "waiting", "waiting_bins")
NUMBERS = ("settled_ms", "next_subject", "next_kind", "late_count", "refused_count")


def windows_to_bytes(windows: CompleteWindows, policy: CompletePolicy) -> bytes:
    """Write open windows; what has just come is added up first."""
    windows.absorb(policy)
    frames = {name: getattr(windows, name) for name in FRAMES}
    return pack_state(LAYOUT_VERSION, frames, {name: getattr(windows, name) for name in NUMBERS})


def windows_from_bytes(packed: bytes) -> CompleteWindows:
    """Read what `windows_to_bytes` wrote.

    Raises:
        StateLayoutError: the bytes are of no version that is known.
    """
    stored = unpack_state(packed)
    if stored.version != LAYOUT_VERSION:
        raise StateLayoutError(f"open windows of version {stored.version}")
    parts: dict[str, Any] = {**stored.frames, **stored.meta}
    return CompleteWindows(**parts)
