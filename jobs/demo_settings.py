"""The settings of a demo, which shows in minutes what takes hours."""

from typing import Any

from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
)

from jobs.settings import Settings


class DemoSettings(Settings):
    """The same settings with the defaults of the demo."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], *args: Any, **sources: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the demo's defaults below every other source."""
        defaults = InitSettingsSource(settings_cls, init_kwargs=DEMO_DEFAULTS)
        return (*super().settings_customise_sources(settings_cls, *args, **sources), defaults)


DEMO_DEFAULTS: dict[str, Any] = {
    "offline": {"warning_after_s": 20.0, "critical_after_s": 60.0, "resolve_hold_s": 20.0},
    "fleet": {"device_count": 1_000, "speed": 30.0},
}
