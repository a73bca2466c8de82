"""What liveness remembers of each device: one row of 64 bytes, beside its id.

keys    "tenant/device" by row          (a tenant id has no "/", so the first one splits it)
rows    DEVICE_ROW by row: times, stage, partition, the last boot's sequences
claims  distinct (hardware, firmware, model, group) that devices claim; a row holds the number
twins   distinct (group, site, model, report interval) of the registry; a row holds the number
ladders distinct thresholds that rules give; a row holds the number, 0 for the usual ones
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum, IntFlag
from typing import Any, Generic, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from udfs.ladders import Ladders
from udfs.offline_policy import OfflinePolicy
from udfs.partition_clocks import Bools, Int64s, Rows
from udfs.quiet import Quiet

NO_SEQUENCE = -1
NOT_YET_MS = -1
NO_LABEL = -1
NO_PARTITION = -1
DEFAULT_REPORT_INTERVAL_S = 60

DEVICE_ROW = np.dtype(
    [
        ("last_seen_ms", "i8"),
        ("excused_ms", "i8"),  # blind or in maintenance since last_seen
        ("starts_ms", "i8"),  # of the open episode
        ("escalated_ms", "i8"),  # of the open episode
        ("sequence", "i8"),  # the highest of the boot
        ("recent", "u4"),  # bit i = sequence - i was seen
        ("boot", "u4"),  # hash; two boots of one device collide once in 4 billion
        ("claim", "i4"),
        ("twin", "i4"),
        ("partition", "i2"),
        ("stage", "u1"),
        ("flags", "u1"),
        ("extra_seq", "u1"),  # transitions of the silence beside the ladder's
        ("ladder", "u2"),  # number of its thresholds
    ],
    align=True,
)
ROW_MAX_BYTES = 64
assert DEVICE_ROW.itemsize <= ROW_MAX_BYTES, "the contract of state a device"

STORED_ROW = np.dtype([(name, DEVICE_ROW[name].str) for name in (DEVICE_ROW.names or ())[:-1]])
"""The same fields without padding, little-endian: how a row lies in the state's bytes.

The ladder's number lies in a column of its own, which is there only while rules act.
"""
STORED_ROW_V1 = np.dtype([(name, STORED_ROW[name].str) for name in (STORED_ROW.names or ())[:-1]])
"""As the first layout of the state had them."""
ID_END = "\0"


class Stage(IntEnum):
    """Where a device stands on the ladder."""

    NONE = 0
    WARNING = 1
    CRITICAL = 2


class Flag(IntFlag):
    """What is known of a device, beside times."""

    REGISTERED = 1
    SEEN = 2
    MAINTENANCE = 4
    DECOMMISSIONED = 8
    EXPECTED = 16  # the registry calls it active, and it was not seen since a cold start
    HUSHED = 32  # turned critical in maintenance: nobody was told of that severity
    COMMISSIONING_TOLD = 64
    PLANNED = 128  # in a maintenance that operators planned
    HIDDEN = MAINTENANCE | PLANNED


@dataclass(frozen=True)
class Claim:
    """What a device says it is; empty strings where it says nothing."""

    hardware_revision: str = ""
    firmware_version: str = ""
    model_version: str = ""
    deployment_group: str = ""


@dataclass(frozen=True)
class Twin:
    """What the registry says a device is."""

    deployment_group: str = ""
    site: str = ""
    model_version: str = ""
    report_interval_s: int = DEFAULT_REPORT_INTERVAL_S


L = TypeVar("L", bound=Claim | Twin)


class LabelPool(Generic[L]):
    """Distinct labels by number; only grows, so numbers that are out stay valid.

    Args:
        kind: the class of the labels.
        labels: in the order of their numbers.
    """

    def __init__(self, kind: type[L], labels: Sequence[L] = ()) -> None:
        self.kind = kind
        self.labels = list(labels)
        self._code_of = {_values(label): code for code, label in enumerate(self.labels)}

    def codes_of(self, values: Sequence[tuple[Any, ...]]) -> NDArray[np.int32]:
        """Return the number of each label, given as its field values; new ones are added."""
        codes = list(map(self._code_of.get, values))
        if None in codes:
            for value in values:
                if value not in self._code_of:
                    self._code_of[value] = len(self.labels)
                    self.labels.append(self.kind(*value))
            codes = list(map(self._code_of.get, values))
        return np.array(codes, dtype=np.int32)

    def label_of(self, code: int) -> L:
        """Return one label; the empty one for `NO_LABEL`."""
        return self.kind() if code == NO_LABEL else self.labels[code]

    def used(self, codes: NDArray[np.int32]) -> "tuple[LabelPool[L], NDArray[np.int32]]":
        """Return a pool of the labels in use alone, and the codes renumbered for it."""
        in_use, renumbered = np.unique(codes, return_inverse=True)
        has_none = bool(len(in_use)) and int(in_use[0]) == NO_LABEL
        kept = [self.labels[code] for code in in_use.tolist() if code != NO_LABEL]
        return LabelPool(self.kind, kept), (renumbered - has_none).astype(np.int32)

    def to_values(self) -> list[tuple[Any, ...]]:
        """Return the field values of all labels, for the state's bytes."""
        return list(self._code_of)

    @classmethod
    def from_values(cls, kind: type[L], values: Sequence[Sequence[Any]]) -> "LabelPool[L]":
        """Return what `to_values` wrote."""
        return cls(kind, [kind(*value) for value in values])


