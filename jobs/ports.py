"""The ports of the local stack: whether they are free, who has them, and free ones for tests."""

import random
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from jobs.settings import Settings, StackSettings, load_settings
from jobs.settings_refusals import ENVIRONMENT_PREFIX
from schemas.errors import SettingsError

LOOPBACK = "127.0.0.1"
PORT_FIELDS = (
    "kafka_port",
    "controller_port",
    "registry_port",
    "registry_management_port",
    "flink_port",
    "flink_rpc_port",
    "metrics_port",
)
METRICS_PORT_COUNT = 2
"""Consecutive ports from metrics_port: the loader, and one to spare for the next service."""

# Below the range from which the kernel takes the ports of outgoing connections.
FREE_PORT_FIRST, FREE_PORT_LAST = 20_000, 32_000
FREE_PORT_STEP = METRICS_PORT_COUNT
FREE_PORT_ATTEMPTS = 1_000
TEST_START_TIMEOUT_S = 270.0
"""A machine that runs several stacks at once starts each of them slowly."""


@dataclass(frozen=True)
class PortUse:
    """One port that a setting asks for."""

    field: str
    port: int


def ports_of(stack: StackSettings) -> Iterator[PortUse]:
    """Name every port that the local stack takes."""
    for field in PORT_FIELDS:
        first = getattr(stack, field)
        count = METRICS_PORT_COUNT if field == "metrics_port" else 1
        yield from (PortUse(field, first + index) for index in range(count))


def is_free(port: int) -> bool:
    """Say whether a server could listen on the port of the loopback interface."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        # Connections that wait after their close do not hinder a server that listens.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def is_answering(port: int) -> bool:
    """Say whether something accepts connections on the port of the loopback interface."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((LOOPBACK, port)) == 0


def require_free_ports(stack: StackSettings) -> None:
    """Refuse to start when a port is taken, or asked for twice.

    Raises:
        SettingsError: names the setting, the port, who has it and the cure.
    """
    seen: set[int] = set()
    for use in ports_of(stack):
        if use.port in seen:
            _refuse(use, "another setting of this stack asks for it too")
        if not is_free(use.port):
            _refuse(use, f"taken by {port_owner(use.port)}")
        seen.add(use.port)


def _refuse(use: PortUse, cause: str) -> None:
    name = f"{ENVIRONMENT_PREFIX}STACK__{use.field.upper()}"
    raise SettingsError(
        f"stack.{use.field}",
        value=use.port,
        allowed=f"a free port on {LOOPBACK} ({cause})",
        cure=f"end that program, run `fleetpulse down`, or set {name}",
    )


def port_owner(port: int) -> str:
    """Name the process that listens on a port, as far as the system tells."""
    for connection in psutil.net_connections(kind="tcp"):
        is_listening = connection.status == psutil.CONN_LISTEN
        if is_listening and connection.laddr.port == port and connection.pid is not None:
            try:
                return f"process {connection.pid}, {psutil.Process(connection.pid).name()}"
            except psutil.NoSuchProcess:
                break
    return "another program"


def free_port_settings(data_dir: Path, **groups: dict[str, Any]) -> Settings:
    """Return settings for a stack of its own: its own folder and ports that are free now.

    Args:
        data_dir: an empty folder for this stack alone.
        groups: other settings, such as `kafka={"partition_count": 2}`.
    """
    ports = _free_ports(len(PORT_FIELDS))
    stack: dict[str, Any] = dict(zip(PORT_FIELDS, ports, strict=True))
    stack |= {"data_dir": data_dir, "start_timeout_s": TEST_START_TIMEOUT_S}
    return load_settings(**{**groups, "stack": stack | groups.get("stack", {})})


def _free_ports(count: int) -> list[int]:
    """Draw port numbers, each followed by METRICS_PORT_COUNT - 1 more free ones."""
    draw = random.SystemRandom()
    ports: set[int] = set()
    for _ in range(FREE_PORT_ATTEMPTS):
        first = draw.randrange(FREE_PORT_FIRST, FREE_PORT_LAST, FREE_PORT_STEP)
        if all(is_free(first + index) for index in range(METRICS_PORT_COUNT)):
            ports.add(first)
        if len(ports) == count:
            return sorted(ports)
    raise SettingsError(
        "ports",
        value=f"{FREE_PORT_FIRST}-{FREE_PORT_LAST}",
        allowed=f"{count} free ports on {LOOPBACK}",
        cure="end programs that listen there",
    )
