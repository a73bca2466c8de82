"""The devices of one rollout in one look, as numbers to compare: one cohort a metric."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from udfs.drift.canary_units import Units
from udfs.histogram import Floats
from udfs.partition_clocks import Bools, Int64s
from udfs.shards import device_hashes

_MANTISSA_BITS = 30
"""Means are rounded to 9 digits: what differs less is rounding, and must tie."""


@dataclass(frozen=True)
class Cohort:
    """Devices of one metric, each of shape (n,), in the order of `Units.sorted`.

    Args:
        hashes: of the devices.
        stratum: number of the stratum.
        is_treatment: whether it has the new version.
        value_windows: windows with a finite point.
        seen_windows: windows, with and without one.
        level: mean of the windows; NaN when there is none.
        spread: mean distance of the windows from it; NaN when there is none.
        bad_share: points that are missing, NaN or infinite, of all, 0 to 1.
    """

    hashes: Int64s
    stratum: Int64s
    is_treatment: Bools
    value_windows: Int64s
    seen_windows: Int64s
    level: Floats
    spread: Floats
    bad_share: Floats

    def __len__(self) -> int:
        return len(self.hashes)

    def take(self, places: Int64s | Bools) -> "Cohort":
        """Return some of the devices."""
        return Cohort(**{name: column[places] for name, column in vars(self).items()})

    def matched(self) -> "Cohort":
        """Return the devices of strata in which both versions are."""
        both = np.intersect1d(self.stratum[self.is_treatment], self.stratum[~self.is_treatment])
        return self.take(np.isin(self.stratum, both))

    def count(self, *, is_treatment: bool) -> int:
        """Return how many devices have the version."""
        return int((self.is_treatment == is_treatment).sum())


@dataclass(frozen=True)
class Turnout:
    """All that is known of a rollout's look.

    Args:
        cohorts: by metric.
        treatment_count: devices with enough windows of some metric.
        control_count: the same.
        moved_count: devices that changed version or stratum within the look; no unit of it.
    """

    cohorts: dict[str, Cohort]
    treatment_count: int = 0
    control_count: int = 0
    moved_count: int = 0


NOBODY = Turnout({})


def no_cohort() -> Cohort:
    """Return no devices."""
    number, count, is_treatment = np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.bool_)
    return Cohort(count, count, is_treatment, count, count, number, number, number)


def turnouts(units: Units, min_windows: int) -> dict[tuple[str, str], Turnout]:
    """Return the turnout of each rollout, by tenant and rollout.

    Args:
        units: of at most one look of each rollout.
        min_windows: that a device must have.
    """
    units = units.sorted()
    rollout = ["tenant_id", "rollout_id"]
    place = pl.struct("is_treatment", "stratum").n_unique().over([*rollout, "device_id"])
    keys = units.keys.with_columns(is_moved=place > 1).with_row_index("at")
    everyone = _everyone(units)
    found = {}
    for name, members in keys.group_by(rollout, maintain_order=True):
        at = members["at"].to_numpy()
        found[str(name[0]), str(name[1])] = _turnout(members, everyone.take(at), min_windows)
    return found


def _turnout(members: pl.DataFrame, everyone: Cohort, min_windows: int) -> Turnout:
    stays = ~members["is_moved"].to_numpy()
    metric = members["metric"].to_numpy()
    present = stays & (everyone.seen_windows >= min_windows)
    first_at = np.unique(everyone.hashes[present], return_index=True)[1]
    is_treatment = everyone.is_treatment[present][first_at]
    return Turnout(
        {str(name): everyone.take(stays & (metric == name)) for name in np.unique(metric)},
        treatment_count=int(is_treatment.sum()),
        control_count=int((~is_treatment).sum()),
        moved_count=members.filter(pl.col("is_moved"))["device_id"].n_unique(),
    )


def _everyone(units: Units) -> Cohort:
    keys = units.keys
    hashes = device_hashes(keys["tenant_id"].to_list(), keys["device_id"].to_list())
    has_value = np.isfinite(units.slots)
    level, spread = _level_and_spread(units.slots, has_value)
    counts = units.counts
    return Cohort(
        hashes.view(np.int64),
        keys["stratum"].rank("dense").to_numpy().astype(np.int64),
        keys["is_treatment"].to_numpy(),
        has_value.sum(axis=1),
        (~np.isnan(units.slots)).sum(axis=1),
        level,
        spread,
        counts[:, 1] / np.maximum(counts.sum(axis=1), 1),
    )


def _level_and_spread(slots: Floats, has_value: Bools) -> tuple[Floats, Floats]:
    """Return mean and mean distance from it, NaN without any value."""
    count = has_value.sum(axis=1)
    divisor = np.where(count > 0, count, np.nan)
    mean = np.where(has_value, slots, 0.0).sum(axis=1) / divisor
    distance = np.where(has_value, np.abs(slots - mean[:, None]), 0.0).sum(axis=1) / divisor
    # Both in steps of the mean's own digits: a spread of its rounding is none.
    step = np.ldexp(1.0, np.frexp(mean)[1] - _MANTISSA_BITS)
    return np.round(mean / step) * step, np.round(distance / step) * step
