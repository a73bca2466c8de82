"""Settings as a TOML file, so that every process of a stack reads the same values."""

import json
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from jobs.settings import SETTINGS_FILE_VARIABLE, Settings, inherited_environment


def settings_path(settings: Settings) -> Path:
    """Return where the local stack keeps the settings that its processes read."""
    return settings.stack.data_dir.resolve() / "run" / "settings.toml"


def write_settings_file(settings: Settings) -> Path:
    """Write all settings for the processes of the stack; only the owner may read the file."""
    path = settings_path(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(settings_text(settings), encoding="utf-8")
    return path


def settings_text(settings: Settings) -> str:
    """Return all settings as TOML.

    >>> print(settings_text(Settings()).splitlines()[0])
    [kafka]
    """
    groups = settings.model_dump().items()
    return "\n".join(_group_text(name, fields) for name, fields in groups)


def child_environment(settings: Settings) -> dict[str, str]:
    """Return the environment of a child that reads the stack's settings file."""
    return inherited_environment() | {SETTINGS_FILE_VARIABLE: str(settings_path(settings))}


def _group_text(name: str, fields: dict[str, Any]) -> str:
    lines = [f"{key} = {_value_text(value)}\n" for key, value in fields.items()]
    return f"[{name}]\n" + "".join(lines)


def _value_text(value: object) -> str:
    """Write one value; JSON's strings, numbers and booleans are TOML as well.

    >>> print(_value_text({"power_w": "up"}))
    {"power_w" = "up"}
    """
    if isinstance(value, Path):
        # A child may run in another folder.
        return json.dumps(str(value.expanduser().resolve()), ensure_ascii=False)
    if isinstance(value, SecretStr):
        return json.dumps(value.get_secret_value(), ensure_ascii=False)
    if isinstance(value, dict):
        pairs = (f"{json.dumps(key)} = {_value_text(each)}" for key, each in value.items())
        return "{" + ", ".join(pairs) + "}"
    return json.dumps(value, ensure_ascii=False)
