"""Device rows as they stand after contacts."""

from dataclasses import replace

import numpy as np

from udfs.contacts import Contacts
from udfs.device_columns import NOT_YET_MS, DeviceColumns, Flag, Stage
from udfs.offline_policy import OfflinePolicy
from udfs.partition_clocks import Int64s, Rows
from udfs.rule_moves import terms_of


def heard_rows(rows: Rows, seen_ms: Int64s) -> Rows:
    """Return device rows as they stand after a contact."""
    heard = rows.copy()
    heard["last_seen_ms"] = seen_ms
    heard["excused_ms"] = 0
    heard["starts_ms"] = heard["escalated_ms"] = NOT_YET_MS
    heard["extra_seq"] = 0
    heard["stage"] = Stage.NONE
    heard["flags"] &= ~np.uint8(Flag.EXPECTED | Flag.HUSHED)
    heard["flags"] |= np.uint8(Flag.SEEN)
    return heard


def heard_in_time(
    contacts: Contacts, rows: Rows, devices: DeviceColumns, policy: OfflinePolicy
) -> Contacts:
    """Let contacts count now that a rule would call overdue on arrival; see `Contacts`.

    Args:
        contacts: of devices, at most one each.
        rows: DEVICE_ROW of each.
        devices: for the thresholds.
        policy: the usual thresholds.
    """
    if len(devices.ladders) == 1:
        return contacts
    late_ms = contacts.clock_ms - contacts.seen_ms
    is_late = ~contacts.is_stale & (late_ms >= terms_of(devices, rows, policy).warning_after_ms)
    return replace(contacts, seen_ms=np.where(is_late, contacts.clock_ms, contacts.seen_ms))
