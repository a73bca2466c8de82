"""Window deltas in, complete windows out: each once, in an order that only the log decides.

    rows       r r   r r r   r |             r = rows, | = a step of the input clock (30 s)
    step                       | open windows: did their device go on to a later one, or did they
                               | end 10 min ago? They leave, all at once, in `CANONICAL_ORDER`.

All rows before a step count at once, so nothing depends on how the log was cut into blocks, nor on
which partition was read first. A window of a device is complete at the first step after a row of a
later window of that device; all are complete by the clock. A row of a window of a series that has
left with that window, or a later one, is late: it is counted and judged by nobody.
"""

from dataclasses import dataclass, field
from typing import Any

import polars as pl

from udfs.cell_sums import SUM_SCALE
from udfs.drift.complete_policy import CompletePolicy
from udfs.drift.open_windows import (
    BIN_SCHEMA,
    COUNT_MAX,
    COUNTS_SCHEMA,
    KIND_NAMES,
    KIND_SCHEMA,
    OPEN_SCHEMA,
    SERIES_SCHEMA,
    STEP,
    SUBJECT_NAMES,
    SUBJECT_SCHEMA,
    WINDOW,
    exploded_bins,
    numbered,
    summed,
    summed_bins,
)
from udfs.drift.window_rows import CANONICAL_ORDER, COMPLETE_SCHEMA, DRIFT_ROW_SCHEMA
from udfs.offline_policy import DAY_MS
from udfs.partition_clocks import UNKNOWN_MS
from udfs.windows import Scope

OPEN_MAX_COUNT = 2_000_000
"""Windows of one shard that are open or wait, 136 MB: beyond it, use more shards."""
FRESH_MAX_COUNT = 100_000
"""Rows that are kept as they came; beyond it they are added up, step or not."""
END_MS = pl.col("window_start") + pl.col("window_ms")
TIMED_SCHEMA = {**DRIFT_ROW_SCHEMA, "time_ms": pl.Int64}
"""Rows with the input clock at which they stand in the log."""


