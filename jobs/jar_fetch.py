"""Fetches the pinned Java files of `docker/jars.lock`, in parallel, and checks every byte.

Run as `python -m jobs.jar_fetch [--cache-dir DIR] [--write-lock]` by `make setup` and `make lock`.
It runs before the project's dependencies are installed: only the standard library and jgo.
"""

import argparse
import logging
import shutil
import sys
import tarfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
from jgo.maven import MavenContext

from jobs.jars import (
    LOCK_FILE,
    Destination,
    LockedFile,
    missing_files,
    read_lock,
    registry_home,
    repository_dir,
    sha256_of,
    verify_file,
)
from schemas.errors import FleetpulseError, Unavailable

DEFAULT_CACHE_DIR = Path("~/.cache/fleetpulse")
PARALLEL_DOWNLOADS = 8
ATTEMPT_COUNT = 4
FIRST_PAUSE_S = 1.0
REQUEST_TIMEOUT_S = 60

WANTED = (
    # The broker: the newest patch of 4.3, and the logging binding that its own archive ships.
    ("org.apache.kafka:kafka_2.13:4.3.1", Destination.KAFKA),
    ("org.apache.logging.log4j:log4j-slf4j-impl:2.25.4", Destination.KAFKA),
    ("org.apache.flink:flink-sql-connector-kafka:5.0.0-2.2", Destination.FLINK),
    # The connector does not carry it: one batch that a device compressed so would end every job.
    ("com.github.luben:zstd-jni:1.5.6-10", Destination.FLINK),
    ("io.apicurio:apicurio-registry-app:3.3.3:all:tar.gz", Destination.REGISTRY),
)
"""What the lock file is made from; only the broker needs its dependencies as well."""


def fetch_missing(
    cache_dir: Path, report: Callable[[str], None], lock: Sequence[LockedFile] | None = None
) -> int:
    """Fetch, check and unpack every file that is not there yet.

    Args:
        cache_dir: where the files are kept between runs.
        report: gets one line of progress at a time.
        lock: the files; those of the project's lock file when None.

    Returns:
        How many files were fetched.

    Raises:
        Unavailable: a file could not be had; the message names it and the cure.
    """
    # A file that two of them need is one file.
    missing = {each.path(cache_dir): each for each in missing_files(cache_dir, lock)}.values()
    if missing:
        report(f"fetching {len(missing)} Java files into {cache_dir.expanduser()}")
    with ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool:
        for _ in pool.map(lambda each: _fetch_with_retry(each, cache_dir), missing):
            pass  # the first failure is raised here
    if missing:
        report("the Java files are complete and their checksums right")
    return len(missing)


def _fetch_with_retry(locked: LockedFile, cache_dir: Path) -> None:
    pause_s = FIRST_PAUSE_S
    for attempt in range(1, ATTEMPT_COUNT + 1):
        try:
            _fetch(locked, cache_dir)
        except (Unavailable, requests.RequestException, RuntimeError, OSError) as error:
            # RuntimeError is how jgo says that the repository does not have the file.
            if attempt == ATTEMPT_COUNT:
                raise Unavailable(_failure_line(locked, error)) from error
            time.sleep(pause_s)
            pause_s *= 2
        else:
            return


def _failure_line(locked: LockedFile, error: Exception) -> str:
    cause = " ".join(str(error).split())[:200] or type(error).__name__
    return (
        f"could not fetch {locked.coordinates} in {ATTEMPT_COUNT} attempts ({cause}); "
        "cure: check the network or the proxy, then run `make setup` again"
    )


def _fetch(locked: LockedFile, cache_dir: Path) -> None:
    path = locked.path(cache_dir)
    if not path.is_file():
        _download(locked, cache_dir)
    verify_file(locked, cache_dir)
    if locked.destination is Destination.REGISTRY:
        _unpack(path, registry_home(cache_dir, locked))


def _download(locked: LockedFile, cache_dir: Path) -> None:
    path = locked.path(cache_dir)
    # An interrupted download must not look like a file: fetch elsewhere, then rename.
    partial = repository_dir(cache_dir) / ".partial" / locked.file_name
    shutil.rmtree(partial, ignore_errors=True)
    fetched = _resolve(locked, partial)
    path.parent.mkdir(parents=True, exist_ok=True)
    fetched.rename(path)
    shutil.rmtree(partial, ignore_errors=True)


def _resolve(locked: LockedFile, repository: Path) -> Path:
    context = MavenContext(repo_cache=repository, timeout=REQUEST_TIMEOUT_S)
    component = context.project(locked.group, locked.artifact).at_version(locked.version)
    return Path(component.artifact(locked.classifier, locked.extension).resolve())


def _unpack(archive: Path, home: Path) -> None:
    partial = home.with_name(f"{home.name}.partial")
    for folder in (partial, home):
        shutil.rmtree(folder, ignore_errors=True)
    with tarfile.open(archive) as tar:
        tar.extractall(partial, filter="data")
    (partial / ".complete").touch()
    partial.rename(home)


def write_lock(cache_dir: Path, lock_file: Path = LOCK_FILE) -> int:
    """Resolve what is wanted, with the broker's dependencies, and write the lock file.

    Returns:
        How many files the lock file names.
    """
    context = MavenContext(repo_cache=cache_dir.expanduser() / "resolve", timeout=REQUEST_TIMEOUT_S)
    lines = set()
    for coordinates, destination in WANTED:
        for resolved in _closure(context, coordinates, destination):
            if not resolved.path(cache_dir).is_file():
                _download(resolved, cache_dir)
            sha256 = sha256_of(resolved.path(cache_dir))
            lines.add(f"{resolved.coordinates} {sha256} {destination}\n")
    header = "# Written by `make lock`: coordinates, sha256, who needs the file.\n"
    lock_file.write_text(header + "".join(sorted(lines)), encoding="utf-8")
    return len(lines)


def _closure(context: MavenContext, coordinates: str, destination: Destination) -> list[LockedFile]:
    """Fetch one wanted file and, for the broker itself, its runtime dependencies."""
    group, artifact, version, *rest = coordinates.split(":")
    classifier, extension = rest or ("", "jar")
    wanted = [LockedFile(group, artifact, version, classifier, extension, "", destination)]
    if coordinates.startswith("org.apache.kafka:"):
        _, needed = context.resolver.resolve([context.create_dependency(coordinates)])
        wanted += [
            LockedFile(d.groupId, d.artifactId, d.version, d.classifier, "jar", "", destination)
            for d in needed
        ]
    return wanted


def main() -> int:
    """Fetch what is missing, or write the lock file; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache-dir", type=Path, default=DEFAULT_CACHE_DIR)
    parser.add_argument("--write-lock", action="store_true", help="write docker/jars.lock anew")
    parser.add_argument("--only", type=Destination, help="fetch for kafka, flink or registry alone")
    options = parser.parse_args()
    logging.getLogger("jgo").setLevel(logging.ERROR)  # our own line names the file and the cure
    try:
        if options.write_lock:
            print(f"{LOCK_FILE.name}: {write_lock(options.cache_dir)} files")
        else:
            wanted = [each for each in read_lock() if options.only in (None, each.destination)]
            fetch_missing(options.cache_dir, print, wanted)
    except FleetpulseError as error:
        print(f"fleetpulse: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
