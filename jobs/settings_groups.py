"""Groups of settings that stand on their own; `jobs/settings.py` puts all of them together."""

from pydantic import BaseModel, ConfigDict, Field, model_validator


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

    @model_validator(mode="after")
    def _check_step(self) -> "DriftSettings":
        if self.step_s > self.complete_after_s:
            raise ValueError("step_s must not be above complete_after_s")
        return self