def _frame(schema: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(schema=schema)


@dataclass
class CompleteWindows:
    """The windows of one shard; a step changes it in place.

    Args:
        settled_ms: the last step.
        next_subject: number of the next new subject, as `next_kind` of the next new kind.
        fresh: `TIMED_SCHEMA`: what came since it was last looked at.
        late_count: windows of a step whose rows came after the window had left.
        refused_count: rows too old or too far ahead.
    """

    settled_ms: int = UNKNOWN_MS
    next_subject: int = 0
    next_kind: int = 0
    subjects: pl.DataFrame = field(default_factory=lambda: _frame(SUBJECT_SCHEMA))
    kinds: pl.DataFrame = field(default_factory=lambda: _frame(KIND_SCHEMA))
    series: pl.DataFrame = field(default_factory=lambda: _frame(SERIES_SCHEMA))
    open: pl.DataFrame = field(default_factory=lambda: _frame(OPEN_SCHEMA))
    bins: pl.DataFrame = field(default_factory=lambda: _frame(BIN_SCHEMA))
    waiting: pl.DataFrame = field(default_factory=lambda: _frame(STEP | OPEN_SCHEMA))
    waiting_bins: pl.DataFrame = field(default_factory=lambda: _frame(STEP | BIN_SCHEMA))
    fresh: list[pl.DataFrame] = field(default_factory=list)
    late_count: int = 0
    refused_count: int = 0

    def take(self, rows: pl.DataFrame) -> None:
        """Take rows in, to count at the first step after their time.

        Args:
            rows: `TIMED_SCHEMA`; none lies before the last step.
        """
        if len(rows):
            self.fresh.append(rows)

    def next_step(self, clock_ms: int, policy: CompletePolicy) -> int | None:
        """Return the next step at which there is something to do, None when it is not due.

        Args:
            clock_ms: below it nothing more can come.
            policy: of steps.
        """
        is_due = any(policy.step_after(_lowest(r, "time_ms")) <= clock_ms for r in self.fresh)
        if is_due or sum(map(len, self.fresh)) > FRESH_MAX_COUNT:
            self.absorb(policy)
        steps = [_lowest(self.waiting, "step_ms")] if len(self.waiting) else []
        if len(self.open):
            first_ms = int(self.open.select(END_MS.min()).item()) + policy.complete_after_ms
            steps.append(policy.step_after(first_ms - 1))
        # What should have passed already, as when the policy has changed, comes with the next step.
        steps = [max(step, policy.step_after(self.settled_ms)) for step in steps]
        return min((step for step in steps if step <= clock_ms), default=None)

    def absorb(self, policy: CompletePolicy) -> None:
        """Number what has come and add it to what waits."""
        if not self.fresh:
            return
        rows = pl.concat(self.fresh)
        self.fresh = []
        time_ms = pl.col("time_ms")
        is_taken = (
            pl.col("window_ms").is_between(1, DAY_MS)
            & (END_MS + policy.oldest_ms >= time_ms)
            & (pl.col("window_start") - policy.ahead_max_ms <= time_ms)
        )
        step_ms = (time_ms // policy.step_ms + 1) * policy.step_ms
        taken = rows.filter(is_taken).with_columns(step_ms=step_ms)
        self.refused_count += len(rows) - len(taken)
        self._wait(self._numbered(taken))

    def _numbered(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return rows with subject and kind as numbers."""
        named = rows.rename({"subject": "name"})
        subject, self.subjects = numbered(named, self.subjects, SUBJECT_NAMES, self.next_subject)
        kind, self.kinds = numbered(named, self.kinds, KIND_NAMES, self.next_kind)
        self.next_subject = _next(self.subjects, self.next_subject)
        self.next_kind = _next(self.kinds, self.next_kind)
        capped = [pl.col(name).clip(0, COUNT_MAX).cast(pl.UInt32) for name in COUNTS_SCHEMA]
        return named.hstack(subject).hstack(kind).with_columns(*capped)

    def _wait(self, rows: pl.DataFrame) -> None:
        key = ("step_ms", *WINDOW)
        self.waiting = summed([self.waiting, rows.select(*STEP, *OPEN_SCHEMA)], key)
        self.waiting = self.waiting.select(*STEP, *OPEN_SCHEMA)
        self.waiting_bins = summed_bins([self.waiting_bins, exploded_bins(rows)], key)
        assert len(self.open) + len(self.waiting) <= OPEN_MAX_COUNT, "raise shard_count"

    def settle(self, step_ms: int, policy: CompletePolicy) -> pl.DataFrame:
        """Let one step pass and return the windows that are complete then.

        Args:
            step_ms: as `next_step` returned it, or an earlier one.
            policy: when a window is complete.

        Returns:
            `COMPLETE_SCHEMA` in `CANONICAL_ORDER`.
        """
        assert step_ms > self.settled_ms, "the input clock never goes back"
        self.settled_ms = step_ms
        self._open_due(step_ms)
        is_complete = self._is_complete(step_ms - policy.complete_after_ms, policy.is_early)
        done, self.open = self.open.filter(is_complete), self.open.filter(~is_complete)
        if done.is_empty():
            return pl.DataFrame(schema=COMPLETE_SCHEMA)
        found = self._named(done, self.bins.join(done, on=list(WINDOW), how="semi"))
        self.bins = self.bins.join(done, on=list(WINDOW), how="anti")
        self._let_go(done, step_ms - policy.forgotten_after_ms)
        self._forget(step_ms - policy.forgotten_after_ms)
        return found

    def label_of(self, tenant_id: str, scope: str, name: str) -> tuple[str, str]:
        """Return deployment group and model version of a subject's newest window."""
        names = zip(SUBJECT_NAMES, (tenant_id, scope, name), strict=True)
        found = self.subjects.filter(*(pl.col(column) == value for column, value in names))
        rows = found.select("deployment_group", "model_version").fill_null("").rows()
        return rows[0] if rows else ("", "")

    def _open_due(self, step_ms: int) -> None:
        """Add the rows that count at a step to their windows; those of windows gone are late."""
        is_due = pl.col("step_ms") <= step_ms
        due = self.waiting.filter(is_due).drop("step_ms")
        if due.is_empty():
            return
        due_bins = self.waiting_bins.filter(is_due).drop("step_ms")
        self.waiting = self.waiting.filter(~is_due)
        self.waiting_bins = self.waiting_bins.filter(~is_due)
        self._note_progress(due)
        left_ms = pl.col("left_ms").fill_null(UNKNOWN_MS - 1)
        late = due.join(self.series, on=["subject", "kind"], how="left").filter(
            pl.col("window_start") <= left_ms
        )
        self.late_count += len(late)
        kept = due.join(late, on=list(WINDOW), how="anti") if len(late) else due
        kept_bins = due_bins.join(late, on=list(WINDOW), how="anti") if len(late) else due_bins
        self.open = summed([self.open, kept.select(*OPEN_SCHEMA)], WINDOW).select(*OPEN_SCHEMA)
        self.bins = summed_bins([self.bins, kept_bins], WINDOW)

    def _note_progress(self, due: pl.DataFrame) -> None:
        """Take the newest window of each subject, and its versions."""
        newest = pl.col("window_start") == pl.col("window_start").max().over("subject")
        said = due.filter(newest).select("subject", "kind", "window_start").unique()
        fresh = said.join(self.kinds, on="kind").select(
            "subject", pl.col("window_start").alias("progress_ms"), *KIND_NAMES[1:]
        )
        columns = ("subject", "progress_ms", *KIND_NAMES[1:])
        both = pl.concat([self.subjects.select(columns).drop_nulls("progress_ms"), fresh])
        last = both.sort(columns).unique("subject", keep="last")
        self.subjects = self.subjects.select("subject", *SUBJECT_NAMES).join(
            last, on="subject", how="left"
        )

    def _is_complete(self, over_ms: int, is_early: bool) -> pl.Series:  # noqa: FBT001 - a setting
        """Say of each open window whether its device went on, or it ended by an instant."""
        if not is_early:
            return self.open.select(END_MS.le(over_ms)).to_series()
        progress = self.subjects.select("subject", "scope", "progress_ms")
        is_device = pl.col("scope") == Scope.DEVICE.value
        has_gone_on = is_device & (pl.col("window_start") < pl.col("progress_ms"))
        of_subject = self.open.join(progress, on="subject", how="left", maintain_order="left")
        return of_subject.select(has_gone_on | END_MS.le(over_ms)).to_series()

    def _let_go(self, done: pl.DataFrame, forgotten_ms: int) -> None:
        """Remember of each series which window left last."""
        left = done.select("subject", "kind", pl.col("window_start").alias("left_ms"))
        known = pl.concat([self.series, left]).filter(pl.col("left_ms") >= forgotten_ms)
        self.series = known.group_by("subject", "kind").agg(pl.col("left_ms").max())

    def _forget(self, forgotten_ms: int) -> None:
        """Forget subjects and kinds of which nothing is kept."""
        used = pl.concat(
            [frame.select("subject", "kind") for frame in (self.series, self.open, self.waiting)]
        ).unique()
        is_old = pl.col("progress_ms").fill_null(forgotten_ms) < forgotten_ms
        if len(self.subjects.filter(is_old)):
            named = self.subjects.join(used, on="subject", how="semi")["subject"]
            self.subjects = self.subjects.filter(~is_old | pl.col("subject").is_in(named.implode()))
        if len(self.kinds) > 2 * used["kind"].n_unique():
            self.kinds = self.kinds.join(used, on="kind", how="semi")

    def _named(self, done: pl.DataFrame, bins: pl.DataFrame) -> pl.DataFrame:
        lists = bins.sort("bin").group_by(WINDOW, maintain_order=True).agg("bin", "points")
        names = self.subjects.select("subject", *SUBJECT_NAMES)
        no_bins = pl.lit([], pl.List(pl.Int64))
        mean = pl.Series("mean", _means(done), pl.Float64)
        return (
            done.with_columns(mean)
            .join(lists, on=list(WINDOW), how="left")
            .join(self.kinds, on="kind")
            .join(names, on="subject")
            .with_columns(
                pl.col("name").alias("subject"),
                pl.col("bin").fill_null(no_bins).alias("bins"),
                pl.col("points").fill_null(no_bins).alias("bin_counts"),
            )
            .select(*COMPLETE_SCHEMA)
            .cast(COMPLETE_SCHEMA)  # type: ignore[arg-type]  # a schema as all others
            .sort(CANONICAL_ORDER)
        )


def _means(done: pl.DataFrame) -> list[float]:
    """Return the mean of each window: exact, then rounded once; NaN without a finite point."""
    scale = int(SUM_SCALE)
    found = []
    columns = (done[name].to_list() for name in ("sum_fixed", "count", "min", "max"))
    for total, count, low, high in zip(*columns, strict=True):
        # The sum's last binary place may put the mean of equal values beyond them.
        found.append(min(max(total / (count * scale), low), high) if count > 0 else float("nan"))
    return found


def _lowest(rows: pl.DataFrame, column: str) -> int:
    lowest = rows[column].min()
    assert isinstance(lowest, int)
    return lowest


def _next(known: pl.DataFrame, next_number: int) -> int:
    highest = known[known.columns[0]].max()
    return max(next_number, 0 if highest is None else int(str(highest)) + 1)
