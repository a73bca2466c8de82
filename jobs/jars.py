"""The pinned Java files: what the lock file names, where they lie, and whether they are right.

Only the standard library is needed here, because the set-up runs it before anything is installed.

    docker/jars.lock          group:artifact:version[:classifier[:extension]] sha256 destination
    <cache_dir>/maven/...     the files as they were fetched, in the usual repository layout
    <cache_dir>/registry/...  the schema registry, unpacked
    <cache_dir>/verified/...  size and time of each file when its sha256 was last compared
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from schemas.errors import SettingsError, Unavailable

PROJECT_ROOT = Path(__file__).resolve().parent.parent
LOCK_FILE = PROJECT_ROOT / "docker" / "jars.lock"
READ_BLOCK_BYTES = 1024 * 1024
SHA256_PATTERN = re.compile(r"[0-9a-f]{64}")


class Destination(StrEnum):
    """Who needs a file."""

    KAFKA = "kafka"
    FLINK = "flink"
    REGISTRY = "registry"


@dataclass(frozen=True)
class LockedFile:
    """One line of the lock file."""

    group: str
    artifact: str
    version: str
    classifier: str
    extension: str
    sha256: str
    destination: Destination

    @property
    def coordinates(self) -> str:
        """Return the file's name in the lock file."""
        parts = [self.group, self.artifact, self.version]
        if self.classifier or self.extension != "jar":
            parts.append(self.classifier)
        if self.extension != "jar":
            parts.append(self.extension)
        return ":".join(parts)

    @property
    def file_name(self) -> str:
        """Return the name of the file itself."""
        classifier = f"-{self.classifier}" if self.classifier else ""
        return f"{self.artifact}-{self.version}{classifier}.{self.extension}"

    def path(self, cache_dir: Path) -> Path:
        """Return where the file lies once it has been fetched."""
        folder = Path(*self.group.split("."), self.artifact, self.version)
        return repository_dir(cache_dir) / folder / self.file_name


def repository_dir(cache_dir: Path) -> Path:
    """Return the folder of the fetched files."""
    return cache_dir.expanduser() / "maven"


def registry_home(cache_dir: Path, archive: LockedFile) -> Path:
    """Return the folder into which the schema registry's archive is unpacked."""
    return cache_dir.expanduser() / "registry" / f"{archive.artifact}-{archive.version}"


def parse_lock(text: str, *, name: str = "docker/jars.lock") -> list[LockedFile]:
    """Read the lines of a lock file; empty lines and comments are skipped.

    >>> line = "org.example:tool:1.0 " + "0" * 64 + " kafka"
    >>> parse_lock(line)[0].file_name
    'tool-1.0.jar'

    Raises:
        SettingsError: a line is not `coordinates sha256 destination`.
    """
    lines = ((number, line.split("#")[0].split()) for number, line in _numbered(text))
    return [_parse_line(fields, f"{name} line {number}") for number, fields in lines if fields]


def _numbered(text: str) -> list[tuple[int, str]]:
    return list(enumerate(text.splitlines(), start=1))


def _parse_line(fields: list[str], where: str) -> LockedFile:
    try:
        coordinates, sha256, destination = fields
        group, artifact, version, *rest = coordinates.split(":")
        classifier, extension = [*rest, *("", "jar")[len(rest) :]]
        if not SHA256_PATTERN.fullmatch(sha256):
            raise ValueError(sha256)  # noqa: TRY301 - every malformed line has the same cure
        return LockedFile(
            group, artifact, version, classifier, extension, sha256, Destination(destination)
        )
    except ValueError as error:
        raise SettingsError(
            where,
            value=" ".join(fields),
            allowed="group:artifact:version[:classifier[:extension]] sha256 kafka|flink|registry",
            cure="write the file again with `make lock`",
        ) from error


def read_lock(path: Path = LOCK_FILE) -> list[LockedFile]:
    """Read the project's lock file."""
    return parse_lock(path.read_text(encoding="utf-8"))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(READ_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def verify_file(locked: LockedFile, cache_dir: Path) -> None:
    """Compare a fetched file with its checksum, remove it when it is wrong, else remember it.

    Raises:
        Unavailable: the bytes are not those of the lock file; fetching again may help.
    """
    path = locked.path(cache_dir)
    found = sha256_of(path)
    if found != locked.sha256:
        path.unlink()
        raise Unavailable(
            f"{locked.coordinates}: sha256 is {found}, docker/jars.lock says {locked.sha256}"
        )
    stamp = _stamp_path(locked, cache_dir)
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(json.dumps(_fingerprint(path)), encoding="utf-8")


def is_verified(locked: LockedFile, cache_dir: Path) -> bool:
    """Say whether the file is there and unchanged since its checksum was compared."""
    path, stamp = locked.path(cache_dir), _stamp_path(locked, cache_dir)
    if not path.is_file() or not stamp.is_file():
        return False
    return bool(json.loads(stamp.read_text(encoding="utf-8")) == _fingerprint(path))


def _stamp_path(locked: LockedFile, cache_dir: Path) -> Path:
    # The checksum is part of the name: a changed lock file never trusts an older comparison.
    return cache_dir.expanduser() / "verified" / f"{locked.file_name}.{locked.sha256[:16]}"


def _fingerprint(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def missing_files(cache_dir: Path, lock: Sequence[LockedFile] | None = None) -> list[LockedFile]:
    """Return the files that still have to be fetched, in the order of the lock file."""
    locked_files = read_lock() if lock is None else lock
    return [locked for locked in locked_files if not is_ready(locked, cache_dir)]


def is_ready(locked: LockedFile, cache_dir: Path) -> bool:
    """Say whether a file can be used: verified and, for the registry, unpacked."""
    if locked.destination is Destination.REGISTRY:
        home = registry_home(cache_dir, locked)
        return is_verified(locked, cache_dir) and (home / ".complete").is_file()
    return is_verified(locked, cache_dir)


def jar_paths(cache_dir: Path, destination: Destination) -> list[Path]:
    """Return the jars of one destination, for a class path.

    Raises:
        SettingsError: a file is missing or was changed.
    """
    locked_files = [locked for locked in read_lock() if locked.destination is destination]
    require_files(cache_dir, locked_files)
    return [locked.path(cache_dir) for locked in locked_files]


def unpacked_registry(cache_dir: Path) -> Path:
    """Return the folder of the unpacked schema registry.

    Raises:
        SettingsError: it is missing.
    """
    (archive,) = [locked for locked in read_lock() if locked.destination is Destination.REGISTRY]
    require_files(cache_dir, [archive])
    return registry_home(cache_dir, archive)


def require_files(cache_dir: Path, locked_files: Sequence[LockedFile]) -> None:
    """Refuse to start when a file is missing.

    Raises:
        SettingsError: names the first missing file and the cure.
    """
    missing = missing_files(cache_dir, locked_files)
    if missing:
        raise SettingsError(
            "stack.cache_dir",
            value=str(cache_dir),
            allowed=f"a folder that holds {missing[0].coordinates} ({len(missing)} files missing)",
            cure="fetch them with `make jars`",
        )
