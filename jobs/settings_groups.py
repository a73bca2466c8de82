"""Groups of settings that stand on their own; `jobs/settings.py` puts all of them together."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from udfs.drift.budget import parse_budget


class Group(BaseModel):
    """One group of settings; an unknown name is an error, not a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DriftSettings(Group):
    """Whether drift is looked for, and when a window is complete."""

    is_on: bool = True
    """Off, the job is not submitted: it takes a Python worker, some 300 MiB."""
    complete_after_s: int = Field(600, ge=30, le=86_400)
    """So long after its end, by the clock of telemetry, a window is complete in any case."""
    step_s: int = Field(30, ge=1, le=600)
    """Complete windows are judged so often."""
    budget: str = "1/10k_device_days"
    """False pages that are accepted, of all detectors together; with 8 metrics a device."""

    @field_validator("budget")
    @classmethod
    def _check_budget(cls, text: str) -> str:
        parse_budget(text)
        return text

    @model_validator(mode="after")
    def _check_step(self) -> "DriftSettings":
        if self.step_s > self.complete_after_s:
            raise ValueError("step_s must not be above complete_after_s")
        return self


class RolloutSettings(Group):
    """How rollouts of a model version, which are noticed by themselves, are judged."""

    is_on: bool = True
    """Off, no new rollout is noticed."""
    alpha: float = Field(0.01, gt=0, lt=0.5)
    """Chance of a false ROLLBACK in the life of a rollout."""
    min_devices: int = Field(20, ge=2, le=1_000_000)
    """Of each version; fewer are NODATA."""
    tolerance_sigma: float = Field(0.5, gt=0, le=10)
    """A shift that is surely smaller is harmless: PROMOTE. Sigma is the spread of devices."""
    min_effect_sigma: float = Field(0.0, ge=0, le=10)
    """A shift that is not surely larger is no ROLLBACK."""
    horizon_looks: int = Field(5, ge=1, le=100)
    """After so many looks (of 60 windows of devices) a rollout without a verdict has failed."""
    settle_s: int = Field(1_800, ge=0, le=86_400)
    """From the new version's first window to the first look: devices are updated meanwhile."""
    metrics: dict[str, Literal["up", "down", "both"]] = Field({}, max_length=16)
    """What is judged, and which direction does harm; empty: the usual ones (README)."""

    @model_validator(mode="after")
    def _check_effect(self) -> "RolloutSettings":
        if self.min_effect_sigma >= self.tolerance_sigma:
            raise ValueError("min_effect_sigma must be below tolerance_sigma")
        return self
