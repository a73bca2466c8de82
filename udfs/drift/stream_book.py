"""Which stream is which: names to rows of the detectors' tables, and back."""

from typing import Any

import numpy as np
import polars as pl

from schemas.control import AcceptNewNormal
from udfs.drift.stream_findings import StreamName
from udfs.partition_clocks import Bools, Int64s
from udfs.windows import Scope

STREAM_NAMES = ("tenant_id", "scope", "subject", "metric", "deployment_group", "model_version")
KNOWN_SCHEMA: dict[str, Any] = {
    **dict.fromkeys(STREAM_NAMES, pl.String),
    "has_peers": pl.Boolean,  # whether it is compared with its group, decided by its first window
}
STREAMS_MAX_COUNT = 500_000
"""Of one shard: beyond it, use more shards."""


class StreamBook:
    """The streams of one kind.

    Args:
        known: `KNOWN_SCHEMA`, a row a stream, in the order of their rows in the tables.
    """

    def __init__(self, known: pl.DataFrame | None = None) -> None:
        self.known = pl.DataFrame(schema=KNOWN_SCHEMA) if known is None else known
        self.names: list[StreamName] = []
        self._name_all()

    def __len__(self) -> int:
        return len(self.known)

    def _name_all(self) -> None:
        fresh = self.known[len(self.names) :]
        self.names += [StreamName(*row) for row in fresh.select(STREAM_NAMES[:4]).iter_rows()]

    def streams_of(self, windows: pl.DataFrame, has_peers: Bools) -> tuple[Int64s, Bools]:
        """Return the stream of each window, and whether it is compared with its group.

        Args:
            windows: `COMPLETE_SCHEMA`; streams that are new get the next rows, in their order.
            has_peers: whether there are peers at each window.
        """
        names = windows.select(*STREAM_NAMES)
        found = self._rows_of(names)
        if found["row"].null_count():
            fresh = names.with_columns(has_peers=pl.Series(has_peers)).filter(
                found["row"].is_null()
            )
            self._add(fresh.unique(STREAM_NAMES, keep="first", maintain_order=True))
            found = self._rows_of(names)
        return found["row"].to_numpy().astype(np.int64), found["has_peers"].to_numpy()

    def _rows_of(self, names: pl.DataFrame) -> pl.DataFrame:
        """Return row and peers of each window's stream, null where it is new."""
        numbered = self.known.with_row_index("row")
        return names.join(numbered, on=STREAM_NAMES, how="left", maintain_order="left")

    def _add(self, fresh: pl.DataFrame) -> None:
        self.known = pl.concat([self.known, fresh])
        assert len(self.known) <= STREAMS_MAX_COUNT, "raise shard_count"
        self._name_all()

    def covered_by(self, event: AcceptNewNormal) -> Int64s:
        """Return the streams that an operator means: of devices in the scope, and of its group."""
        is_metric = self.known["metric"] == event.metric
        rows = self.known.with_row_index("row").filter(is_metric)
        scope = event.scope
        found = [
            row["row"]
            for row in rows.iter_rows(named=True)
            if scope.covers(
                row["tenant_id"],
                row["subject"] if row["scope"] == Scope.DEVICE.value else "",
                row["subject"] if row["scope"] == Scope.GROUP.value else row["deployment_group"],
                "",
            )
        ]
        return np.array(found, np.int64)
