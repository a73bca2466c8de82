"""Who counts in fleets that are watched from now on: told once, as the fleet stage knows nobody.

    settings   tenant             tenant, site
    rows       ----kinds: tenant----|----kinds: tenant, site----
    roll call                       |one row for each device of N, kinds: site

Rows that were told before, and still wait for their turn, do not count in the new fleets: the roll
call, made after them, does.
"""

import numpy as np
import polars as pl

from udfs.device_columns import DeviceColumns, is_monitored
from udfs.known_logs import KnownLogs
from udfs.offline_policy import FleetKind, OfflinePolicy
from udfs.partition_clocks import Rows, clocks_by_partition, low_clock_ms
from udfs.transition_log import TransitionLog
from udfs.transitions import TRANSITION_SCHEMA, Kind


def call_roll(
    devices: DeviceColumns,
    logs: KnownLogs,
    partitions: Rows,
    kinds: FleetKind,
    policy: OfflinePolicy,
) -> pl.DataFrame:
    """Return one row for each device that counts, as it stands, before anything that follows.

    Args:
        devices: of a shard.
        logs: topics and numbers of the partitions.
        partitions: `PARTITION_ROW` by partition.
        kinds: of the fleets that are new.
        policy: for clocks.
    """
    index = np.flatnonzero(is_monitored(devices.rows))
    after = devices.rows[index]
    before = after.copy()
    before["flags"] = 0
    low_ms = max(0, low_clock_ms(partitions, policy.blind_after_ms))
    log = TransitionLog()
    log.add(Kind.ROLL_CALL, index, (before, after), np.full(len(index), low_ms, dtype=np.int64))
    rows = log.to_frame(devices, logs, clocks_by_partition(partitions), policy)
    told = pl.lit(int(kinds), TRANSITION_SCHEMA["fleet_kinds"])
    return rows.with_columns(fleet_kinds=told)
