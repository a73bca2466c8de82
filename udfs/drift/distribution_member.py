"""Distributions as a member of the bank of a shard: whose histograms are looked at.

    windows of groups, of model versions    all metrics
    windows of devices                      those about predictions, whose bins they carry

A stream is one metric of one subject under one model version: a new version learns anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import polars as pl

from schemas.control import AcceptNewNormal
from udfs.drift.budget import USUAL, Budget
from udfs.drift.cells import Cells
from udfs.drift.distribution_alarms import DistributionTurn
from udfs.drift.distribution_findings import DistributionName, finding_of_turn
from udfs.drift.distribution_policy import distribution_policy
from udfs.drift.distribution_table import DISTRIBUTION_ROW
from udfs.drift.distributions import BinnedWindows, Distributions
from udfs.drift.findings import DriftFinding
from udfs.drift.prediction_metrics import PredictionKind, kind_of
from udfs.drift.row_tables import table_frame, table_of
from udfs.drift.shift_alarms import RANKS
from udfs.drift.stream_book import STREAM_NAMES, StreamBook
from udfs.drift.window_rows import MODEL_VERSION
from udfs.offline_policy import HOUR_MS
from udfs.partition_clocks import Int64s
from udfs.state_bytes import StateLayoutError, pack_state, unpack_state
from udfs.windows import Scope

LAYOUT_VERSION = 1
METRICS_PER_DEVICE = 8
SCOPES = (Scope.DEVICE.value, Scope.GROUP.value, MODEL_VERSION)
POLICY = distribution_policy(USUAL, METRICS_PER_DEVICE)


@dataclass
class DistributionMember:
    """The distributions of a shard; a step changes them in place."""

    book: StreamBook = field(default_factory=StreamBook)
    distributions: Distributions = field(default_factory=lambda: Distributions(POLICY))

    @classmethod
    def of(cls, budget: Budget) -> Self:
        """Return a member that has seen nothing, see `Detectors.of`."""
        policy = distribution_policy(budget, METRICS_PER_DEVICE)
        return cls(distributions=Distributions(policy))

    def observe(self, windows: pl.DataFrame, clock_ms: int) -> list[DriftFinding]:  # noqa: ARG002 - the protocol's
        """Look at windows, see `Detectors.observe`."""
        binned = windows.filter(pl.col("scope").is_in(SCOPES) & (pl.col("bins").list.len() > 0))
        if binned.is_empty():
            return []
        rows, _ = self.book.streams_of(binned, np.zeros(len(binned), np.bool_))
        self._grow()
        turns = self.distributions.observe(binned_windows(binned, rows))
        found = [finding_of_turn(turn, self._name(turn.stream)) for turn in turns]
        return sorted(found, key=lambda f: (f.detected_at_ms, f.finding_id))

    def _grow(self) -> None:
        """Make room for streams that are new."""
        metrics = self.book.known["metric"][len(self.distributions.table) :].to_list()
        is_class = [kind_of(metric) is PredictionKind.CLASS for metric in metrics]
        self.distributions.grow(np.array(is_class, np.bool_))

    def _name(self, row: int) -> DistributionName:
        return DistributionName(*self.book.known.select(STREAM_NAMES).row(row))

    def accept(self, accepted: Sequence[AcceptNewNormal], clock_ms: int) -> list[DriftFinding]:
        """Let the streams that are meant learn anew; end their incidents."""
        found: list[DriftFinding] = []
        for event in accepted:
            rows = self.book.covered_by(event)
            opened = self.distributions.table["opened_rank"][rows] > 0
            found += [self._accepted(row, clock_ms) for row in rows[opened].tolist()]
            self.distributions.forget(rows)
        return found

    def _accepted(self, row: int, clock_ms: int) -> DriftFinding:
        """Return the end of an incident whose present is normal from now on."""
        record = self.distributions.table[row].copy()
        turn = DistributionTurn(
            stream=row, is_over=True, severity=str(RANKS[record["opened_rank"]]), block_ms=HOUR_MS,
            first_seen_ms=int(record["opened_ms"]), detected_at_ms=clock_ms,
            opened_ms=int(record["opened_ms"]), psi=0.0, log10_chance=0.0, points=0,
            points_ratio=1.0, effective_points=0.0, row=record, after=Cells(),
        )  # fmt: skip
        return replace(
            finding_of_turn(turn, self._name(row)), psi=None, reason="accepted_new_normal"
        )

    def to_bytes(self) -> bytes:
        """Write everything."""
        frames = {
            "known": self.book.known,
            "table": table_frame(self.distributions.table),
            "cells": self.distributions.cells.to_frame(),
        }
        return pack_state(LAYOUT_VERSION, frames, {})

    @classmethod
    def from_bytes(cls, packed: bytes, budget: Budget = USUAL) -> Self:
        """Read what `to_bytes` wrote.

        Raises:
            StateLayoutError: the bytes are of another version, or of other records.
        """
        state = unpack_state(packed)
        if state.version != LAYOUT_VERSION:
            raise StateLayoutError(f"distributions of version {state.version}")
        table = table_of(state.frames["table"], DISTRIBUTION_ROW)
        cells = Cells.from_frame(state.frames["cells"])
        policy = distribution_policy(budget, METRICS_PER_DEVICE)
        return cls(StreamBook(state.frames["known"]), Distributions(policy, table, cells))


def binned_windows(windows: pl.DataFrame, rows: Int64s) -> BinnedWindows:
    """Return windows with their cells.

    Args:
        windows: `COMPLETE_SCHEMA`, each with bins.
        rows: the stream of each.
    """
    lengths = windows["bins"].list.len().to_numpy().astype(np.int64)
    return BinnedWindows(
        stream=rows,
        start_ms=windows["window_start"].to_numpy(),
        window_ms=windows["window_ms"].to_numpy().astype(np.int64),
        window=np.repeat(np.arange(len(windows)), lengths),
        bins=windows["bins"].explode().to_numpy().astype(np.int64),
        points=windows["bin_counts"].explode().to_numpy().astype(np.int64),
    )
