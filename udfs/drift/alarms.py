"""Alarms: what a detector says of streams, as columns; a caller makes findings of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from udfs.drift.findings import Severity
from udfs.drift.observations import Observations
from udfs.histogram import Floats
from udfs.partition_clocks import Bools, Int64s

Words: TypeAlias = NDArray[np.str_]

_DTYPES: dict[str, np.dtype[Any]] = {
    "stream": np.dtype(np.int64),
    "detector": np.dtype("U24"),
    "severity": np.dtype("U8"),
    "direction": np.dtype("U6"),
    "first_seen_ms": np.dtype(np.int64),
    "detected_at_ms": np.dtype(np.int64),
    "log10_e": np.dtype(np.float64),
    "before": np.dtype(np.float64),
    "after": np.dtype(np.float64),
    "note": np.dtype("U40"),
}


@dataclass(frozen=True)
class Alarms:
    """What was seen, one row an alarm, each column of shape (n_alarms,).

    Args:
        stream: row of the stream in the tables of the detectors.
        detector: which detector, as in `DriftFinding.detector`.
        severity: a word of `Severity`; a hint, the caller may lower it.
        direction: up, down, spread, or empty.
        first_seen_ms: start of the window in which it most likely began, UTC.
        detected_at_ms: end of the window that completed the evidence, UTC.
        log10_e: log10 of the evidence; 0 where a rule is no matter of chance.
        before: what was usual, in the detector's own unit (see there); NaN when there is none.
        after: what is seen now, as `before`.
        note: a few words for the reason, such as `x1000`; may be empty.
    """

    stream: Int64s
    detector: Words
    severity: Words
    direction: Words
    first_seen_ms: Int64s
    detected_at_ms: Int64s
    log10_e: Floats
    before: Floats
    after: Floats
    note: Words

    def __len__(self) -> int:
        return len(self.stream)

    def take(self, places: Int64s | Bools) -> "Alarms":
        """Return some of the alarms, by their places or by a mask."""
        return replace(self, **{f.name: getattr(self, f.name)[places] for f in fields(self)})

    def ordered(self) -> "Alarms":
        """Return them in the order that no batching changes: time, stream, detector."""
        return self.take(np.lexsort((self.detector, self.stream, self.detected_at_ms)))


def alarms_of(seen: Observations, detector: str, severity: ArrayLike, **columns: Any) -> Alarms:
    """Return one alarm for each window; columns that are not given are blank.

    Args:
        seen: the windows that completed the evidence.
        detector: its name.
        severity: one word for all, or one each.
        **columns: columns of `Alarms`, one value for all or one each.
    """
    given: dict[str, Any] = {
        "stream": seen.stream,
        "detector": detector,
        "severity": severity,
        "direction": "",
        "first_seen_ms": seen.start_ms,
        "detected_at_ms": seen.start_ms + seen.window_ms,
        "log10_e": 0.0,
        "before": np.nan,
        "after": np.nan,
        "note": "",
    }
    assert columns.keys() <= given.keys(), columns.keys() - given.keys()
    return Alarms(**{name: _column(name, it, len(seen)) for name, it in (given | columns).items()})


def no_alarms() -> Alarms:
    """Return no alarm.

    >>> len(no_alarms())
    0
    """
    return Alarms(**{name: np.zeros(0, dtype) for name, dtype in _DTYPES.items()})


def joined(parts: Sequence[Alarms]) -> Alarms:
    """Put alarms after each other.

    >>> len(joined([no_alarms(), no_alarms()]))
    0
    """
    parts = [part for part in parts if len(part)]
    if not parts:
        return no_alarms()
    names = [f.name for f in fields(Alarms)]
    return Alarms(**{n: np.concatenate([getattr(part, n) for part in parts]) for n in names})


@dataclass(frozen=True)
class Turns:
    """What turned with one round of windows.

    Args:
        fired: alarms that began; while one lasts there is no other of its stream and detector.
        ended: alarms that are over, of severity info; they began at their `first_seen_ms`.
    """

    fired: Alarms = field(default_factory=no_alarms)
    ended: Alarms = field(default_factory=no_alarms)

    @classmethod
    def of(cls, parts: "Sequence[Turns]") -> "Turns":
        """Put the turns of several detectors after each other."""
        return cls(joined([part.fired for part in parts]), joined([part.ended for part in parts]))


def highest_severity(may_page: Bools) -> Words:
    """Return minor where it may page, else watch: what a provisional baseline is worth."""
    words: Words = np.where(may_page, Severity.MINOR.value, Severity.WATCH.value)
    return words


def _column(name: str, values: ArrayLike, size: int) -> NDArray[Any]:
    given = np.broadcast_to(np.asarray(values), (size,))
    column: NDArray[Any] = given.astype(_DTYPES[name])
    assert column.dtype.kind != "U" or bool((column == given).all()), f"{name} is cut off"
    return column
