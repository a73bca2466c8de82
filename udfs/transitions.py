"""What a shard tells the fleet stage: one row for each change of a device, with its exact instant.

Rows of one device come in the order in which they took place. `monitored_delta` and
`offline_delta` say what the row does to N and M, so the fleet stage only adds.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.topics import CLOCK_TENANT_ID
from udfs.device_columns import DeviceColumns, Flag, Stage, has_flag, is_monitored, is_open
from udfs.device_labels import LabelCodes, labels_of, left_labels
from udfs.known_logs import NO_LOG, KnownLogs
from udfs.offline_policy import OfflinePolicy
from udfs.partition_clocks import Int64s, Rows


class Kind(StrEnum):
    """What happened."""

    SEEN = "seen"  # first contact ever
    WARNING = "warning"
    CRITICAL = "critical"
    RESOLVED = "resolved"
    REMOVED = "removed"  # decommissioned
    REGISTERED = "registered"  # the registry changed something that counts
    UNREGISTERED = "unregistered"  # a device that the registry does not know sends
    OVERDUE = "commissioning_overdue"
    MET = "met"  # a partition is read for the first time
    BLIND = "blind"  # a partition went silent
    HEARD = "heard"  # a partition speaks again
    GAP = "gap"  # records of a partition were lost
    MUTE_ENDED = "mute_ended"  # an open episode whose mute is over
    MOVED = "moved"  # a device is heard on another partition, or has another group or site
    RULE_CHANGED = "rule_changed"  # a rule ends an episode: the silence is allowed, for now
    CONTROL = "control"  # what operators said; its JSON is the reason


class Cause(StrEnum):
    """Why, where the kind alone does not say it."""

    NOT_SEEN_SINCE_START = "not_seen_since_start"
    DECOMMISSIONED = "decommissioned"
    NO_MONITORED_DEVICES = "no_monitored_devices"
    MUTE_ENDED = "mute_ended"
    RULE_CHANGED = "rule_changed"


ENDS = (Kind.RESOLVED, Kind.REMOVED, Kind.RULE_CHANGED)
"""What ends an episode, or takes its alert back."""
REASON_OF = {
    Kind.REMOVED: Cause.DECOMMISSIONED,
    Kind.MUTE_ENDED: Cause.MUTE_ENDED,
    Kind.RULE_CHANGED: Cause.RULE_CHANGED,
}

TRANSITION_SCHEMA: dict[str, Any] = {
    "tenant_id": pl.String,
    "device_id": pl.String,  # of a partition's row: the partition's number
    "kind": pl.String,
    "time_ms": pl.Int64,
    "start_ms": pl.Int64,  # of the silence: what names the episode
    "starts_ms": pl.Int64,
    "escalated_ms": pl.Int64,
    "ends_ms": pl.Int64,
    "last_seen_ms": pl.Int64,
    "seq": pl.Int32,  # 0 = a change without an event
    "stage": pl.Int8,  # of the episode; of a resolved one, the stage it had
    "partition": pl.Int64,  # code, see `known_logs`
    "left_partition": pl.Int64,  # before; differs where the device moved
    "reason": pl.String,
    "blind_ms": pl.Int64,
    "threshold_ms": pl.Int64,
    "input_clock_ms": pl.Int64,
    "monitored_delta": pl.Int8,
    "offline_delta": pl.Int8,
    "is_counted": pl.Boolean,
    "is_hushed": pl.Boolean,
    "is_in_maintenance": pl.Boolean,
    "deployment_group": pl.String,
    "site": pl.String,
    "hardware_revision": pl.String,
    "firmware_version": pl.String,
    "model_version": pl.String,
    "left_group": pl.String,  # before; null where it was the same
    "left_site": pl.String,
}


def no_transitions() -> pl.DataFrame:
    """Return a frame without transitions.

    A new one each time: two threads that use one frame can stop each other for good, see
    DECISIONS.md.
    """
    return pl.DataFrame(schema=TRANSITION_SCHEMA)


def with_all_columns(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows that an earlier release wrote, with what it did not know yet."""
    left = [] if "left_partition" in rows else [pl.col("partition").alias("left_partition")]
    missing = [n for n in TRANSITION_SCHEMA if n not in rows.columns and n != "left_partition"]
    nulls = [pl.lit(None, TRANSITION_SCHEMA[name]).alias(name) for name in missing]
    whole = rows.with_columns(*left, *nulls)
    return whole.select(pl.col(name).cast(kind) for name, kind in TRANSITION_SCHEMA.items())


