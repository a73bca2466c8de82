"""What pydantic refuses, as one line that names the setting and shows no secret."""

from collections.abc import Mapping

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from schemas.errors import SettingsError

ENVIRONMENT_PREFIX = "FLEETPULSE_"


def refusal_of(error: ValidationError, groups: Mapping[str, FieldInfo]) -> SettingsError:
    """Return the first of the errors in our own form.

    Args:
        error: as pydantic raised it.
        groups: every group of settings by its name.
    """
    first = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"]) or "settings"
    is_unknown = first["type"] == "extra_forbidden"
    # What is in the wrong place may be a password.
    is_secret = is_unknown or name == "clickhouse" or "password" in name
    text = first["msg"].removeprefix("Value error, ")
    return SettingsError(
        name,
        value="***" if is_secret else first.get("input"),
        allowed=f"one of {_siblings(first['loc'], groups)}" if is_unknown else text,
        cure=f"set {ENVIRONMENT_PREFIX}{name.upper().replace('.', '__')} or correct the TOML file",
    )


def _siblings(location: tuple[int | str, ...], groups: Mapping[str, FieldInfo]) -> str:
    """Return the names that exist beside an unknown one."""
    if len(location) == 1:
        return ", ".join(groups)
    group = groups[str(location[0])].annotation
    return ", ".join(getattr(group, "model_fields", {}))
