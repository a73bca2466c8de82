"""What a shard tells of its devices so that groups can be judged: who is near a page, of how many.

near     a stream of a device near a page      (`udfs/drift/stream_evidence.py`)
sizes    devices of each group that had a window
"""

from dataclasses import dataclass, field
from typing import Any

import polars as pl

from udfs.windows import Scope

NEAR_SCHEMA: dict[str, Any] = {
    "step_ms": pl.Int64,
    **dict.fromkeys(("tenant_id", "deployment_group", "subject", "metric"), pl.String),
    "window_start": pl.Int64,
    "margin": pl.Float64,
    "shift_sigma": pl.Float64,
    "first_seen_ms": pl.Int64,
}
SIZE_SCHEMA: dict[str, Any] = {
    "step_ms": pl.Int64,
    **dict.fromkeys(("tenant_id", "deployment_group"), pl.String),
    "devices": pl.Int64,
}


def _none(schema: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(schema=schema)


@dataclass
class Company:
    """What was told.

    Args:
        near: `NEAR_SCHEMA`.
        sizes: `SIZE_SCHEMA`.
    """

    near: pl.DataFrame = field(default_factory=lambda: _none(NEAR_SCHEMA))
    sizes: pl.DataFrame = field(default_factory=lambda: _none(SIZE_SCHEMA))

    def add(self, later: "Company") -> None:
        """Add what is told after this."""
        if len(later.near):
            self.near = pl.concat([self.near, later.near])
        if len(later.sizes):
            self.sizes = pl.concat([self.sizes, later.sizes])

    def take_until(self, clock_ms: int) -> "Company":
        """Take out what was told of the time up to an instant."""
        is_due = pl.col("step_ms") <= clock_ms
        due = Company(self.near.filter(is_due), self.sizes.filter(is_due))
        if len(due.near):
            self.near = self.near.filter(~is_due)
        if len(due.sizes):
            self.sizes = self.sizes.filter(~is_due)
        return due


def company_of(windows: pl.DataFrame, near: pl.DataFrame, step_ms: int) -> Company:
    """Return what a step of a shard tells.

    Args:
        windows: complete ones, `COMPLETE_SCHEMA`.
        near: as `StreamMember.take_near` returns it.
        step_ms: of the clock.
    """
    of_devices = windows.filter(pl.col("scope") == Scope.DEVICE.value)
    step = pl.lit(step_ms, pl.Int64).alias("step_ms")
    if of_devices.is_empty():
        return Company(near.select(step, *list(NEAR_SCHEMA)[1:])) if len(near) else Company()
    counted = of_devices.group_by("tenant_id", "deployment_group").agg(
        pl.col("subject").n_unique().cast(pl.Int64).alias("devices")
    )
    return Company(
        near.select(step, *list(NEAR_SCHEMA)[1:]), counted.select(step, *list(SIZE_SCHEMA)[1:])
    )
