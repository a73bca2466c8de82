"""Where ClickHouse is, embedded (chDB) or a server, and how its errors become ours."""

import contextlib
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error, OperationalError

from schemas.errors import SettingsError
from sinks.clickhouse_errors import fleetpulse_error, not_clickhouse

TIMEOUT_S = 60.0
PASSING_STATUSES = frozenset({408, 429, *range(500, 600)})
"""HTTP statuses that something between us and ClickHouse answers while it is away or busy."""

BARE_STATUS = re.compile(r"HTTP driver received HTTP status (\d{3})")
"""How the driver tells of an answer without a code of ClickHouse."""

# The driver logs what it also raises, with a traceback; our one line says it.
logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)

LOCK_WORDS = ("Cannot lock file", "Error initializing EmbeddedServer")


@dataclass(frozen=True)
class ClickHouseAddress:
    """Where ClickHouse is.

    Args:
        interface: chdb, http or https.
        path: the directory, for chdb.
        timeout_s: how long a server may be silent in mid-request; an insert that took longer may
            have landed.
    """

    interface: str
    database: str
    path: str = ""
    host: str = ""
    port: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    timeout_s: float = TIMEOUT_S

    def __str__(self) -> str:
        """Return the address for people, without the password."""
        if self.interface == "chdb":
            return self.path
        return f"{self.interface}://{self.host}:{self.port}"


def open_client(address: ClickHouseAddress, *, with_database: bool = True) -> Client:
    """Open a connection.

    Args:
        address: where.
        with_database: false to reach an engine in which the database does not exist yet.

    Raises:
        SettingsError: the engine refuses us, or another process has the directory.
        Unavailable: it does not answer.
    """
    database = address.database if with_database else None
    with translated_errors(f"connect to {address}"):
        if address.interface == "chdb":
            with _lock_explained(address.path):
                return clickhouse_connect.get_client(
                    interface="chdb", path=address.path, database=database
                )
        return clickhouse_connect.get_client(
            interface=address.interface,
            host=address.host,
            port=address.port,
            username=address.username,
            password=address.password,
            database=database,
            # The driver's own retries would send an insert twice without telling us.
            query_retries=0,
            autogenerate_session_id=False,
            send_receive_timeout=max(1, round(address.timeout_s)),
        )


@contextlib.contextmanager
def translated_errors(where: str) -> Iterator[None]:
    """Turn the driver's errors into ours; what is a defect of ours stays as it is.

    Raises:
        Unavailable: trying again may help.
        SettingsError: it will not help.
    """
    try:
        yield
    except Error as error:
        status = _bare_status(error)
        if status is not None and status not in PASSING_STATUSES:
            raise not_clickhouse(where, status) from error
        is_transport = isinstance(error, OperationalError) or status is not None
        ours = fleetpulse_error(
            where, error.code, error.name, str(error), is_transport=is_transport
        )
        if ours is None:
            raise
        raise ours from error


def _bare_status(error: Error) -> int | None:
    """Return the HTTP status of an answer that has no code of ClickHouse."""
    found = BARE_STATUS.search(str(error)) if error.code is None else None
    return int(found[1]) if found else None


@contextlib.contextmanager
def _lock_explained(path: str) -> Iterator[None]:
    try:
        yield
    except Error as error:
        if any(words in str(error) for words in LOCK_WORDS):
            raise SettingsError(
                "stack.data_dir",
                value=path,
                allowed="a directory that no other process has open, and that we may write",
                cure="end the other process, or set FLEETPULSE_STACK__DATA_DIR",
            ) from error
        raise