def _values(label: Claim | Twin) -> tuple[Any, ...]:
    return tuple(label.__dict__.values())


@dataclass
class DeviceColumns:
    """The devices of one shard. A step works on a fork and leaves its input as it was."""

    keys: list[str]
    rows: Rows
    claims: LabelPool[Claim]
    twins: LabelPool[Twin]
    row_of: dict[str, int]
    intervals_ms: Int64s
    """Report interval by twin number; the last element answers for `NO_LABEL`."""
    ladders: Ladders
    quiet: Quiet = field(default_factory=lambda: Quiet(OfflinePolicy()))
    _key_bytes: bytes | None = None

    @classmethod
    def empty(cls) -> "DeviceColumns":
        """Return no devices."""
        return cls.restored([], np.zeros(0, DEVICE_ROW), LabelPool(Claim), LabelPool(Twin))

    @classmethod
    def restored(
        cls, keys: list[str], rows: Rows, claims: LabelPool[Claim], twins: LabelPool[Twin]
    ) -> "DeviceColumns":
        """Return the devices with their indexes built; all have the usual thresholds."""
        row_of = {key: row for row, key in enumerate(keys)}
        return cls(keys, rows, claims, twins, row_of, _intervals_ms(twins), Ladders())

    def fork(self) -> "DeviceColumns":
        """Return a copy whose rows can be changed; pools only grow and are shared."""
        return replace(self, rows=self.rows.copy())

    def rows_for(self, keys: list[str]) -> Int64s:
        """Return the row number of each key; unknown ones get a new, empty row."""
        found = list(map(self.row_of.get, keys))
        if None in found:
            assert not any(ID_END in key for key in keys), "ids are text without NUL"
            self._add([key for key in dict.fromkeys(keys) if key not in self.row_of])
            found = list(map(self.row_of.get, keys))
        return np.array(found, dtype=np.int64)

    def twin_codes(self, values: Sequence[tuple[Any, ...]]) -> NDArray[np.int32]:
        """Return the number of each twin, and keep their intervals at hand."""
        codes = self.twins.codes_of(values)
        if len(self.intervals_ms) != len(self.twins.labels) + 1:
            self.intervals_ms = _intervals_ms(self.twins)
        return codes

    def _add(self, new_keys: list[str]) -> None:
        fresh = np.zeros(len(new_keys), DEVICE_ROW)
        for name in ("last_seen_ms", "starts_ms", "escalated_ms"):
            fresh[name] = NOT_YET_MS
        fresh["sequence"] = NO_SEQUENCE
        fresh["claim"] = fresh["twin"] = NO_LABEL
        fresh["partition"] = NO_PARTITION
        first = len(self.keys)
        self.row_of = {**self.row_of, **{key: first + i for i, key in enumerate(new_keys)}}
        self.keys = self.keys + new_keys
        self._key_bytes = None
        self.rows = np.concatenate([self.rows, fresh])

    def to_parts(self) -> tuple[dict[str, pl.DataFrame], dict[str, Any]]:
        """Return columns and scalars for the state's bytes; labels out of use are left out.

        Rows and ids are one column of bytes each: `STORED_ROW` by row, and the keys in the same
        order, each ended by `ID_END`. It is written after every block, so it must be cheap.
        """
        claims, claim = self.claims.used(self.rows["claim"])
        twins, twin = self.twins.used(self.rows["twin"])
        stored = self.rows[list(STORED_ROW.names or ())].astype(STORED_ROW)
        stored["claim"], stored["twin"] = claim, twin
        frames = {"keys": _as_column(self.key_bytes()), "rows": _as_column(stored.tobytes())}
        labels: dict[str, Any] = {"claims": claims.to_values(), "twins": twins.to_values()}
        if self.rows["ladder"].any():
            labels["ladders"], ladder = self.ladders.used(self.rows["ladder"])
            frames["ladders"] = pl.DataFrame({"number": ladder})
        return frames, labels

    def key_bytes(self) -> bytes:
        """Return all keys as bytes, computed once for each set of devices."""
        if self._key_bytes is None:
            self._key_bytes = "".join(key + ID_END for key in self.keys).encode()
        return self._key_bytes

    @classmethod
    def from_parts(
        cls, frames: dict[str, pl.DataFrame], meta: dict[str, Any], version: int
    ) -> "DeviceColumns":
        """Return what `to_parts` wrote, in this or the first layout."""
        layout = STORED_ROW_V1 if version == 1 else STORED_ROW
        stored = np.frombuffer(_from_column(frames["rows"]), layout)
        rows = np.zeros(len(stored), DEVICE_ROW)
        for name in layout.names or ():
            rows[name] = stored[name]
        keys = _from_column(frames["keys"]).decode().split(ID_END)[:-1]
        claims = LabelPool.from_values(Claim, meta["claims"])
        twins = LabelPool.from_values(Twin, meta["twins"])
        devices = cls.restored(keys, rows, claims, twins)
        if "ladders" in frames:
            rows["ladder"] = frames["ladders"]["number"].to_numpy()
            devices.ladders = Ladders.from_values(meta["ladders"])
        return devices


