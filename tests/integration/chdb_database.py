"""A real embedded ClickHouse with the tables of this release, for tests."""

import contextlib
import threading
from dataclasses import dataclass
from typing import Any

from schemas.tables import migrations
from sinks.clickhouse_endpoint import ClickHouseAddress, open_client
from sinks.clickhouse_writer import ClickHouseWriter
from sinks.ledger_writer import LedgerWriter
from sinks.migration_writer import migrate
from sinks.retry import Retry, RetryPolicy

IMPATIENT = RetryPolicy(first_pause_s=0.01, longest_pause_s=0.05, give_up_after_s=2.0)


@dataclass(frozen=True)
class Database:
    """One database of the embedded engine."""

    address: ClickHouseAddress
    client: Any
    writer: ClickHouseWriter
    ledger: LedgerWriter

    def rows(self, sql):
        return self.client.query(sql).result_rows

    def value(self, sql):
        ((value,),) = self.rows(sql)
        return value


@contextlib.contextmanager
def open_database(address):
    """Migrate and open; the engine ends with the last connection."""
    migrate(address, migrations())
    with contextlib.closing(open_client(address)) as client:
        writer = ClickHouseWriter(client, Retry(IMPATIENT, threading.Event()))
        yield Database(address, client, writer, LedgerWriter(writer))


def database_address(path, name="fleetpulse"):
    return ClickHouseAddress("chdb", name, path=str(path))
