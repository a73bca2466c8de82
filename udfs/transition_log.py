"""Collects the transitions of one step of a shard, in order."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.topics import CLOCK_TENANT_ID
from udfs.device_columns import DeviceColumns, Flag, Stage, has_flag, is_monitored, is_open
from udfs.device_labels import LabelCodes
from udfs.flapping import Flaps, is_flapping
from udfs.known_logs import NO_LOG, KnownLogs
from udfs.offline_policy import OfflinePolicy
from udfs.partition_clocks import Int64s, Rows
from udfs.transitions import (
    ENDS,
    FLAPPING_KINDS,
    INFO_KINDS,
    OPEN_KINDS,
    TRANSITION_SCHEMA,
    Kind,
    Part,
    no_transitions,
    part_frame,
)


@dataclass
class TransitionLog:
    """Collects the transitions of one step, in order, and finds who flaps by them."""

    parts: list[Part] = field(default_factory=list)
    spans: list[dict[str, Any]] = field(default_factory=list)
    flaps: Flaps = field(default_factory=Flaps.empty)

    def add(
        self,
        kind: Kind,
        index: Int64s,
        change: tuple[Rows, Rows],
        time_ms: Int64s,
        ends_ms: Int64s | None = None,
    ) -> None:
        """Note one change of some devices.

        Args:
            kind: what happened.
            index: row numbers of the devices, shape (n,).
            change: their rows before and after, shape (n,) each.
            time_ms: the exact instants.
            ends_ms: when the episode ended, for kinds that end one.
        """
        if not len(index):
            return
        self._append(kind, index, change, time_ms, ends_ms)
        before, after = change
        if kind is Kind.WARNING:
            begins = self.flaps.begin_episode(index, time_ms, before["extra_seq"] > 0)
            self._tell_flapping(index[begins], after[begins], None)
        elif kind is Kind.CRITICAL:
            self.flaps.escalate(index)
        elif kind in (Kind.RESOLVED, Kind.RULE_CHANGED):
            is_excused = has_flag(before, Flag.HIDDEN) | (kind is Kind.RULE_CHANGED)
            begins = self.flaps.end_episode(index, time_ms, is_excused)
            self._tell_flapping(index[begins], after[begins], None)
        elif kind is Kind.REMOVED:
            gone = is_flapping(self.flaps.of(index))
            was = before[gone], before[gone]
            self._append(Kind.CALM_REMOVED, index[gone], was, time_ms[gone], time_ms[gone])
            self.flaps.forget(index)

    def _tell_flapping(self, index: Int64s, rows: Rows, told_ms: Int64s | None) -> None:
        """Note that devices flap: when they begin to, or told once more at an instant."""
        time_ms = self.flaps.of(index)["since_ms"] if told_ms is None else told_ms
        self._append(Kind.FLAPPING, index, (rows, rows), time_ms)

    def tell_unmuted(self, index: Int64s, rows: Rows, told_ms: Int64s) -> None:
        """Note that those of some devices flap whose mute is over (C13)."""
        chosen = is_flapping(self.flaps.of(index))
        self.flaps.tell_again(index[chosen])
        self._tell_flapping(index[chosen], rows[chosen], told_ms[chosen])

    def tell_skewed(self, index: Int64s, rows: Rows, time_ms: Int64s, skew_ms: Int64s) -> None:
        """Note that clocks of devices are wrong, and by how much they are ahead."""
        if len(index):
            self._append(Kind.SKEWED, index, (rows, rows), time_ms)
            self.parts[-1] = replace(self.parts[-1], skew_ms=skew_ms)

    def tell_calm(self, index: Int64s, change: tuple[Rows, Rows], time_ms: Int64s) -> None:
        """Note that devices flap no longer, and of those that are silent, that they are (C9)."""
        before, after = change
        self._append(Kind.CALM, index, (before, before), time_ms, time_ms)
        silent = is_open(before)
        self.flaps.calm_down(index, time_ms, silent, has_flag(before, Flag.HIDDEN))
        final = before[silent], after[silent]
        self._append(Kind.FLAPPING_ENDED, index[silent], final, time_ms[silent])

    def _append(
        self,
        kind: Kind,
        index: Int64s,
        change: tuple[Rows, Rows],
        time_ms: Int64s,
        ends_ms: Int64s | None = None,
    ) -> None:
        if not len(index):
            return
        before, after = change
        flaps = self.flaps.of(index)
        has_ended = kind in ENDS
        counts = is_monitored(before), is_monitored(after)
        offline = counts[0] & is_open(before), counts[1] & is_open(after)
        self.parts.append(
            Part(
                kind,
                index,
                (before if has_ended else after).copy(),
                flaps,
                after["partition"].astype(np.int32),
                before["partition"].astype(np.int32),
                time_ms,
                ends_ms,
                _sequence_numbers(kind, before, flaps),
                counts[1].astype(np.int8) - counts[0],
                offline[1].astype(np.int8) - offline[0],
                counts[1] | counts[0],
                # Of what is gone nothing is left afterwards.
                LabelCodes.of(before if kind is Kind.REMOVED else after),
                LabelCodes.of(before),
            )
        )

    def add_span(self, kind: Kind, partition: int, span: dict[str, int | None]) -> None:
        """Note that a partition (by index) was met, went silent, speaks again, or lost records."""
        row = _bare_row(kind, stage=Stage.CRITICAL, partition=partition, left_partition=partition)
        seq = {Kind.MET: 0, Kind.HEARD: 2}.get(kind, 1)
        self.spans.append(row | {"tenant_id": CLOCK_TENANT_ID, "seq": seq, **span})

    def add_control(self, told_ms: int, text: str) -> None:
        """Note what an operator said, for the fleet stage.

        Args:
            told_ms: from when it acts there.
            text: the event's JSON.
        """
        row = _bare_row(Kind.CONTROL, time_ms=told_ms, input_clock_ms=told_ms, reason=text)
        self.spans.append(row | {"tenant_id": "", "device_id": ""})

    def to_frame(
        self, devices: DeviceColumns, logs: KnownLogs, clocks_ms: Int64s, policy: OfflinePolicy
    ) -> pl.DataFrame:
        """Return all transitions as columns of `TRANSITION_SCHEMA`.

        Args:
            devices: for ids and labels.
            logs: for partitions as all shards name them.
            clocks_ms: input clocks by partition; the last one is the homeless clock.
            policy: for thresholds.
        """
        frames = [part_frame(part, devices, clocks_ms, policy) for part in self.parts]
        if self.spans:
            frames.append(pl.DataFrame(self._named(logs), schema=TRANSITION_SCHEMA))
        if not frames:
            return no_transitions()
        found = frames[0] if len(frames) == 1 else pl.concat(frames)
        return found.with_columns(
            pl.Series(name, logs.codes_at(found[name].to_numpy()))
            for name in ("partition", "left_partition")
        )

    def _named(self, logs: KnownLogs) -> list[dict[str, Any]]:
        """Return the spans with the names of their partitions."""
        return [
            span | {"device_id": logs.names[span["partition"]]}
            if span["tenant_id"] == CLOCK_TENANT_ID
            else span
            for span in self.spans
        ]


def _bare_row(kind: Kind, **fields: Any) -> dict[str, Any]:
    """Return a row that counts no device."""
    row: dict[str, Any] = dict.fromkeys(TRANSITION_SCHEMA)
    row.update(kind=kind.value, seq=0, stage=Stage.NONE, partition=NO_LOG, left_partition=NO_LOG)
    row.update(monitored_delta=0, offline_delta=0, is_counted=False, blind_ms=0)
    return row | {"is_hushed": False, "is_in_maintenance": False, **fields}


def _sequence_numbers(kind: Kind, before: Rows, flaps: Rows) -> NDArray[Any]:
    """Return the number of the transition in its episode.

    Warning 1, critical 2, then the end; what operators and flapping add in between moves the rest.
    """
    if kind in FLAPPING_KINDS:
        return flaps["seq"].astype(np.int32) + int(kind is not Kind.FLAPPING)
    if kind is Kind.WARNING:
        return 1 + before["extra_seq"].astype(np.int32)
    if kind is Kind.CRITICAL:
        return 2 + before["extra_seq"].astype(np.int32)
    if kind in (*ENDS, *OPEN_KINDS):
        last_seq = before["stage"].astype(np.int32) + before["extra_seq"]
        return np.where(is_open(before), last_seq + 1, 0)
    return np.full(len(before), int(kind in INFO_KINDS), dtype=np.int32)
