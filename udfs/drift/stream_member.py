"""The detectors of single streams as a member of the bank of a shard.

    windows of devices ─── less what their group did ──> streams of devices (5 min)
    windows of groups and tenants ─────────────────────> streams of groups (1 min, with seasons)

A stream is one metric of one subject under one model version: a new version learns anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Self

import numpy as np
import polars as pl

from schemas.control import AcceptNewNormal
from udfs.drift.budget import USUAL, Budget
from udfs.drift.findings import DriftFinding
from udfs.drift.observations import Observations
from udfs.drift.peers import PeerBook
from udfs.drift.shift_policy import ShiftPolicy
from udfs.drift.stream_book import KNOWN_SCHEMA, StreamBook
from udfs.drift.stream_detectors import StreamDetectors, StreamPolicy, stream_policy
from udfs.drift.stream_evidence import EVIDENCE_SCHEMA, near_pages
from udfs.drift.stream_findings import accepted_findings, findings_of
from udfs.drift.stream_state import detector_bytes, detectors_from_bytes
from udfs.drift.window_rows import PEERS
from udfs.frame_bytes import frame_body, join_bodies, read_body, split_bodies
from udfs.histogram import Floats
from udfs.offline_policy import DAY_MS
from udfs.windows import Scope, WindowPolicy

METRICS_PER_DEVICE = 8
"""Streams of a device that share the budget; with more of them the budget is exceeded in
proportion."""
_WINDOWS = WindowPolicy()

OF_GROUPS = (Scope.GROUP.value, Scope.TENANT.value)
_NEAR_SCHEMA = EVIDENCE_SCHEMA | KNOWN_SCHEMA


@cache
def device_policy(budget: Budget) -> StreamPolicy:
    """Return how streams of devices are judged."""
    window_ms = _WINDOWS.device_window_ms
    return stream_policy(budget, window_ms, METRICS_PER_DEVICE, ShiftPolicy(), learn_ms=DAY_MS)


@cache
def group_policy(budget: Budget) -> StreamPolicy:
    """Return how streams of groups and tenants are judged."""
    # Two days, as a season must have been seen twice.
    shifts = ShiftPolicy(window_count=2_880, min_span_ms=2 * DAY_MS, has_season=True)
    window_ms = _WINDOWS.group_window_ms
    return stream_policy(budget, window_ms, METRICS_PER_DEVICE, shifts, learn_ms=DAY_MS)


@dataclass
class StreamMember:
    """All streams of a shard; a step changes them in place.

    Args:
        near: devices' streams near a page since they were taken; between two steps there is none.
    """

    devices: StreamBook = field(default_factory=StreamBook)
    groups: StreamBook = field(default_factory=StreamBook)
    device_detectors: StreamDetectors = field(
        default_factory=lambda: StreamDetectors(device_policy(USUAL))
    )
    group_detectors: StreamDetectors = field(
        default_factory=lambda: StreamDetectors(group_policy(USUAL))
    )
    peers: PeerBook = field(default_factory=PeerBook)
    near: list[pl.DataFrame] = field(default_factory=list)

    @classmethod
    def of(cls, budget: Budget) -> Self:
        """Return a member that has seen nothing, see `Detectors.of`."""
        return cls(
            device_detectors=StreamDetectors(device_policy(budget)),
            group_detectors=StreamDetectors(group_policy(budget)),
        )

    def observe(self, windows: pl.DataFrame, clock_ms: int) -> list[DriftFinding]:
        """Look at windows, see `Detectors.observe`."""
        self.peers.take(windows.filter(pl.col("scope") == PEERS), clock_ms)
        of_devices = windows.filter(pl.col("scope") == Scope.DEVICE.value)
        means = self.peers.means_of(of_devices)
        found, near = _look(self.devices, self.device_detectors, of_devices, means)
        self.near += near
        of_groups = windows.filter(pl.col("scope").is_in(OF_GROUPS))
        alone = np.full(len(of_groups), np.nan)
        return found + _look(self.groups, self.group_detectors, of_groups, alone)[0]

    def take_near(self) -> pl.DataFrame:
        """Take out who is near a page: `stream_evidence.EVIDENCE_SCHEMA` and the stream's names."""
        near = pl.concat(self.near) if self.near else pl.DataFrame(schema=_NEAR_SCHEMA)
        self.near = []
        return near

    def accept(self, accepted: Sequence[AcceptNewNormal], clock_ms: int) -> list[DriftFinding]:
        """Let the streams that are meant learn anew; end their incidents."""
        found: list[DriftFinding] = []
        for event in accepted:
            for book, detectors in (
                (self.devices, self.device_detectors),
                (self.groups, self.group_detectors),
            ):
                rows = book.covered_by(event)
                found += accepted_findings(rows, book.names, detectors, clock_ms)
                detectors.forget(rows)
        return found

    def to_bytes(self) -> bytes:
        """Write everything."""
        return join_bodies(
            {
                "devices": frame_body(self.devices.known),
                "groups": frame_body(self.groups.known),
                "device_detectors": detector_bytes(self.device_detectors),
                "group_detectors": detector_bytes(self.group_detectors),
                "peers": frame_body(self.peers.sums),
            }
        )

    @classmethod
    def from_bytes(cls, packed: bytes, budget: Budget = USUAL) -> Self:
        """Read what `to_bytes` wrote.

        Raises:
            StateLayoutError: the bytes are of no version that is known.
        """
        bodies: dict[str, Any] = {name: bytes(body) for name, body in split_bodies(packed).items()}
        return cls(
            StreamBook(read_body(bodies["devices"])),
            StreamBook(read_body(bodies["groups"])),
            detectors_from_bytes(bodies["device_detectors"], device_policy(budget)),
            detectors_from_bytes(bodies["group_detectors"], group_policy(budget)),
            PeerBook(read_body(bodies["peers"])),
        )


def _look(
    book: StreamBook, detectors: StreamDetectors, windows: pl.DataFrame, peer_means: Floats
) -> tuple[list[DriftFinding], list[pl.DataFrame]]:
    """Let detectors look at windows of one kind; return what they found, and who is near it."""
    if windows.is_empty():
        return [], []
    streams, has_peers = book.streams_of(windows, ~np.isnan(peer_means))
    detectors.grow(len(book))
    value = windows["mean"].fill_null(np.nan).to_numpy()
    seen = Observations(
        stream=streams,
        start_ms=windows["window_start"].to_numpy(),
        value=value,
        count=windows["count"].to_numpy().astype(np.int64),
        missing_count=windows["missing_count"].to_numpy().astype(np.int64),
        nan_count=windows["nan_count"].to_numpy().astype(np.int64),
        out_of_range_count=windows["out_of_range_count"].to_numpy().astype(np.int64),
        window_ms=windows["window_ms"].to_numpy().astype(np.int64),
    )
    residual = np.where(has_peers, value - peer_means, value)
    step = detectors.observe(seen, residual)
    found = list(findings_of(step, book.names, detectors.window_ms))
    near = near_pages(detectors, seen, step.log10_e)
    return found, [near.hstack(book.known[near["stream"]])] if len(near) else []