@dataclass(frozen=True)
class _Part:
    """Changes of one kind, arrays of shape (n,); `rows` as they stood in the episode."""

    kind: Kind
    index: Int64s
    rows: Rows
    home: NDArray[Any]
    left: NDArray[Any]
    time_ms: Int64s
    ends_ms: Int64s | None
    seq: NDArray[Any]
    monitored_delta: NDArray[Any]
    offline_delta: NDArray[Any]
    is_counted: NDArray[Any]
    codes: LabelCodes
    left_codes: LabelCodes


@dataclass
class TransitionLog:
    """Collects the transitions of one step, in order."""

    parts: list[_Part] = field(default_factory=list)
    spans: list[dict[str, Any]] = field(default_factory=list)

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
        before, after = change
        if not len(index):
            return
        has_ended = kind in ENDS
        counts = is_monitored(before), is_monitored(after)
        offline = counts[0] & is_open(before), counts[1] & is_open(after)
        self.parts.append(
            _Part(
                kind,
                index,
                (before if has_ended else after).copy(),
                after["partition"].astype(np.int32),
                before["partition"].astype(np.int32),
                time_ms,
                ends_ms,
                _sequence_numbers(kind, before),
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
        frames = [_part_frame(part, devices, clocks_ms, policy) for part in self.parts]
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


def _sequence_numbers(kind: Kind, before: Rows) -> NDArray[Any]:
    """Return the number of the transition in its episode.

    Warning 1, critical 2, then the end; what operators add in between moves the rest.
    """
    if kind is Kind.WARNING:
        return 1 + before["extra_seq"].astype(np.int32)
    if kind is Kind.CRITICAL:
        return 2 + before["extra_seq"].astype(np.int32)
    if kind in (*ENDS, Kind.MUTE_ENDED):
        last_seq = before["stage"].astype(np.int32) + before["extra_seq"]
        return np.where(is_open(before), last_seq + 1, 0)
    return np.full(len(before), int(kind in (Kind.UNREGISTERED, Kind.OVERDUE)), dtype=np.int32)


def _part_frame(
    part: _Part, devices: DeviceColumns, clocks_ms: Int64s, policy: OfflinePolicy
) -> pl.DataFrame:
    rows = part.rows
    is_seen = has_flag(rows, Flag.SEEN)
    interval_ms = devices.intervals_ms[rows["twin"]]
    late_ms = np.where(interval_ms > policy.late_report_interval_ms, interval_ms, 0)
    warning_after_ms, critical_after_ms = devices.ladders.after_ms(rows["ladder"], policy)
    after_ms = np.where(rows["stage"] == Stage.CRITICAL, critical_after_ms, warning_after_ms)
    nobody_saw = ~is_seen & (rows["stage"] != Stage.NONE)
    keys = [devices.keys[row] for row in part.index.tolist()]
    tenants, ids = zip(*(key.split("/", 1) for key in keys), strict=True)
    columns: dict[str, Any] = {
        "tenant_id": tenants,
        "device_id": ids,
        "kind": pl.repeat(part.kind.value, len(rows), eager=True),
        "time_ms": part.time_ms,
        "start_ms": rows["last_seen_ms"],
        "starts_ms": rows["starts_ms"],
        "escalated_ms": _or_null(rows["escalated_ms"], rows["stage"] == Stage.CRITICAL),
        "ends_ms": [None] * len(rows) if part.ends_ms is None else part.ends_ms,
        "last_seen_ms": _or_null(rows["last_seen_ms"], is_seen),
        "seq": part.seq,
        "stage": rows["stage"].astype(np.int8),
        "partition": part.home,
        "left_partition": part.left,
        "reason": _reasons(part, nobody_saw),
        "blind_ms": rows["excused_ms"],
        "threshold_ms": late_ms + after_ms,
        "input_clock_ms": clocks_ms[part.home],
        "monitored_delta": part.monitored_delta,
        "offline_delta": part.offline_delta,
        "is_counted": part.is_counted,
        "is_hushed": has_flag(rows, Flag.HUSHED),
        "is_in_maintenance": has_flag(rows, Flag.HIDDEN),
        **labels_of(part.codes, devices),
        **left_labels(part.left_codes, part.codes, devices),
    }
    return pl.DataFrame(
        [pl.Series(name, columns[name], kind) for name, kind in TRANSITION_SCHEMA.items()]
    )


def _or_null(values: Int64s, is_present: NDArray[Any]) -> pl.Series:
    present = pl.Series(is_present)
    return pl.select(pl.when(present).then(pl.Series(np.ascontiguousarray(values)))).to_series()


def _reasons(part: _Part, nobody_saw: NDArray[Any]) -> list[str | None]:
    if part.kind in REASON_OF:
        return [REASON_OF[part.kind].value] * len(part.rows)
    return [Cause.NOT_SEEN_SINCE_START.value if unseen else None for unseen in nobody_saw.tolist()]
