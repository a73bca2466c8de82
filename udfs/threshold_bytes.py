"""A shard of threshold rules as versioned bytes, and back."""

from typing import Any

import numpy as np
import polars as pl

from udfs.alerts import Status
from udfs.partition_clocks import Rows
from udfs.state_bytes import PackedState, StateLayoutError, pack_state, unpack_state
from udfs.threshold_book import ActiveRule, RuleBook
from udfs.threshold_panes import CELL, Pane, histogram_of
from udfs.threshold_state import SERIES_ROW, SUBJECT_ROW, Numbering, ThresholdShard
from udfs.threshold_watch import Scan, Spell, Told, Watch

LAYOUT_VERSION = 1
PLACE = {"window_ms": pl.Int64, "start_ms": pl.Int64, "series": pl.Int64}


def shard_to_bytes(shard: ThresholdShard) -> bytes:
    """Write a shard."""
    meta = {
        "clock_ms": shard.clock_ms,
        "refused_count": shard.refused_count,
        "book": shard.book.to_values(),
        "labels": shard.labels.values,
        "topics": shard.topics.values,
        "watches": [
            (series, _watch_values(watch))
            for series, by_rule in shard.watches.items()
            for watch in by_rule.values()
        ],
    }
    frames = {
        "subjects": _columns(shard.subjects).insert_column(
            0, pl.Series("key", shard.subject_keys.values, pl.String)
        ),
        "series": _columns(shard.series),
        "cells": pl.concat([_cells(pane) for pane in shard.panes.values()] or [_cells(Pane(0, 0))]),
        "histograms": _histograms(shard),
        "waiting": shard.waiting,
    }
    return pack_state(LAYOUT_VERSION, frames, meta)


def shard_from_bytes(packed: bytes) -> ThresholdShard:
    """Read what `shard_to_bytes` wrote.

    Raises:
        StateLayoutError: the bytes are of no version that is known.
    """
    stored = unpack_state(packed)
    if stored.version != LAYOUT_VERSION:
        raise StateLayoutError(f"threshold state of version {stored.version}")
    meta, frames = stored.meta, stored.frames
    series = _rows(frames["series"], SERIES_ROW)
    shard = ThresholdShard(
        clock_ms=meta["clock_ms"],
        book=RuleBook.from_values(meta["book"]),
        subject_keys=Numbering(frames["subjects"]["key"].to_list()),
        subjects=_rows(frames["subjects"], SUBJECT_ROW),
        labels=Numbering((group, site) for group, site in meta["labels"]),
        topics=Numbering((tenant, per, metric) for tenant, per, metric in meta["topics"]),
        series=series,
        waiting=frames["waiting"],
        refused_count=meta["refused_count"],
    )
    shard.number_series()
    _read_panes(shard, stored)
    for code, values in meta["watches"]:
        watch = _watch(values, shard.book)
        shard.watches.setdefault(code, {})[watch.active.key] = watch
    return shard


def _columns(rows: Rows) -> pl.DataFrame:
    return pl.DataFrame({name: np.ascontiguousarray(rows[name]) for name in rows.dtype.names or ()})


def _rows(frame: pl.DataFrame, dtype: np.dtype[Any]) -> Rows:
    rows = np.zeros(len(frame), dtype)
    for name in dtype.names or ():
        rows[name] = frame[name].to_numpy()
    return rows


def _cells(pane: Pane) -> pl.DataFrame:
    place = pl.DataFrame({"series": pane.series}).select(
        pl.lit(pane.window_ms, pl.Int64).alias("window_ms"),
        pl.lit(pane.start_ms, pl.Int64).alias("start_ms"),
        pl.col("series").cast(pl.Int64),
    )
    return place.hstack(_columns(pane.cells))


def _histograms(shard: ThresholdShard) -> pl.DataFrame:
    places = [
        (pane.window_ms, pane.start_ms, series, part)
        for pane in shard.panes.values()
        for series, parts in pane.histograms.items()
        for part in parts
        if part
    ]
    # Lists are gathered from flat columns: one by one they took a third of the job's time.
    index = np.repeat(np.arange(len(places)), [len(part) for *_, part in places])
    bins = np.fromiter((each for *_, part in places for each in part), np.int32)
    counts = np.fromiter((each for *_, part in places for each in part.values()), np.int64)
    flat = pl.DataFrame({"index": index, "bins": bins, "counts": counts})
    lists = flat.group_by("index", maintain_order=True).agg("bins", "counts")
    place = pl.DataFrame([place[:3] for place in places], schema=PLACE, orient="row")
    return place.hstack(lists.drop("index"))


def _read_panes(shard: ThresholdShard, stored: PackedState) -> None:
    cells = stored.frames["cells"]
    for (window_ms, start_ms), part in cells.group_by(["window_ms", "start_ms"]):
        pane = shard.pane(int(str(window_ms)), int(str(start_ms)))
        pane.series = part["series"].to_numpy().astype(np.int64)
        pane.cells = _rows(part, CELL)
    for window_ms, start_ms, series, bins, counts in stored.frames["histograms"].iter_rows():
        shard.pane(window_ms, start_ms).add_histogram(series, histogram_of(bins, counts))


def _watch_values(watch: Watch) -> dict[str, Any]:
    scan, spell = watch.folded, watch.folded.open_spell
    return {
        "rule": watch.active.key,
        "window_ms": watch.window_ms,
        "figures": list(watch.figures.items()),
        "row": (scan.row_start_ms, scan.row_next_ms, scan.row_count),
        "open": None if spell is None else (spell.start_ms, spell.confirmed_ms, spell.value),
        "told": [tuple(told.__dict__.values()) for told in watch.told],
    }


def _watch(values: dict[str, Any], book: RuleBook) -> Watch:
    active: ActiveRule = book.rules[values["rule"][0], values["rule"][1]]
    spell = None if values["open"] is None else Spell(*values["open"])
    told = [
        Told(start, seq, Status(status), ends, severity, tuple(channels), is_notified=notified)
        for start, seq, status, ends, severity, channels, notified in values["told"]
    ]
    figures = {start: float(value) for start, value in values["figures"]}
    row_start_ms, row_next_ms, row_count = values["row"]
    folded = Scan(row_start_ms, row_next_ms, row_count, spell)
    return Watch(active, values["window_ms"], figures, folded, told)
