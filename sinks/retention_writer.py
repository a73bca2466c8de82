"""Sets how long points, windows, hours and days are kept."""

import re
from collections.abc import Mapping

from clickhouse_connect.driver.client import Client

from schemas.tables import TIME_COLUMNS
from sinks.clickhouse_endpoint import ClickHouseAddress, open_client, translated_errors

FOREVER = 0
ENGINE_SQL = """
SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = %(table)s
"""

_ANY_TTL = re.compile(r"\bTTL ")


def keep_days(address: ClickHouseAddress, days_of_table: Mapping[str, int]) -> dict[str, int]:
    """Let the engine drop partitions of which every row is older than a table keeps.

    A table that keeps them so long already is not touched.

    Args:
        address: of the engine.
        days_of_table: by the table's name; 0 keeps everything.

    Returns:
        the tables that were changed, with their days.

    Raises:
        SettingsError: the engine does not let us.
        Unavailable: it does not answer.
    """
    changed = {}
    with open_client(address) as client, translated_errors("set how long rows are kept"):
        for table, days in days_of_table.items():
            if _kept_days(client, table) != days:
                client.command(_statement(table, days))
                changed[table] = days
    return changed


def _kept_days(client: Client, table: str) -> int | None:
    """Return how many days a table keeps; None when somebody gave it another rule."""
    ((engine,),) = client.query(ENGINE_SQL, parameters={"table": table}).result_rows
    ours = rf"TTL toDateTime\({TIME_COLUMNS[table]}\) \+ toIntervalDay\((\d+)\)"
    found = re.search(ours, engine)
    if found is not None:
        return int(found[1])
    return None if _ANY_TTL.search(engine) else FOREVER


def _statement(table: str, days: int) -> str:
    if days == FOREVER:
        return f"ALTER TABLE {table} REMOVE TTL"
    time_column = TIME_COLUMNS[table]
    return f"ALTER TABLE {table} MODIFY TTL toDateTime({time_column}) + INTERVAL {days} DAY"
