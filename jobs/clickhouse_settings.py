"""What the settings say about ClickHouse, in the terms of the sinks."""

from pathlib import Path

from jobs.settings import Settings
from schemas.tables import TELEMETRY_RUNS, WINDOWS
from sinks.clickhouse_endpoint import ClickHouseAddress

DIRECTORY_NAME = "clickhouse"
SOCKET_NAME = "query.sock"


def clickhouse_address(settings: Settings) -> ClickHouseAddress:
    """Return where the tables are: a directory of the local stack, or a server."""
    target = settings.clickhouse
    if target.interface == "chdb":
        path = (settings.stack.data_dir / DIRECTORY_NAME).resolve()
        return ClickHouseAddress("chdb", target.database, path=str(path))
    return ClickHouseAddress(
        target.interface,
        target.database,
        host=target.host,
        port=target.port,
        username=target.username,
        password=target.password.get_secret_value(),
        timeout_s=target.timeout_s,
    )


def kept_days(settings: Settings) -> dict[str, int]:
    """Return how long windows, their roll-ups and points are kept, by table; 0 is for ever."""
    names = (WINDOWS.name, *(rollup.name for rollup in WINDOWS.rollups))
    kept = dict(zip(names, settings.clickhouse.keep_days, strict=True))
    return {**kept, TELEMETRY_RUNS.name: settings.clickhouse.keep_points_days}


def query_socket(settings: Settings) -> Path:
    """Return the socket at which a running loader answers questions."""
    return settings.stack.data_dir.resolve() / "run" / SOCKET_NAME
