"""Shares that say a model is wrong, or does not know: errors, and points of low confidence (D3).

    confidence    share of points below the middle of its scale
    error         share of points at or above it: of 0 and 1, the errors

They are on for every metric whose name says what it is (`prediction_metrics.py`), of devices,
groups and model versions. A window counts as in `shares.py`: its points are no independent trials.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import polars as pl

from schemas.control import AcceptNewNormal
from udfs.drift.alarms import Turns
from udfs.drift.budget import PREDICTION_SHARE, USUAL, Budget
from udfs.drift.distribution_member import SCOPES, binned_windows
from udfs.drift.findings import DriftFinding, Rule
from udfs.drift.observations import Observations
from udfs.drift.prediction_metrics import PredictionKind, half_of, kind_of
from udfs.drift.row_tables import Rows, table_frame, table_of
from udfs.drift.shares import SHARE_ROW, RatePolicy, Trials, empty_shares, update_share
from udfs.drift.stream_book import STREAM_NAMES, StreamBook
from udfs.drift.stream_detectors import StreamStep
from udfs.drift.stream_findings import StreamName, accepted_finding, findings_of
from udfs.histogram import bin_index
from udfs.offline_policy import DAY_MS
from udfs.partition_clocks import Int64s
from udfs.state_bytes import StateLayoutError, pack_state, unpack_state
from udfs.windows import Scope, WindowPolicy

LAYOUT_VERSION = 1
METRICS_PER_DEVICE = 2
NAMES = (*STREAM_NAMES[:4], "model_version")
DETECTORS = {
    PredictionKind.CONFIDENCE: "low_confidence_rate",
    PredictionKind.ERROR: "error_rate",
}
ACTIONS = {
    "low_confidence_rate": "look at samples of low confidence; roll back if a version is new",
    "error_rate": "look at what fails; roll back if a version is new",
}


def share_policy(window_ms: int, learn_windows: int, budget: Budget = USUAL) -> RatePolicy:
    """Return how shares of windows of one length are judged by the default budget."""
    gamma = budget.gamma(window_ms, METRICS_PER_DEVICE, PREDICTION_SHARE)
    return RatePolicy(log_gamma=float(np.log(gamma)), learn_windows=learn_windows)


_WINDOWS = WindowPolicy()


def share_policies(budget: Budget) -> tuple[RatePolicy, RatePolicy]:
    """Return how shares of devices and of groups are judged."""
    group_windows = 2 * DAY_MS // _WINDOWS.group_window_ms
    return (
        share_policy(_WINDOWS.device_window_ms, 1008, budget),
        share_policy(_WINDOWS.group_window_ms, group_windows, budget),
    )


DEVICE_POLICY, GROUP_POLICY = share_policies(USUAL)
"""Two days, as groups' shifts."""


@dataclass
class ShareStreams:
    """Shares of streams with windows of one length; a step changes them in place.

    Args:
        policy: how to judge.
        book: whose they are.
        table: `SHARE_ROW`, one record a stream.
        window_ms: of the last window of each.
    """

    policy: RatePolicy
    book: StreamBook = field(default_factory=StreamBook)
    table: Rows = field(default_factory=lambda: empty_shares(0))
    window_ms: Int64s = field(default_factory=lambda: np.zeros(0, np.int64))

    def observe(self, windows: pl.DataFrame) -> Iterator[DriftFinding]:
        """Look at windows of metrics in `DETECTORS`, each with bins."""
        if windows.is_empty():
            return
        rows, _ = self.book.streams_of(windows, np.zeros(len(windows), np.bool_))
        fresh = len(self.book) - len(self.table)
        self.table = np.concatenate([self.table, empty_shares(fresh)])
        self.window_ms = np.concatenate([self.window_ms, np.zeros(fresh, np.int64)])
        seen = bad_points(windows, rows)
        self.window_ms[rows] = seen.window_ms
        kinds = np.array([str(kind_of(metric)) for metric in windows["metric"].to_list()])
        for kind, detector in DETECTORS.items():
            found = self._judge(seen.take(np.flatnonzero(kinds == kind.value)), detector)
            yield from (replace(f, suggested_action=ACTIONS[detector]) for f in found)

    def _judge(self, seen: Observations, detector: str) -> Iterator[DriftFinding]:
        trials = (Trials(part, part.nan_count, part.count, detector) for part in seen.rounds())
        turns = Turns.of([update_share(self.table, each, self.policy) for each in trials])
        if not len(turns.fired) and not len(turns.ended):
            return iter(())
        step = StreamStep(np.zeros(0), turns.fired, turns.ended)
        names = [StreamName(*row) for row in self.book.known.select(NAMES).iter_rows()]
        found = findings_of(step, names, self.window_ms)
        return (replace(finding, rule=Rule.DRIFT) for finding in found)

    def forget(self, event: AcceptNewNormal, clock_ms: int) -> list[DriftFinding]:
        """Let the streams that an operator means learn anew; end their incidents."""
        rows = self.book.covered_by(event)
        is_open = self.table["calm_count"][rows] > 0
        found = [self._accepted(row, clock_ms) for row in rows[is_open].tolist()]
        self.table[rows] = empty_shares(len(rows))
        return found

    def _accepted(self, row: int, clock_ms: int) -> DriftFinding:
        name = StreamName(*self.book.known.select(NAMES).row(row))
        detector = DETECTORS[PredictionKind(str(kind_of(name.metric)))]
        since_ms = int(self.table["first_seen_ms"][row])
        ended = accepted_finding(detector, since_ms, name, clock_ms, int(self.window_ms[row]))
        return replace(ended, rule=Rule.DRIFT)

    def to_frames(self, name: str) -> dict[str, pl.DataFrame]:
        """Return everything as frames under a name."""
        streams = self.book.known.with_columns(window_ms=pl.Series(self.window_ms, dtype=pl.Int64))
        return {f"{name}_streams": streams, f"{name}_table": table_frame(self.table)}

    @classmethod
    def from_frames(cls, frames: Mapping[str, pl.DataFrame], name: str, policy: RatePolicy) -> Self:
        """Return what `to_frames` wrote."""
        streams = frames[f"{name}_streams"]
        return cls(
            policy,
            StreamBook(streams.drop("window_ms")),
            table_of(frames[f"{name}_table"], SHARE_ROW),
            streams["window_ms"].to_numpy().copy(),
        )


