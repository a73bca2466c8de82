"""The ladder: the exact instants at which silence turns into warning and critical (C2, C8).

    last_seen        due = last_seen + interval (if late)      warning            critical
    |----------------|-----------------------------------------|------------------|
                     |<- 300 s + excused ------------------->|
                     |<- 1,800 s + excused ---------------------------------->|

Instants are computed, never scheduled: asked after any delay, the same ones come out (C12).
"""

from typing import NamedTuple

import numpy as np

from udfs.device_columns import Flag, Stage, has_flag, is_open
from udfs.offline_policy import OfflinePolicy
from udfs.partition_clocks import Bools, Int64s, Rows


class Terms(NamedTuple):
    """How much silence each row is allowed, ms, shape (n,) each."""

    interval_ms: Int64s
    warning_after_ms: Int64s
    critical_after_ms: Int64s


class Rungs(NamedTuple):
    """Which rows took which rung; both are possible at once after a delay."""

    is_warned: Bools
    is_escalated: Bools

    def date(self, rows: Rows, floor_ms: Int64s) -> None:
        """Let no rung that was taken now lie before an instant, in place."""
        for name, chosen in (("starts_ms", self.is_warned), ("escalated_ms", self.is_escalated)):
            dated_ms = np.maximum(rows[name], floor_ms)
            rows[name] = np.where(chosen, dated_ms, rows[name])


def due_ms(rows: Rows, terms: Terms, policy: OfflinePolicy) -> Int64s:
    """Return from when each device's silence counts, excused time included, UTC ms."""
    due: Int64s = rows["last_seen_ms"] + rows["excused_ms"] + _late_ms(terms, policy)
    return due


def allowed_ms(rows: Rows, terms: Terms, policy: OfflinePolicy) -> Int64s:
    """Return after how much silence each row's stage is due; of who is online, its warning."""
    is_critical = rows["stage"] == Stage.CRITICAL
    after_ms = np.where(is_critical, terms.critical_after_ms, terms.warning_after_ms)
    return after_ms + _late_ms(terms, policy)


def _late_ms(terms: Terms, policy: OfflinePolicy) -> Int64s:
    is_late = terms.interval_ms > policy.late_report_interval_ms
    return np.where(is_late, terms.interval_ms, 0)


def is_watched(rows: Rows, policy: OfflinePolicy) -> Bools:
    """Return which devices can be offline at all: seen or expected, and not decommissioned."""
    watched = has_flag(rows, Flag.SEEN | Flag.EXPECTED) & ~has_flag(rows, Flag.DECOMMISSIONED)
    if not policy.does_watch_unregistered:
        watched &= has_flag(rows, Flag.REGISTERED)
    return watched


def warning_due(due: Int64s, terms: Terms, grace_ms: Int64s) -> Int64s:
    """Return the instant of each device's warning; not before the grace after blind time ends."""
    warning: Int64s = np.maximum(due + terms.warning_after_ms, grace_ms)
    return warning


def critical_due(rows: Rows, due: Int64s, terms: Terms) -> Int64s:
    """Return the instant of each open episode's critical; never before its own warning."""
    critical: Int64s = np.maximum(due + terms.critical_after_ms, rows["starts_ms"])
    return critical


def is_too_high(rows: Rows, terms: Terms, at_ms: Int64s, policy: OfflinePolicy) -> Bools:
    """Return which rows stand on a rung that their terms do not ask for yet at an instant."""
    needed_ms = np.where(
        rows["stage"] == Stage.CRITICAL,
        np.maximum(terms.warning_after_ms, terms.critical_after_ms),
        terms.warning_after_ms,
    )
    is_early: Bools = at_ms < due_ms(rows, terms, policy) + needed_ms
    return is_open(rows) & is_early


def climb(
    rows: Rows, terms: Terms, grace_ms: Int64s, limit_ms: Int64s, policy: OfflinePolicy
) -> Rungs:
    """Move devices up the ladder as far as the log proves.

    Args:
        rows: DEVICE_ROW, changed in place.
        terms: how much silence each row is allowed.
        grace_ms: until when nobody of the row's partition is newly offline.
        limit_ms: instants below it are settled; at it, a record may still win.
        policy: who is watched, and whose reports come late.
    """
    watched = is_watched(rows, policy)
    due = due_ms(rows, terms, policy)
    warning = warning_due(due, terms, grace_ms)
    in_maintenance = has_flag(rows, Flag.HIDDEN)
    is_warned = watched & ~in_maintenance & (rows["stage"] == Stage.NONE) & (warning < limit_ms)
    rows["starts_ms"] = np.where(is_warned, warning, rows["starts_ms"])
    rows["stage"] = np.where(is_warned, Stage.WARNING, rows["stage"])
    critical = critical_due(rows, due, terms)
    is_escalated = watched & (rows["stage"] == Stage.WARNING) & (critical < limit_ms)
    rows["escalated_ms"] = np.where(is_escalated, critical, rows["escalated_ms"])
    rows["stage"] = np.where(is_escalated, Stage.CRITICAL, rows["stage"])
    hushed = is_escalated & in_maintenance
    rows["flags"] = np.where(hushed, rows["flags"] | int(Flag.HUSHED), rows["flags"])
    return Rungs(is_warned, is_escalated)
