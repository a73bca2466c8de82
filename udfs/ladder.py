"""The ladder: the exact instants at which silence turns into warning and critical (C2, C8).

    last_seen        due = last_seen + interval (if late)      warning            critical
    |----------------|-----------------------------------------|------------------|
                     |<- 300 s + excused ------------------->|
                     |<- 1,800 s + excused ---------------------------------->|

Instants are computed, never scheduled: asked after any delay, the same ones come out (C12).
"""

from typing import NamedTuple

import numpy as np

from udfs.device_columns import Flag, Stage, has_flag
from udfs.offline_policy import OfflinePolicy
from udfs.partition_clocks import Bools, Int64s, Rows


class Rungs(NamedTuple):
    """Which rows took which rung; both are possible at once after a delay."""

    is_warned: Bools
    is_escalated: Bools


def due_ms(rows: Rows, interval_ms: Int64s, policy: OfflinePolicy) -> Int64s:
    """Return from when each device's silence counts, excused time included, UTC ms."""
    late_ms = np.where(interval_ms > policy.late_report_interval_ms, interval_ms, 0)
    due: Int64s = rows["last_seen_ms"] + rows["excused_ms"] + late_ms
    return due


def is_watched(rows: Rows, policy: OfflinePolicy) -> Bools:
    """Return which devices can be offline at all: seen or expected, and not decommissioned."""
    watched = has_flag(rows, Flag.SEEN | Flag.EXPECTED) & ~has_flag(rows, Flag.DECOMMISSIONED)
    if not policy.does_watch_unregistered:
        watched &= has_flag(rows, Flag.REGISTERED)
    return watched


def warning_due(due: Int64s, grace_ms: Int64s, policy: OfflinePolicy) -> Int64s:
    """Return the instant of each device's warning; not before the grace after blind time ends."""
    warning: Int64s = np.maximum(due + policy.warning_after_ms, grace_ms)
    return warning


def critical_due(rows: Rows, due: Int64s, policy: OfflinePolicy) -> Int64s:
    """Return the instant of each open episode's critical; never before its own warning."""
    critical: Int64s = np.maximum(due + policy.critical_after_ms, rows["starts_ms"])
    return critical


def climb(
    rows: Rows, interval_ms: Int64s, grace_ms: Int64s, limit_ms: Int64s, policy: OfflinePolicy
) -> Rungs:
    """Move devices up the ladder as far as the log proves.

    Args:
        rows: DEVICE_ROW, changed in place.
        interval_ms: report interval of each row.
        grace_ms: until when nobody of the row's partition is newly offline.
        limit_ms: instants below it are settled; at it, a record may still win.
        policy: the thresholds.
    """
    watched = is_watched(rows, policy)
    due = due_ms(rows, interval_ms, policy)
    warning = warning_due(due, grace_ms, policy)
    in_maintenance = has_flag(rows, Flag.HIDDEN)
    is_warned = watched & ~in_maintenance & (rows["stage"] == Stage.NONE) & (warning < limit_ms)
    rows["starts_ms"] = np.where(is_warned, warning, rows["starts_ms"])
    rows["stage"] = np.where(is_warned, Stage.WARNING, rows["stage"])
    critical = critical_due(rows, due, policy)
    is_escalated = watched & (rows["stage"] == Stage.WARNING) & (critical < limit_ms)
    rows["escalated_ms"] = np.where(is_escalated, critical, rows["escalated_ms"])
    rows["stage"] = np.where(is_escalated, Stage.CRITICAL, rows["stage"])
    hushed = is_escalated & in_maintenance
    rows["flags"] = np.where(hushed, rows["flags"] | int(Flag.HUSHED), rows["flags"])
    return Rungs(is_warned, is_escalated)