@dataclass
class PredictionMember:
    """The shares of a shard; a step changes them in place."""

    devices: ShareStreams = field(default_factory=lambda: ShareStreams(DEVICE_POLICY))
    groups: ShareStreams = field(default_factory=lambda: ShareStreams(GROUP_POLICY))

    @classmethod
    def of(cls, budget: Budget) -> Self:
        """Return a member that has seen nothing, see `Detectors.of`."""
        return cls(*(ShareStreams(policy) for policy in share_policies(budget)))

    def observe(self, windows: pl.DataFrame, clock_ms: int) -> list[DriftFinding]:  # noqa: ARG002 - the protocol's
        """Look at windows, see `Detectors.observe`."""
        metrics = windows["metric"].unique().to_list()
        asked = [metric for metric in metrics if kind_of(metric) in DETECTORS]
        has_bins = pl.col("scope").is_in(SCOPES) & (pl.col("bins").list.len() > 0)
        mine = windows.filter(pl.col("metric").is_in(asked) & has_bins)
        is_device = pl.col("scope") == Scope.DEVICE.value
        return [
            finding
            for streams, part in ((self.devices, is_device), (self.groups, ~is_device))
            for finding in streams.observe(mine.filter(part))
        ]

    def accept(self, accepted: Sequence[AcceptNewNormal], clock_ms: int) -> list[DriftFinding]:
        """Let the streams that are meant learn anew; end their incidents."""
        both = (self.devices, self.groups)
        return [f for event in accepted for each in both for f in each.forget(event, clock_ms)]

    def to_bytes(self) -> bytes:
        """Write everything."""
        frames = self.devices.to_frames("devices") | self.groups.to_frames("groups")
        return pack_state(LAYOUT_VERSION, frames, {})

    @classmethod
    def from_bytes(cls, packed: bytes, budget: Budget = USUAL) -> Self:
        """Read what `to_bytes` wrote.

        Raises:
            StateLayoutError: the bytes are of another version, or of other records.
        """
        of_devices, of_groups = share_policies(budget)
        state = unpack_state(packed)
        if state.version != LAYOUT_VERSION:
            raise StateLayoutError(f"shares of predictions of version {state.version}")
        return cls(
            ShareStreams.from_frames(state.frames, "devices", of_devices),
            ShareStreams.from_frames(state.frames, "groups", of_groups),
        )


def bad_points(windows: pl.DataFrame, rows: Int64s) -> Observations:
    """Return windows with their bad points as `nan_count`, and all of their points as `count`.

    Args:
        windows: `COMPLETE_SCHEMA`, of metrics in `DETECTORS`, each with bins.
        rows: the stream of each.
    """
    binned = binned_windows(windows, rows)
    metrics = windows["metric"].to_list()
    half = bin_index(np.array([half_of(metric) for metric in metrics], np.float64))
    is_error = np.array([kind_of(metric) is PredictionKind.ERROR for metric in metrics], np.bool_)
    is_above = binned.bins >= half[binned.window]
    bad_count, count = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
    is_bad = is_above == is_error[binned.window]
    np.add.at(bad_count, binned.window[is_bad], binned.points[is_bad])
    np.add.at(count, binned.window, binned.points)
    none = np.zeros(len(rows), np.int64)
    return Observations(
        stream=rows, start_ms=binned.start_ms, value=np.full(len(rows), np.nan), count=count,
        missing_count=none, nan_count=bad_count, out_of_range_count=none,
        window_ms=binned.window_ms,
    )  # fmt: skip