def _as_column(packed: bytes) -> pl.DataFrame:
    return pl.DataFrame({"bytes": pl.Series(np.frombuffer(packed, np.uint8))})


def _from_column(frame: pl.DataFrame) -> bytes:
    return frame["bytes"].to_numpy().tobytes()


def _intervals_ms(twins: LabelPool[Twin]) -> Int64s:
    intervals_s = [twin.report_interval_s for twin in twins.labels]
    return np.array([*intervals_s, DEFAULT_REPORT_INTERVAL_S], dtype=np.int64) * 1000


def has_flag(rows: Rows, flag: Flag) -> Bools:
    """Return which rows have a flag."""
    flagged: Bools = (rows["flags"] & int(flag)) != 0
    return flagged


def set_flag(rows: Rows, flag: Flag, chosen: Bools) -> None:
    """Set a flag where `chosen`, clear it elsewhere."""
    rows["flags"] = np.where(chosen, rows["flags"] | int(flag), rows["flags"] & ~np.uint8(flag))


def is_monitored(rows: Rows) -> Bools:
    """Return which rows count in N (C5): registered, seen or found missing, not in maintenance."""
    known = has_flag(rows, Flag.REGISTERED)
    known &= ~has_flag(rows, Flag.HIDDEN)
    return known & (has_flag(rows, Flag.SEEN) | is_open(rows))


def is_open(rows: Rows) -> Bools:
    """Return which rows are in warning or critical."""
    stands: Bools = rows["stage"] != Stage.NONE
    return stands
