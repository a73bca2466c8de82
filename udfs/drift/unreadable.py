"""Metrics of which nothing can be read any more: window after window without one finite point.

    points refused     .  x  x  x  x  .         x = all points of the window are NaN, out of range
    run                0  1  2  3  4  0         or missing; . = at least one is good
    finding                     firing resolved

A window that is not there at all says nothing: silence is the offline job's to tell.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import polars as pl

from schemas.control import AcceptNewNormal
from udfs.alerts import NAMESPACE, event_id, uuid5_text
from udfs.drift.budget import USUAL, Budget
from udfs.drift.findings import DriftFinding, Rule, Sample, Severity, State
from udfs.drift.window_rows import CANONICAL_ORDER
from udfs.offline_policy import DAY_MS
from udfs.state_bytes import StateLayoutError, pack_state, unpack_state
from udfs.windows import Scope

LAYOUT_VERSION = 1
FIRES_AT_COUNT = 3
"""Windows in a row: fewer may be one bad batch."""
FORGOTTEN_AFTER_MS = 7 * DAY_MS
RUNS_MAX_COUNT = 200_000
"""Of one shard: beyond it, use more shards."""
BAD_COUNTS = ("missing_count", "nan_count", "out_of_range_count")
DETECTOR = "unreadable"


class Stream(NamedTuple):
    """A metric of a device."""

    tenant_id: str
    device_id: str
    metric: str


@dataclass(frozen=True)
class Run:
    """Windows of a stream without one good point.

    Args:
        first_ms: start of the first.
        last_ms: end of the last.
        window_ms: length of each.
        window_count: so far.
        deployment_group: of the device.
        seq: findings told of it.
    """

    first_ms: int
    last_ms: int
    window_ms: int
    window_count: int
    deployment_group: str
    seq: int = 0


@dataclass
class UnreadableStreams:
    """The runs that last; a step changes them in place."""

    runs: dict[Stream, Run] = field(default_factory=dict)

    def observe(self, windows: pl.DataFrame, clock_ms: int) -> list[DriftFinding]:
        """Look at windows, see `Detectors.observe`."""
        of_device = windows.filter(pl.col("scope") == Scope.DEVICE.value)
        is_bad = (pl.col("count") == 0) & (pl.sum_horizontal(BAD_COUNTS) > 0)
        known = pl.DataFrame(list(self.runs), schema=_STREAM_SCHEMA, orient="row")
        bad = of_device.filter(is_bad).select(*_STREAM_SCHEMA)
        followed = of_device.join(pl.concat([known, bad]), on=list(_STREAM_SCHEMA), how="semi")
        rows = followed.sort(CANONICAL_ORDER).iter_rows(named=True)
        found = [finding for row in rows for finding in self._look(row)]
        return [*found, *self._forget(clock_ms)]

    def _look(self, row: dict[str, Any]) -> Iterator[DriftFinding]:
        stream = Stream(row["tenant_id"], row["subject"], row["metric"])
        end_ms = row["window_start"] + row["window_ms"]
        run = self.runs.get(stream)
        if row["count"] > 0 or all(row[name] == 0 for name in BAD_COUNTS):
            if row["count"] > 0 and run is not None:
                yield from self._end(stream, replace(run, last_ms=end_ms), "readable_again")
            return
        if run is None:
            run = Run(row["window_start"], 0, row["window_ms"], 0, row["deployment_group"])
        run = replace(run, last_ms=end_ms, window_count=run.window_count + 1)
        if run.window_count == FIRES_AT_COUNT:
            run = replace(run, seq=1)
            yield _finding(stream, run, State.FIRING, "no value could be read")
        self.runs[stream] = run
        assert len(self.runs) <= RUNS_MAX_COUNT, "raise shard_count"

    def _end(self, stream: Stream, run: Run, reason: str) -> Iterator[DriftFinding]:
        del self.runs[stream]
        if run.seq > 0:
            yield _finding(stream, replace(run, seq=run.seq + 1), State.RESOLVED, reason)

    def _forget(self, clock_ms: int) -> Iterator[DriftFinding]:
        old_ms = clock_ms - FORGOTTEN_AFTER_MS
        for stream in sorted(s for s, run in self.runs.items() if run.last_ms < old_ms):
            yield from self._end(stream, self.runs[stream], "no_data")

    def accept(self, accepted: Sequence[AcceptNewNormal], clock_ms: int) -> list[DriftFinding]:  # noqa: ARG002 - the protocol's
        """End the runs of what is accepted; they begin anew."""
        found: list[DriftFinding] = []
        for event in accepted:
            for stream in sorted(s for s, run in self.runs.items() if _is_meant(event, s, run)):
                found += self._end(stream, self.runs[stream], "accepted_new_normal")
        return found

    def to_bytes(self) -> bytes:
        """Write everything."""
        runs = [[*stream, *vars(run).values()] for stream, run in self.runs.items()]
        return pack_state(LAYOUT_VERSION, {}, {"runs": runs})

    @classmethod
    def of(cls, budget: Budget) -> Self:  # noqa: ARG003 - three bad windows are no matter of chance
        """Return detectors that have seen nothing, see `Detectors.of`."""
        return cls()

    @classmethod
    def from_bytes(cls, packed: bytes, budget: Budget = USUAL) -> Self:  # noqa: ARG003 - as above
        """Read what `to_bytes` wrote.

        Raises:
            StateLayoutError: the bytes are of no version that is known.
        """
        stored = unpack_state(packed)
        if stored.version != LAYOUT_VERSION:
            raise StateLayoutError(f"unreadable streams of version {stored.version}")
        width = len(Stream._fields)
        return cls({Stream(*r[:width]): Run(*r[width:]) for r in stored.meta["runs"]})


_STREAM_SCHEMA: dict[str, Any] = dict.fromkeys(("tenant_id", "subject", "metric"), pl.String)


def _is_meant(event: AcceptNewNormal, stream: Stream, run: Run) -> bool:
    is_in_scope = event.scope.covers(stream.tenant_id, stream.device_id, run.deployment_group, "")
    return event.metric == stream.metric and is_in_scope


def _finding(stream: Stream, run: Run, state: State, reason: str) -> DriftFinding:
    name = f"{stream.tenant_id}/{DETECTOR}/{stream.device_id}/{stream.metric}/{run.first_ms}"
    incident_id = uuid5_text(NAMESPACE, name)
    return DriftFinding(
        tenant_id=stream.tenant_id,
        scope=Scope.DEVICE.value,
        subject=stream.device_id,
        metric=stream.metric,
        rule=Rule.DATA_QUALITY,
        detector=DETECTOR,
        state=state,
        severity=Severity.MINOR,
        window_ms=run.window_ms,
        first_seen_ms=run.first_ms,
        detected_at_ms=run.last_ms,
        delay_windows=run.window_count,
        after=Sample(count=run.window_count),
        reason=reason,
        suggested_action=f"Look at what measures {stream.metric}: no value is possible.",
        notify=True,
        incident_id=incident_id,
        finding_id=event_id(incident_id, run.seq),
    )
