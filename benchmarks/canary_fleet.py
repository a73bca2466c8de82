"""Seeded rollouts with devices that differ: windows of treatment and control, one block a window.

    value = law(device) * sqrt(rho) + law(device, window) * sqrt(1 - rho)

so windows of one device correlate by `rho`. Shifts are in standard deviations of devices' means.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from udfs.drift.canary import WINDOW_SCHEMA
from udfs.drift.canary_policy import CanaryPolicy
from udfs.histogram import Floats

START_MS = 1_767_225_600_000  # 2026-01-01
TENANT = "acme"
METRIC = "prediction_confidence"
LAWS = ("normal", "t3", "lognormal", "five levels")


@dataclass(frozen=True)
class CanaryFleet:
    """What is simulated.

    Args:
        rollouts: alike, each with devices of its own.
        treatment: devices with the new version, of each rollout.
        control: devices without.
        law: of devices and of windows, one of `LAWS`.
        rho: correlation of two windows of one device.
        shift_sigma: of the treatment.
        within_scale: factor on the standard deviation of the treatment's windows.
        between_scale: the same of its devices.
    """

    rollouts: int = 1
    treatment: int = 30
    control: int = 30
    law: str = "normal"
    rho: float = 0.3
    shift_sigma: float = 0.0
    within_scale: float = 1.0
    between_scale: float = 1.0

    def announced(self, treatment_share: float | None = 0.5) -> pl.DataFrame:
        """Return the rollouts as they are announced."""
        return pl.DataFrame(
            {
                "tenant_id": [TENANT] * self.rollouts,
                "rollout_id": [f"r{number}" for number in range(self.rollouts)],
                "started_at_ms": START_MS,
                "treatment_share": pl.Series([treatment_share] * self.rollouts, dtype=pl.Float64),
            }
        )

    def blocks(
        self, chance: np.random.Generator, policy: CanaryPolicy, windows: int
    ) -> Iterator[tuple[int, pl.DataFrame]]:
        """Yield the end of each window and the rows of all devices."""
        frame = self._identities()
        is_treatment = frame["is_treatment"].to_numpy()
        of_window = np.where(is_treatment, self.within_scale, 1.0) * np.sqrt(1 - self.rho)
        of_device = np.where(is_treatment, self.between_scale, 1.0) * np.sqrt(self.rho)
        mean_sigma = np.sqrt(self.rho + (1 - self.rho) / policy.look_windows)
        base = of_device * draws(chance, self.law, len(frame))
        base += self.shift_sigma * mean_sigma * is_treatment
        for number in range(windows):
            start_ms = START_MS + number * policy.window_ms
            end_ms = start_ms + policy.window_ms
            values = 10 + base + of_window * draws(chance, self.law, len(frame))
            if self.law == "five levels":
                values = np.clip(np.round(values), 8, 12)
            yield (
                end_ms,
                frame.with_columns(
                    arrived_ms=pl.lit(end_ms, pl.Int64),
                    window_start_ms=pl.lit(start_ms, pl.Int64),
                    value=pl.Series(values),
                ).select(*WINDOW_SCHEMA),
            )

    def _identities(self) -> pl.DataFrame:
        devices = self.treatment + self.control
        zero = pl.lit(0, pl.Int64)
        return pl.DataFrame(
            {
                "tenant_id": TENANT,
                "rollout_id": [f"r{n}" for n in range(self.rollouts) for _ in range(devices)],
                "is_treatment": np.tile(np.arange(devices) < self.treatment, self.rollouts),
                "stratum": "jetson/berlin",
                "device_id": [f"cam-{n}" for n in range(self.rollouts * devices)],
                "metric": METRIC,
                "count": 5,
            }
        ).with_columns(missing_count=zero, nan_count=zero)


def draws(chance: np.random.Generator, law: str, size: int) -> Floats:
    """Draw from a law with mean 0 and standard deviation 1; five levels are cut from a normal."""
    if law == "t3":
        return chance.standard_t(3, size) / np.sqrt(3)
    if law == "lognormal":
        skewed = np.exp(0.5 * chance.standard_normal(size))
        mean, variance = np.exp(0.125), (np.exp(0.25) - 1) * np.exp(0.25)
        return np.asarray((skewed - mean) / np.sqrt(variance))
    assert law in {"normal", "five levels"}, law
    return chance.standard_normal(size)
