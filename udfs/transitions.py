"""What a shard tells the fleet stage: one row for each change of a device, with its exact instant.

Rows of one device come in the order in which they took place. `monitored_delta` and
`offline_delta` say what the row does to N and M, so the fleet stage only adds.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from udfs.device_columns import DeviceColumns, Flag, Stage, has_flag
from udfs.device_labels import LabelCodes, labels_of, left_labels
from udfs.flapping import NONE_MS
from udfs.frame_bytes import blank_frame
from udfs.ladder import allowed_ms
from udfs.offline_policy import OfflinePolicy
from udfs.partition_clocks import Int64s, Rows
from udfs.rule_moves import terms_of


class Kind(StrEnum):
    """What happened."""

    SEEN = "seen"  # first contact ever
    WARNING = "warning"
    CRITICAL = "critical"
    RESOLVED = "resolved"
    REMOVED = "removed"  # decommissioned
    REGISTERED = "registered"  # the registry changed something that counts
    UNREGISTERED = "unregistered"  # a device that the registry does not know sends
    SKEWED = "skewed"  # a device's clock is wrong
    OVERDUE = "commissioning_overdue"
    MET = "met"  # a partition is read for the first time
    BLIND = "blind"  # a partition went silent
    HEARD = "heard"  # a partition speaks again
    GAP = "gap"  # records of a partition were lost
    MUTE_ENDED = "mute_ended"  # an open episode whose mute is over
    FLAPPING = "flapping"  # a device changes too often; seq > 1: its mute is over
    CALM = "calm"  # it flaps no longer
    CALM_REMOVED = "calm_removed"  # it flaps no longer, as it was decommissioned
    FLAPPING_ENDED = "flapping_ended"  # an open episode whose device flaps no longer
    MOVED = "moved"  # a device is heard on another partition, or has another group or site
    RULE_CHANGED = "rule_changed"  # a rule ends an episode: the silence is allowed, for now
    ROLL_CALL = "roll_call"  # a device counts in fleets that are watched from now on
    CONTROL = "control"  # what operators said; its JSON is the reason


class Cause(StrEnum):
    """Why, where the kind alone does not say it."""

    NOT_SEEN_SINCE_START = "not_seen_since_start"
    DECOMMISSIONED = "decommissioned"
    NO_MONITORED_DEVICES = "no_monitored_devices"
    MUTE_ENDED = "mute_ended"
    FLAPPING_ENDED = "flapping_ended"
    RULE_CHANGED = "rule_changed"


ENDS = (Kind.RESOLVED, Kind.REMOVED, Kind.RULE_CHANGED)
"""What ends an episode, or takes its alert back."""
INFO_KINDS = (Kind.UNREGISTERED, Kind.OVERDUE, Kind.SKEWED)
"""Worth knowing, and nobody is woken for it."""
FLAPPING_KINDS = (Kind.FLAPPING, Kind.CALM, Kind.CALM_REMOVED)
"""Events of a flapping, not of a silence."""
OPEN_KINDS = (Kind.MUTE_ENDED, Kind.FLAPPING_ENDED)
"""An episode that is told once more, unchanged."""
REASON_OF = {
    Kind.REMOVED: Cause.DECOMMISSIONED,
    Kind.CALM_REMOVED: Cause.DECOMMISSIONED,
    Kind.MUTE_ENDED: Cause.MUTE_ENDED,
    Kind.FLAPPING_ENDED: Cause.FLAPPING_ENDED,
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
    "flapping_ms": pl.Int64,  # since when the device flaps, or flapped in the open episode
    "calm_ms": pl.Int64,  # until when it did
    "skew_ms": pl.Int64,  # of a wrong clock: how far it is ahead
    "untold": pl.Int8,  # `flapping.Untold` of the episode
    "deployment_group": pl.String,
    "site": pl.String,
    "hardware_revision": pl.String,
    "firmware_version": pl.String,
    "model_version": pl.String,
    "left_group": pl.String,  # before; null where it was the same
    "left_site": pl.String,
    "fleet_kinds": pl.Int8,  # in which it counts, `FleetKind`; null: the tenant's
}


def no_transitions() -> pl.DataFrame:
    """Return a frame without transitions."""
    return blank_frame(TRANSITION_SCHEMA)


@dataclass(frozen=True)
class Part:
    """Changes of one kind, arrays of shape (n,); `rows` as they stood in the episode."""

    kind: Kind
    index: Int64s
    rows: Rows
    flaps: Rows
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
    skew_ms: Int64s | None = None


def part_frame(
    part: Part, devices: DeviceColumns, clocks_ms: Int64s, policy: OfflinePolicy
) -> pl.DataFrame:
    """Return changes as columns of `TRANSITION_SCHEMA`; arguments as for `TransitionLog`."""
    rows = part.rows
    is_seen = has_flag(rows, Flag.SEEN)
    is_of_flapping = part.kind in FLAPPING_KINDS
    nobody_saw = ~is_seen & (rows["stage"] != Stage.NONE)
    keys = [devices.keys[row] for row in part.index.tolist()]
    tenants, ids = zip(*(key.split("/", 1) for key in keys), strict=True)
    columns: dict[str, Any] = {
        "tenant_id": tenants,
        "device_id": ids,
        "kind": pl.repeat(part.kind.value, len(rows), eager=True),
        "time_ms": part.time_ms,
        "start_ms": part.flaps["since_ms"] if is_of_flapping else rows["last_seen_ms"],
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
        "threshold_ms": allowed_ms(rows, terms_of(devices, rows, policy), policy),
        "input_clock_ms": clocks_ms[part.home],
        "monitored_delta": part.monitored_delta,
        "offline_delta": part.offline_delta,
        "is_counted": part.is_counted,
        "is_hushed": has_flag(rows, Flag.HUSHED),
        "is_in_maintenance": has_flag(rows, Flag.HIDDEN),
        "flapping_ms": _or_null(part.flaps["since_ms"], part.flaps["since_ms"] != NONE_MS),
        "calm_ms": _or_null(part.flaps["calm_ms"], part.flaps["calm_ms"] != NONE_MS),
        "skew_ms": [None] * len(rows) if part.skew_ms is None else part.skew_ms,
        "untold": part.flaps["untold"].astype(np.int8),
        **labels_of(part.codes, devices),
        **left_labels(part.left_codes, part.codes, devices),
        "fleet_kinds": pl.repeat(int(policy.fleet_kinds), len(rows), eager=True),
    }
    return pl.DataFrame(
        [pl.Series(name, columns[name], kind) for name, kind in TRANSITION_SCHEMA.items()]
    )


def _or_null(values: Int64s, is_present: NDArray[Any]) -> pl.Series:
    present = pl.Series(is_present)
    return pl.select(pl.when(present).then(pl.Series(np.ascontiguousarray(values)))).to_series()


def _reasons(part: Part, nobody_saw: NDArray[Any]) -> list[str | None]:
    if part.kind in REASON_OF:
        return [REASON_OF[part.kind].value] * len(part.rows)
    if part.kind is Kind.FLAPPING:
        return [Cause.MUTE_ENDED.value if seq > 1 else None for seq in part.seq.tolist()]
    if part.kind is Kind.CALM:
        return [None] * len(part.rows)
    return [Cause.NOT_SEEN_SINCE_START.value if unseen else None for unseen in nobody_saw.tolist()]
