"""The contacts of one block for one shard, as arrays."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.telemetry import EARLIEST_MS
from udfs.contact_dedup import boot_hashes
from udfs.device_columns import NO_PARTITION, NO_SEQUENCE, NOT_YET_MS, DeviceColumns
from udfs.offline_policy import OfflinePolicy
from udfs.partition_clocks import Bools, Int64s, Stretches

CLAIM_COLUMNS = ("hardware_revision", "firmware_version", "model_version", "deployment_group")


@dataclass(frozen=True)
class Contacts:
    """Signs of life, each array of shape (n,), in offset order within a partition.

    Args:
        row: row number of the device.
        append_time_ms: the broker's time.
        clock_ms: input clock of the partition at the record.
        seen_ms: when the device was alive (see `effective_times`).
        partition: where it was read.
        offset: and at which offset.
        boot: hash of the boot id.
        sequence: of the boot, `NO_SEQUENCE` when there is none.
        claim: number of what the device says it is.
        is_stale: an old upload of a gateway.
        newest_ms: time of the newest point by the device's clock, `NOT_YET_MS` without points.
    """

    row: Int64s
    append_time_ms: Int64s
    clock_ms: Int64s
    seen_ms: Int64s
    partition: Int64s
    offset: Int64s
    boot: NDArray[np.uint32]
    sequence: Int64s
    claim: NDArray[np.int32]
    is_stale: Bools
    newest_ms: Int64s

    def at(self, chosen: NDArray[Any]) -> "Contacts":
        """Return the chosen ones, by mask or index."""
        return Contacts(*(column[chosen] for column in self.__dict__.values()))

    @classmethod
    def none(cls) -> "Contacts":
        """Return no contacts."""
        none = np.zeros(0, dtype=np.int64)
        boot, claim = none.astype(np.uint32), none.astype(np.int32)
        return cls(none, none, none, none, none, none, boot, none, claim, none.astype(bool), none)

    @classmethod
    def of(
        cls,
        frame: pl.DataFrame,
        place: tuple[Int64s, Int64s],
        devices: DeviceColumns,
        policy: OfflinePolicy,
    ) -> "Contacts":
        """Take the columns of `CONTACT_SCHEMA`; devices that are new get a row.

        Args:
            frame: the contacts.
            place: where each record's partition is kept, and its input clock at the record.
            devices: of the shard.
            policy: when an upload is stale.
        """
        if frame.is_empty():
            return cls.none()
        partition, clock_ms = place
        keys = device_keys(frame)
        append_time_ms = frame["append_time_ms"].to_numpy()
        seen_ms, is_stale = _effective_times(frame, append_time_ms, clock_ms, policy)
        # Plain lists: an expression costs more than the few contacts of a block.
        claims = zip(*(_texts(frame[name]) for name in CLAIM_COLUMNS), strict=True)
        return cls(
            row=devices.rows_for(keys),
            append_time_ms=append_time_ms,
            clock_ms=clock_ms,
            seen_ms=seen_ms,
            partition=partition,
            offset=frame["offset"].to_numpy(),
            boot=boot_hashes(frame["boot_id"].to_list()),
            sequence=_longs(frame["sequence"], NO_SEQUENCE),
            claim=devices.claims.codes_of(list(claims)),
            is_stale=is_stale,
            newest_ms=_longs(frame["newest_point_ms"], NOT_YET_MS),
        )


def _effective_times(
    frame: pl.DataFrame, append_time_ms: Int64s, clock_ms: Int64s, policy: OfflinePolicy
) -> tuple[Int64s, Bools]:
    """Return when each device was alive, and which contacts are old uploads of a gateway.

    That is the append time, with two exceptions. A gateway's upload of old points shows that the
    device was alive at the newest of them (C1). And when a broker's clock fell so far back that the
    contact would be overdue on arrival, the input clock counts: we do hear the device now.
    """
    newest_ms = _longs(frame["newest_point_ms"], NOT_YET_MS)
    age_ms = append_time_ms - newest_ms
    is_stale = (newest_ms != NOT_YET_MS) & [
        via is True for via in frame["is_via_gateway"].to_list()
    ]
    # A clock that was never set does not say when its device was alive.
    is_stale &= (age_ms > policy.stale_upload_after_ms) & (newest_ms >= EARLIEST_MS)
    is_clock_back = clock_ms - append_time_ms >= policy.warning_after_ms
    seen_ms = np.where(is_stale, newest_ms, np.where(is_clock_back, clock_ms, append_time_ms))
    return seen_ms, is_stale


def homes_of(devices: DeviceColumns, contacts: Contacts, coming: Contacts) -> Int64s:
    """Return each device's partition while contacts are taken, shape (devices,).

    A device that is on none is at home where it will be heard: what the registry says of it before
    falls on that partition's clock, whether or not a block ends in between.

    Args:
        devices: of the shard.
        contacts: taken now.
        coming: those, and what comes after them in the same stretches.
    """
    home = devices.rows["partition"].astype(np.int64)
    first = coming.at(np.unique(coming.row, return_index=True)[1])
    is_homeless = home[first.row] == NO_PARTITION
    home[first.row[is_homeless]] = first.partition[is_homeless]
    home[contacts.row] = contacts.partition
    return home


def after_gaps(
    contacts: Contacts, turn: Int64s, devices: DeviceColumns, late: Stretches, wave: Int64s
) -> Int64s:
    """Return in which wave each contact is taken: who moves, after the gaps of its home before it.

    What its home could not hear is excused before the contact ends the silence (C8).

    Args:
        contacts: of the block.
        turn: the wave of each one's own stretch, shape (n,).
        devices: of the shard.
        late: stretches that come after a gap of their partition, in order.
        wave: of each of these.
    """
    home = devices.rows["partition"][contacts.row]
    for partition, first_ms, number in zip(late.partition, late.first_ms, wave, strict=True):
        leaves = (home == partition) & (contacts.partition != partition)
        is_after = leaves & (contacts.clock_ms >= first_ms)
        turn = np.where(is_after, np.maximum(turn, number), turn)
    return turn


def device_keys(frame: pl.DataFrame) -> list[str]:
    """Return the key of each row's device, as `DeviceColumns` keeps it."""
    pairs = zip(frame["tenant_id"].to_list(), frame["device_id"].to_list(), strict=True)
    return [f"{tenant_id}/{device_id}" for tenant_id, device_id in pairs]


def _texts(column: pl.Series) -> list[str]:
    return [text or "" for text in column.to_list()]


def _longs(column: pl.Series, missing: int) -> Int64s:
    if column.null_count() == 0:
        return column.to_numpy()
    # A plain list: an expression costs more than the few contacts of a block.
    return np.array([missing if long is None else long for long in column.to_list()], np.int64)
