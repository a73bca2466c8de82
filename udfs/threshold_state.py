"""What a shard of threshold rules remembers, and as what bytes.

    subjects   one row a device or group of a tenant that has a rule: how far it has reported
    series     one row a (subject, metric) that an enabled rule names: what is settled for good
    panes      windows that may still change (udfs/threshold_panes.py)
    watches    one a (rule, series) in which something is or was amiss (udfs/threshold_watch.py)

A bound: 29 bytes and the key a subject; 24 bytes a series; 57 bytes a kept window of a series, and
12 bytes a bin of its histogram where a rule asks for a quantile. Kept are windows that ended less
than 30 min ago, or changed in the last 30 min: 7 of 5 min of a device that reports on time, so 423
bytes a series. A watch exists where a kept window breaks its rule, or an episode may still change.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from udfs.partition_clocks import UNKNOWN_MS, Bools, Int64s, Rows
from udfs.threshold_book import RuleBook, RuleKey, Topic
from udfs.threshold_events import Subject
from udfs.threshold_panes import Pane
from udfs.threshold_rows import no_rows
from udfs.threshold_watch import Watch

SUBJECT_ROW = np.dtype([("progress_ms", "<i8"), ("last_ms", "<i8"), ("label", "<i4")])
SERIES_ROW = np.dtype([("subject", "<i8"), ("topic", "<i8"), ("sealed_ms", "<i8")])
NEVER_MS = np.iinfo(np.int64).max
BLANK = np.array((UNKNOWN_MS, NEVER_MS, -1), SUBJECT_ROW)
"""A subject of which nothing was taken yet."""
TOPIC_BITS = 24
SERIES_MAX_COUNT = 5_000_000
"""Of one shard: beyond it, use more shards."""

K = TypeVar("K")
Label = tuple[str, str]
"""Deployment group and site, as of the newest window."""


class Numbering(Generic[K]):
    """Things by number, in the order in which they were first met.

    >>> numbering = Numbering(["a"])
    >>> numbering.codes_for(["b", "a", "b"]).tolist(), numbering.values
    ([1, 0, 1], ['a', 'b'])
    """

    def __init__(self, values: Iterable[K] = ()) -> None:
        self.values = list(values)
        self._code_of = {value: code for code, value in enumerate(self.values)}

    def __len__(self) -> int:
        return len(self.values)

    def codes_for(self, values: Sequence[K]) -> Int64s:
        """Return the number of each thing; new ones get the next numbers."""
        codes = list(map(self._code_of.get, values))
        if None in codes:
            for value in values:
                if value not in self._code_of:
                    self._code_of[value] = len(self.values)
                    self.values.append(value)
            codes = list(map(self._code_of.get, values))
        return np.array(codes, dtype=np.int64)


@dataclass
class ThresholdShard:
    """The state of one shard; a step changes it in place."""

    clock_ms: int = UNKNOWN_MS
    book: RuleBook = field(default_factory=RuleBook)
    subject_keys: Numbering[str] = field(default_factory=Numbering)
    subjects: Rows = field(default_factory=lambda: np.zeros(0, SUBJECT_ROW))
    labels: Numbering[Label] = field(default_factory=Numbering)
    topics: Numbering[Topic] = field(default_factory=Numbering)
    series_keys: Numbering[int] = field(default_factory=Numbering)
    series: Rows = field(default_factory=lambda: np.zeros(0, SERIES_ROW))
    panes: dict[tuple[int, int], Pane] = field(default_factory=dict)
    watches: dict[int, dict[RuleKey, Watch]] = field(default_factory=dict)
    waiting: pl.DataFrame = field(default_factory=no_rows)
    refused_count: int = 0
    """Deltas of windows that are settled for good, or of over 6 days ago."""

    def subject_rows(self, keys: list[str]) -> Int64s:
        """Return the row of each subject; new ones get one."""
        codes = self.subject_keys.codes_for(keys)
        missing = len(self.subject_keys) - len(self.subjects)
        if missing:
            self.subjects = np.concatenate([self.subjects, np.full(missing, BLANK)])
        return codes

    def series_rows(self, subject: Int64s, topic: Int64s) -> Int64s:
        """Return the row of each series; new ones get one."""
        codes = self.series_keys.codes_for(((subject << TOPIC_BITS) | topic).tolist())
        missing = len(self.series_keys) - len(self.series)
        if missing:
            fresh = np.zeros(missing, SERIES_ROW)
            added = np.array(self.series_keys.values[-missing:], np.int64)
            fresh["subject"], fresh["topic"] = added >> TOPIC_BITS, added % (1 << TOPIC_BITS)
            fresh["sealed_ms"] = UNKNOWN_MS
            self.series = np.concatenate([self.series, fresh])
            assert len(self.series) <= SERIES_MAX_COUNT, "raise shard_count"
        return codes

    def subject_of(self, series: int) -> Subject:
        """Return whom a series is about."""
        code = int(self.series["subject"][series])
        tenant_id, _, name = self.subject_keys.values[code].partition("/")
        return Subject(tenant_id, name, *self.labels.values[int(self.subjects["label"][code])])

    def pane(self, window_ms: int, start_ms: int) -> Pane:
        """Return the pane of a window; a new one is empty."""
        key = window_ms, start_ms
        if key not in self.panes:
            self.panes[key] = Pane(start_ms, window_ms)
        return self.panes[key]

    def blank(self, is_gone: Bools) -> None:
        """Forget subjects, but not their numbers, which the block at hand still uses."""
        self.subjects[is_gone] = BLANK
        self.series["sealed_ms"][is_gone[self.series["subject"]]] = UNKNOWN_MS

    def drop_blank(self) -> None:
        """Drop the rows of subjects that were forgotten."""
        is_kept = self.subjects["last_ms"] != NEVER_MS
        if not is_kept.all():
            self.keep(is_kept, np.ones(len(self.series), dtype=bool))

    def keep(self, is_kept: Bools, is_series_kept: Bools) -> None:
        """Forget all other subjects and series, and number the rest anew."""
        is_series_kept = is_series_kept & is_kept[self.series["subject"]]
        subject_number, series_number = _numbers(is_kept), _numbers(is_series_kept)
        for key, pane in list(self.panes.items()):
            pane.keep(is_series_kept[pane.series])
            pane.series = series_number[pane.series]
            pane.histograms = {
                int(series_number[code]): parts for code, parts in pane.histograms.items()
            }
            if not len(pane.series):
                del self.panes[key]
        self.watches = {
            int(series_number[code]): by_rule
            for code, by_rule in self.watches.items()
            if is_series_kept[code]
        }
        kept = zip(self.subject_keys.values, is_kept.tolist(), strict=True)
        self.subject_keys = Numbering(key for key, is_wanted in kept if is_wanted)
        self.subjects = self.subjects[is_kept]
        self._renumber_series(is_series_kept, subject_number)

    def _renumber_series(self, is_kept: Bools, subject_number: Int64s) -> None:
        self.series = self.series[is_kept]
        self.series["subject"] = subject_number[self.series["subject"]]
        self.number_series()

    def number_series(self) -> None:
        """Number the series as they stand."""
        keys = (self.series["subject"] << TOPIC_BITS) | self.series["topic"]
        self.series_keys = Numbering(keys.tolist())


def _numbers(is_kept: NDArray[np.bool_]) -> Int64s:
    """Return the new number of each row; of one that goes -1."""
    return np.where(is_kept, np.cumsum(is_kept) - 1, -1).astype(np.int64)
