"""What rules about silence do to device rows: which thresholds act, and what they take back."""

from typing import NamedTuple

import numpy as np

from udfs.contacts import Contacts
from udfs.device_columns import NOT_YET_MS, DeviceColumns, Flag, Stage, has_flag
from udfs.device_labels import groups_of, sites_of
from udfs.hushes import Subject
from udfs.ladder import Terms, is_too_high
from udfs.ladders import USUAL, Codes, Pair
from udfs.offline_policy import OfflinePolicy
from udfs.offline_rules import OfflineRules
from udfs.partition_clocks import Bools, Int64s, Rows

EXTRA_SEQ_MAX = 255
"""Of a silence, beside the ladder's own events: rows hold their number in 8 bits."""


class Change(NamedTuple):
    """Rows before and after other thresholds, shape (n,), and whose alert was taken back."""

    before: Rows
    after: Rows
    is_back: Bools

    @property
    def taken_back(self) -> tuple[Rows, Rows]:
        """Return before and after of those rows alone."""
        return self.before[self.is_back], self.after[self.is_back]


def terms_of(devices: DeviceColumns, rows: Rows, policy: OfflinePolicy) -> Terms:
    """Return how much silence each row is allowed."""
    after_ms = devices.ladders.after_ms(rows["ladder"], policy)
    return Terms(devices.intervals_ms[rows["twin"]], *after_ms)


def ladders_at(
    rules: OfflineRules, devices: DeviceColumns, index: Int64s, rows: Rows, at_ms: Int64s
) -> Codes:
    """Return the number of the thresholds that rules give devices at an instant each.

    Args:
        rules: all that may act.
        devices: of the shard, for ids and labels.
        index: row numbers of the devices, shape (n,).
        rows: DEVICE_ROW of each; who was decommissioned has the usual thresholds.
        at_ms: the instants, UTC ms.
    """
    is_gone = has_flag(rows, Flag.DECOMMISSIONED).tolist()
    groups, sites = groups_of(devices, rows), sites_of(devices, rows)
    pairs: list[Pair] = []
    for place, (row, instant_ms) in enumerate(zip(index.tolist(), at_ms.tolist(), strict=True)):
        tenant_id, device_id = devices.keys[row].split("/", 1)
        subject = Subject(tenant_id, device_id, groups[place], sites[place])
        pairs.append(USUAL if is_gone[place] else rules.figures_of(subject, instant_ms)[:2])
    return devices.ladders.codes_of(pairs)


def follow_claims(
    rules: OfflineRules, devices: DeviceColumns, contacts: Contacts, heard: Rows, before: Int64s
) -> None:
    """Give those that say something else of themselves the thresholds of that, in place.

    Args:
        rules: all that may act.
        devices: of the shard.
        contacts: of devices, at most one each.
        heard: DEVICE_ROW of each after it.
        before: number of the claim that each had.
    """
    chosen = heard["claim"] != before
    if rules.spans and chosen.any():
        index, clock_ms = contacts.row[chosen], contacts.clock_ms[chosen]
        heard["ladder"][chosen] = ladders_at(rules, devices, index, heard[chosen], clock_ms)


def are_others(devices: DeviceColumns, before: Codes, after: Codes, policy: OfflinePolicy) -> Bools:
    """Return where thresholds differ: a rule that says the usual ones changes nothing."""
    warning_ms, critical_ms = devices.ladders.after_ms(before, policy)
    other_warning_ms, other_critical_ms = devices.ladders.after_ms(after, policy)
    return np.asarray((warning_ms != other_warning_ms) | (critical_ms != other_critical_ms))


def with_ladders(
    devices: DeviceColumns, rows: Rows, ladder: Codes, time_ms: Int64s, policy: OfflinePolicy
) -> Change:
    """Give rows other thresholds; what stands too high for them is taken back.

    Args:
        devices: for the thresholds.
        rows: DEVICE_ROW before, shape (n,).
        ladder: number of the thresholds of each.
        time_ms: from when they act.
        policy: the usual thresholds.
    """
    after = rows.copy()
    after["ladder"] = ladder
    is_back = is_too_high(after, terms_of(devices, after, policy), time_ms, policy)
    # Each event of a silence has a number of its own: when they run out, nothing is taken back.
    is_back &= rows["extra_seq"].astype(np.int64) + rows["stage"] < EXTRA_SEQ_MAX
    _take_back(after, is_back)
    return Change(rows, after, is_back)


def _take_back(rows: Rows, chosen: Bools) -> None:
    """Let rows stand below the ladder again, in place, in the middle of their silence.

    Their next events have the numbers that follow: those of warning, critical and end are used.
    """
    rows["extra_seq"] += np.where(chosen, rows["stage"] + 1, 0).astype(np.uint8)
    rows["stage"] = np.where(chosen, Stage.NONE, rows["stage"])
    for name in ("starts_ms", "escalated_ms"):
        rows[name] = np.where(chosen, NOT_YET_MS, rows[name])
    rows["flags"] = np.where(chosen, rows["flags"] & ~np.uint8(Flag.HUSHED), rows["flags"])
