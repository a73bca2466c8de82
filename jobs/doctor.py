"""Checks everything that Fleetpulse needs on this machine and says the cure for what is wrong."""

import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from jobs.jars import missing_files
from jobs.java_runtime import ENGINE_JAVA_MIN, REGISTRY_JAVA_MIN, find_java
from jobs.ports import is_answering, port_owner, ports_of
from jobs.settings import Settings, inherited_environment
from jobs.stack_end import stack_processes
from jobs.topic_admin import check_topics
from schemas.errors import FleetpulseError, SettingsError, Unavailable
from schemas.registry import SchemaRegistry

DISK_FREE_MIN_BYTES = 2 * 1024**3
"""A stack with its logs and a day of a small fleet fits into this."""

PACKAGES = ("apache-flink", "confluent-kafka", "polars", "numpy", "clickhouse-connect", "chdb")


class Verdict(StrEnum):
    """How a check ended."""

    GOOD = "good"
    BAD = "bad"
    IDLE = "not running"


@dataclass(frozen=True)
class Check:
    """One finding.

    Args:
        name: what was looked at.
        verdict: how it is.
        finding: what was found and, when it is bad, the cure.
    """

    name: str
    verdict: Verdict
    finding: str


def print_checks(settings: Settings) -> bool:
    """Print every check; say whether none is bad."""
    colours = {Verdict.GOOD: "green", Verdict.BAD: "red", Verdict.IDLE: "yellow"}
    table = Table("check", "verdict", "finding")
    checks = list(all_checks(settings))
    for check in checks:
        table.add_row(check.name, f"[{colours[check.verdict]}]{check.verdict}[/]", check.finding)
    Console().print(table)
    return all(check.verdict is not Verdict.BAD for check in checks)


def all_checks(settings: Settings) -> Iterator[Check]:
    """Look at the machine first, then at the parts that run."""
    is_up = any(process.is_alive for process in stack_processes(settings))
    yield from (_examine(name, look) for name, look in _machine_checks(settings).items())
    yield from _port_checks(settings, is_up=is_up)
    for name, look in _service_checks(settings).items():
        yield _examine(name, look, is_idle_good=not is_up)


def _examine(name: str, look: Callable[[], str], *, is_idle_good: bool = False) -> Check:
    try:
        return Check(name, Verdict.GOOD, look())
    except Unavailable as error:
        verdict = Verdict.IDLE if is_idle_good else Verdict.BAD
        return Check(name, verdict, f"{error}; cure: start it with `fleetpulse up`")
    except FleetpulseError as error:
        return Check(name, Verdict.BAD, str(error))


def _machine_checks(settings: Settings) -> dict[str, Callable[[], str]]:
    return {
        "Python": lambda: sys.version.split()[0],
        "packages": _packages,
        "Java for Kafka and Flink": lambda: _java(ENGINE_JAVA_MIN),
        "Java for the registry": lambda: _java(REGISTRY_JAVA_MIN),
        "jars": lambda: _jars(settings.stack.cache_dir),
        "disk": lambda: _disk(settings.stack.data_dir),
    }


def _service_checks(settings: Settings) -> dict[str, Callable[[], str]]:
    return {
        "topics": lambda: _topics(settings),
        "registry": lambda: _registry(settings),
        "ClickHouse": lambda: _clickhouse(settings),
    }


def _packages() -> str:
    try:
        return ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    except PackageNotFoundError as error:
        raise SettingsError(
            "packages", value=f"{error.name} is missing", allowed="all", cure="run `make setup`"
        ) from error


def _java(minimum: int) -> str:
    java = find_java(inherited_environment(), minimum)
    return f"Java {java.version} ({java.origin})"


def _jars(cache_dir: Path) -> str:
    missing = missing_files(cache_dir)
    if missing:
        raise SettingsError(
            "stack.cache_dir",
            value=f"{len(missing)} files are missing",
            allowed="every file of docker/jars.lock",
            cure="run `make jars`",
        )
    return f"complete in {cache_dir.expanduser()}"


def _disk(data_dir: Path) -> str:
    folder = next(p for p in (data_dir.resolve(), *data_dir.resolve().parents) if p.exists())
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < DISK_FREE_MIN_BYTES:
        raise SettingsError(
            "stack.data_dir",
            value=f"{free_bytes / 1024**3:.1f} GiB free",
            allowed=f"at least {DISK_FREE_MIN_BYTES / 1024**3:.0f} GiB",
            cure="make room or set stack.data_dir to another disk",
        )
    return f"{free_bytes / 1024**3:.1f} GiB free at {folder}"


def _port_checks(settings: Settings, *, is_up: bool) -> Iterator[Check]:
    for use in ports_of(settings.stack):
        name = f"port {use.port} (stack.{use.field})"
        if not is_answering(use.port):
            yield Check(name, Verdict.GOOD, "free")
        elif is_up:
            yield Check(name, Verdict.GOOD, f"in use by {port_owner(use.port)}")
        else:
            cure = "cure: end that program or set another port"
            yield Check(name, Verdict.BAD, f"taken by {port_owner(use.port)}; {cure}")


def _topics(settings: Settings) -> str:
    check_topics(settings.kafka)
    return f"complete on {settings.kafka.bootstrap_servers}; telemetry has the right clock"


def _registry(settings: Settings) -> str:
    registry = SchemaRegistry(settings.registry.url, settings.registry.timeout_s)
    try:
        return f"answers with {registry.subject_count()} subjects"
    finally:
        registry.close()


def _clickhouse(settings: Settings) -> str:
    if settings.clickhouse.interface == "chdb":
        folder = settings.stack.data_dir.resolve() / "clickhouse"
        return f"embedded, in {folder}{'' if folder.exists() else ' (made by the loader)'}"
    server = settings.clickhouse
    if server.host in ("127.0.0.1", "localhost") and not is_answering(server.port):
        raise Unavailable(f"no ClickHouse server answers at {server.host}:{server.port}")
    return f"{server.interface}://{server.host}:{server.port}"
