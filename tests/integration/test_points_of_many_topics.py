"""Points of all tenants in one table: the batches of each topic have numbers of their own."""

import pyarrow as pa
import pytest

from schemas.tables import LOAD_BATCH, TELEMETRY_RUNS
from sinks.load_ledger import LedgerEntry, OffsetRange
from tests.integration.chdb_database import database_address, open_database
from tests.loader_input import START_MS

pytestmark = pytest.mark.integration
COUNTS = "SELECT device_id, count() FROM telemetry_points GROUP BY ALL ORDER BY ALL"


@pytest.fixture
def database(tmp_path):
    with open_database(database_address(tmp_path)) as database:
        yield database


def batch(topic, number):
    return LedgerEntry(topic, number, (OffsetRange(0, number, number),), 3)


def points(device_id, count=3):
    """Return points as runs of one."""
    columns = TELEMETRY_RUNS.columns.remove(TELEMETRY_RUNS.columns.get_field_index(LOAD_BATCH))
    run = {"tenant_id": "t", "metric": "cpu", "device_id": device_id, "first_at": START_MS}
    run |= {"offset_ms": [0], "value": [1.5], "tags": [], "is_skewed": False}
    return pa.Table.from_pylist([run] * count, schema=columns)


@pytest.mark.parametrize("number", [1, 5, 9], ids=["earlier", "the same", "later"])
def test_a_batch_is_not_taken_for_landed_because_another_topics_has(database, number):
    """Both lie in the same week, so in the same partition.

    telemetry        5 landed
    telemetry.acme             1, 5 or 9 begun ✗ killed: has it landed?
    """
    mine = batch("telemetry.acme", number)
    database.writer.load(TELEMETRY_RUNS, batch("telemetry", 5), points("shared"))
    assert not database.writer.has_landed(TELEMETRY_RUNS, mine)
    assert database.writer.complete(TELEMETRY_RUNS, mine, points("acme")) == 3
    assert database.rows(COUNTS) == [("acme", 3), ("shared", 3)]


@pytest.mark.parametrize("number", [1, 5, 9], ids=["earlier", "the same", "later"])
def test_a_batch_that_has_landed_is_not_sent_again_whatever_another_topic_does(database, number):
    mine = batch("telemetry.acme", number)
    database.writer.load(TELEMETRY_RUNS, mine, points("acme"))
    database.writer.load(TELEMETRY_RUNS, batch("telemetry", 5), points("shared"))
    database.client.command("OPTIMIZE TABLE telemetry_runs FINAL")
    assert database.writer.has_landed(TELEMETRY_RUNS, mine)
    assert database.writer.complete(TELEMETRY_RUNS, mine, points("acme")) == 0
    assert database.rows(COUNTS) == [("acme", 3), ("shared", 3)]
