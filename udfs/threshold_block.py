"""A block of rows as arrays by message, numbered as the shard numbers subjects and series."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl

from udfs.partition_clocks import Bools, Int64s, Rows
from udfs.runs import ranks_within
from udfs.threshold_book import Topic
from udfs.threshold_panes import Pane, histogram_of
from udfs.threshold_rows import cells_of, message_starts, subject_keys
from udfs.threshold_state import ThresholdShard

UNNAMED = -1


@dataclass(frozen=True)
class Message:
    """One message: when it was appended, UTC ms, and which rows are its."""

    at_ms: int
    rows: slice


@dataclass(frozen=True)
class Segment:
    """Rows of watched tenants in the order of the log, each array of shape (n,).

    Args:
        subject: row of `ThresholdShard.subjects`.
        series: row of `ThresholdShard.series`; `UNNAMED` where no rule names the metric, or the
            delta has no points.
        label: number of (group, site).
        cells: what each row adds.
        bins: bins and counts, null where no rule asks for a quantile.
    """

    subject: Int64s
    series: Int64s
    start_ms: Int64s
    window_ms: Int64s
    label: Int64s
    at_ms: Int64s
    offset: Int64s
    cells: Rows
    bins: pl.DataFrame
    has_quantile: Bools

    @classmethod
    def of(
        cls, state: ThresholdShard, rows: pl.DataFrame, codes: Mapping[Topic, tuple[int, bool]]
    ) -> "Segment":
        """Number rows.

        Args:
            state: of the shard; new subjects and series get rows.
            rows: `ROW_SCHEMA`, in the order of the log.
            codes: of what enabled rules name: the topic's number, and whether a rule asks for a
                quantile.
        """
        rows = _with_topics(rows, codes)
        subject = state.subject_rows(subject_keys(rows))
        is_named = rows["topic"].to_numpy() != UNNAMED
        is_named &= rows["count"].to_numpy() > 0
        series = np.full(len(rows), UNNAMED, np.int64)
        topic = rows["topic"].to_numpy().astype(np.int64)
        series[is_named] = state.series_rows(subject[is_named], topic[is_named])
        pairs = rows.select("deployment_group", "site").rows()
        return cls(
            subject,
            series,
            rows["window_start"].to_numpy(),
            rows["window_ms"].to_numpy().astype(np.int64),
            state.labels.codes_for(pairs),
            rows["append_time_ms"].to_numpy(),
            rows["offset"].to_numpy(),
            cells_of(rows),
            rows.select("bins", "bin_counts"),
            rows["has_quantile"].to_numpy(),
        )

    def messages(self) -> Iterator[Message]:
        """Return the messages in order."""
        starts = message_starts(self.at_ms, self.offset).tolist()
        for start, stop in pairwise([*starts, len(self.at_ms)]):
            yield Message(int(self.at_ms[start]), slice(start, stop))

    def note_labels(self, state: ThresholdShard, message: Message) -> set[int]:
        """Take the group and site of each subject's newest window; of two the greater by name.

        Returns:
            The subjects that have others than before.
        """
        subject, label = self.subject[message.rows], self.label[message.rows]
        start_ms = self.start_ms[message.rows]
        known = state.subjects[subject]
        is_news = (start_ms >= known["progress_ms"]) & (label != known["label"])
        newest: dict[int, tuple[int, tuple[str, str]]] = {}
        if not is_news.any():
            return set()
        names = state.labels.values
        for code in np.unique(subject[is_news]).tolist():
            row = state.subjects[code]
            if row["label"] >= 0:
                newest[code] = int(row["progress_ms"]), names[int(row["label"])]
        changed = np.isin(subject, subject[is_news])
        said = zip(*(each[changed].tolist() for each in (subject, start_ms, label)), strict=True)
        for code, at_ms, number in said:
            found = at_ms, names[number]
            newest[code] = max(newest.get(code, found), found)
        before = {code: int(state.subjects["label"][code]) for code in newest}
        values = [label for _, label in newest.values()]
        state.subjects["label"][list(newest)] = state.labels.codes_for(values)
        return {
            code for code, was in before.items() if was not in (-1, state.subjects["label"][code])
        }

    def add_to_panes(
        self, state: ThresholdShard, message: Message, oldest_ms: int
    ) -> list[tuple[Pane, Int64s]]:
        """Add the rows of a message to their windows.

        Args:
            state: of the shard.
            message: of this segment.
            oldest_ms: windows that ended before it are refused, as are settled ones.

        Returns:
            The panes touched, and the places of the windows in them.
        """
        rows = np.arange(message.rows.start, message.rows.stop)
        rows = rows[self.series[rows] != UNNAMED]
        start_ms, end_ms = self.start_ms[rows], self.start_ms[rows] + self.window_ms[rows]
        is_open = (start_ms > state.series["sealed_ms"][self.series[rows]]) & (end_ms >= oldest_ms)
        state.refused_count += int((~is_open).sum())
        rows = rows[is_open]
        order = np.lexsort((self.series[rows], self.start_ms[rows], self.window_ms[rows]))
        rows = rows[order]
        kinds = np.stack([self.window_ms[rows], self.start_ms[rows]], axis=1)
        is_first = np.ones(len(rows), dtype=bool)
        is_first[1:] = (kinds[1:] != kinds[:-1]).any(axis=1)
        starts = np.flatnonzero(is_first)
        parts = np.split(rows, starts[1:]) if len(rows) else []
        return [self._add_to_pane(state, part) for part in parts]

    def _add_to_pane(self, state: ThresholdShard, rows: Int64s) -> tuple[Pane, Int64s]:
        """Add rows of one pane, sorted by series."""
        pane = state.pane(int(self.window_ms[rows[0]]), int(self.start_ms[rows[0]]))
        # A window has several rows where its subject has several models or groups.
        rank = ranks_within(self.series[rows])
        for layer in range(int(rank.max()) + 1):
            chosen = rows[rank == layer]
            pane.add(self.series[chosen], self.cells[chosen])
        asked = rows[self.has_quantile[rows]]
        if len(asked):
            lists = (column.to_list() for column in self.bins[asked])
            for row, bins, counts in zip(asked.tolist(), *lists, strict=True):
                pane.add_histogram(int(self.series[row]), histogram_of(bins, counts))
        places, _ = pane.places_of(self.series[rows[rank == 0]])
        return pane, places


def _with_topics(rows: pl.DataFrame, codes: Mapping[Topic, tuple[int, bool]]) -> pl.DataFrame:
    """Add the topic of each row; drop rows of whom no rule looks at."""
    columns = ("tenant_id", "scope", "metric", "topic", "has_quantile")
    named = pl.DataFrame(
        [(*topic, *code) for topic, code in codes.items()],
        schema=dict(
            zip(columns, (pl.String, pl.String, pl.String, pl.Int64, pl.Boolean), strict=True)
        ),
        orient="row",
    )
    watched = named.select("tenant_id", "scope").unique()
    return (
        rows.join(watched, on=["tenant_id", "scope"], how="semi", maintain_order="left")
        .join(named, on=["tenant_id", "scope", "metric"], how="left", maintain_order="left")
        .with_columns(
            pl.col("topic").fill_null(UNNAMED), pl.col("has_quantile").fill_null(value=False)
        )
    )
