"""Points in the database: those of the release before, and questions that begin within a run."""

import pytest

from jobs.query_range import Choice, Span, device_resolutions
from jobs.query_request import Asked, NamedQuery
from jobs.query_statements import windows_sql
from schemas.tables import HOUR_MS, TELEMETRY_RUNS, migrations
from schemas.topics import Topic
from sinks.clickhouse_endpoint import open_client
from sinks.load_ledger import LedgerEntry, OffsetRange
from sinks.migration_writer import migrate
from sinks.table_rows import rows_of
from tests.integration.chdb_database import database_address, open_database
from tests.loader_input import message, schema_of_id

pytestmark = pytest.mark.integration

MIGRATIONS_BEFORE = 9
"""Of the release that stored each point as a row."""
NOON_MS = 1_790_000_100_000 // HOUR_MS * HOUR_MS
WEEK_MS = 7 * 24 * HOUR_MS
COLUMNS = "tenant_id, metric, device_id, toUnixTimestamp64Milli(timestamp), value, tags, is_skewed"


def test_points_of_the_release_before_are_there_wherever_the_migration_is_cut(tmp_path):
    """Of more weeks than an insert may touch by default; each statement is run twice."""
    address = database_address(tmp_path)
    migrate(address, migrations()[:MIGRATIONS_BEFORE])
    with open_client(address) as client:
        client.command(
            f"INSERT INTO telemetry_points SELECT 't', 'cpu', toString(number % 7), "
            f"fromUnixTimestamp64Milli({NOON_MS} - {WEEK_MS} * number, 'UTC'), number / 8, "
            f"map('core', toString(number)), number % 2, number FROM numbers(300) "
            f"SETTINGS max_partitions_per_insert_block = 0"
        )
        before = client.query(f"SELECT {COLUMNS} FROM telemetry_points ORDER BY ALL").result_rows
        for migration in migrations()[MIGRATIONS_BEFORE:]:
            for statement in migration.statements():
                client.command(statement)
                client.command(statement)
        after = client.query(f"SELECT {COLUMNS} FROM telemetry_points ORDER BY ALL").result_rows
        batches = client.query("SELECT sum(load_batch) FROM telemetry_runs").result_rows
    assert len(before) == 300
    assert after == before
    assert batches == [(sum(range(300)),)]


def test_a_question_that_begins_or_ends_within_a_run_gets_its_points_each_once(tmp_path):
    """A message of points over two hours, sent twice.

    run       11:59:58  59 | 12:00:00  01  02 ... 09
    asked              [59 |                 05)
    """
    points = [
        {"name": "cpu", "value": float(n), "timestamp": NOON_MS + 1000 * n, "tags": {"core": "1"}}
        for n in (-2, -1, 5, 3, *range(3), 4, *range(6, 10))
    ]
    batch = {"tenant_id": "t", "device_id": "d", "sent_at": 0, "points": points}
    sent = message(Topic.TELEMETRY, batch)._replace(timestamp_ms=NOON_MS + 60_000)
    rows = rows_of(Topic.TELEMETRY, [sent, sent], schema_of_id(Topic.TELEMETRY)).table
    assert rows.num_rows == 4
    with open_database(database_address(tmp_path)) as database:
        entry = LedgerEntry("telemetry", 1, (OffsetRange(0, 0, 1),), rows.num_rows)
        database.writer.load(TELEMETRY_RUNS, entry, rows)
        asked = Asked(NamedQuery.DEVICE, ("d",), limit=100)
        for since_s, until_s in ((-1, 5), (0, 5), (-2, 10), (4, 6), (10, 20), (-9, -2)):
            span = Span(NOON_MS + 1000 * since_s, NOON_MS + 1000 * until_s)
            choice = Choice(device_resolutions(300_000)[0], span, ())
            found = database.rows(windows_sql(asked, choice))
            expected = [n for n in range(9, -3, -1) if since_s <= n < until_s]
            assert [value for _, _, _, value, _ in found] == expected
            assert all(row[4] == "core=1" for row in found)
        assert database.value("SELECT count() FROM telemetry_points") == 24
        assert database.value("SELECT count() FROM v_points") == 12
