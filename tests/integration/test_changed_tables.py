"""Tables that somebody changed, and rows that the engine refuses, on a real embedded ClickHouse."""

import itertools

import pyarrow as pa
import pytest

from schemas.errors import SettingsError
from schemas.tables import ALERT_EVENTS, LOADED_TABLES, WINDOWS
from schemas.topics import Topic
from sinks.clickhouse_errors import RowsRefused
from sinks.load_ledger import LedgerEntry, OffsetRange, plan_topic
from sinks.table_columns import column_faults, made_types
from sinks.table_rows import rows_of
from tests.integration.chdb_database import database_address, open_database
from tests.loader_input import WindowInput, alert, message, schema_of_id

pytestmark = pytest.mark.integration

SEED = 20261122
names = (f"db{number}" for number in itertools.count())
LANDINGS = {spec.landing for spec in LOADED_TABLES if spec.landing is not None}
ROLLUPS = {rollup.name for spec in LOADED_TABLES for rollup in spec.rollups}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("clickhouse")


@pytest.fixture(scope="module")
def pristine(folder):
    with open_database(database_address(folder)) as database:
        yield database


@pytest.fixture
def database(folder):
    with open_database(database_address(folder, next(names))) as database:
        yield database


def alert_rows(**changes):
    block = message(Topic.ALERTS, alert(**changes))
    return rows_of(Topic.ALERTS, [block], schema_of_id(Topic.ALERTS)).table


def window_rows(*deltas):
    block = message(Topic.WINDOWS, {"rows": list(deltas)})
    return rows_of(Topic.WINDOWS, [block], schema_of_id(Topic.WINDOWS)).table


def entry(topic="alerts", number=1):
    return LedgerEntry(topic, number, (OffsetRange(0, number, number),), 1)


def test_the_migrations_are_read_as_the_engine_reads_them(pristine):
    tables = sorted(LANDINGS | ROLLUPS | {spec.name for spec in LOADED_TABLES} | {"load_ledger"})
    columns = pristine.rows(
        "SELECT table, name, type FROM system.columns WHERE database = currentDatabase()"
    )
    found = {
        table: {column: kind for owner, column, kind in columns if owner == table}
        for table in tables
    }
    made = made_types()
    assert {table: made[table] for table in tables} == found
    assert column_faults(made, tables, columns) == []


CHANGES = {
    "ALTER TABLE alert_events MODIFY COLUMN seq Int8": "alert_events.seq is Int8",
    "ALTER TABLE alert_events MODIFY COLUMN summary FixedString(40)": "FixedString",
    "ALTER TABLE alert_events MODIFY COLUMN ends_at DateTime64(3, 'UTC') DEFAULT 0": "Nullable",
    "ALTER TABLE alert_events DROP COLUMN summary": "no column summary",
    "ALTER TABLE alert_events RENAME COLUMN summary TO text": "no column summary",
}


@pytest.mark.parametrize(("change", "cause"), CHANGES.items(), ids=lambda text: text[13:40])
def test_a_changed_column_stops_with_one_line_also_where_the_engine_would_store_another_value(
    database, change, cause
):
    database.client.command(change)
    with pytest.raises(SettingsError, match=cause) as stopped:
        database.writer.load(ALERT_EVENTS, entry(), alert_rows(seq=1000))
    assert "\n" not in str(stopped.value)
    assert "cure" in str(stopped.value)
    assert database.value("SELECT count() FROM alert_events") == 0


def test_a_dictionary_of_values_and_a_column_more_are_no_change(database):
    database.client.command(
        "ALTER TABLE alert_events MODIFY COLUMN subject LowCardinality(String), ADD COLUMN x Int8"
    )
    database.writer.load(ALERT_EVENTS, entry(), alert_rows())
    assert database.value("SELECT count() FROM alert_events") == 1


def test_a_row_that_is_at_fault_is_refused_without_its_values_and_nothing_of_its_batch_lands(
    database,
):
    database.client.command("ALTER TABLE alert_events ADD CONSTRAINT rule CHECK seq < 4711")
    rows = pa.concat_tables([alert_rows(), alert_rows(seq=4711)])
    with pytest.raises(RowsRefused, match="code 469 VIOLATED_CONSTRAINT") as refused:
        database.writer.load(ALERT_EVENTS, entry(), rows)
    assert "4711" not in str(refused.value)
    assert not database.writer.has_landed(ALERT_EVENTS, entry())
    assert database.value("SELECT count() FROM alert_events") == 0


def test_a_batch_that_has_landed_in_part_is_known(database):
    database.writer.load(WINDOWS, entry("windows"), window_rows(*WindowInput(SEED).deltas(20)))
    database.client.command("TRUNCATE TABLE windows")
    database.client.command("TRUNCATE TABLE windows_1h")
    assert database.writer.has_landed(WINDOWS, entry("windows"))


def test_a_share_of_a_refused_batch_is_the_open_one_and_the_rest_waits(database):
    begun = LedgerEntry("alerts", 7, (OffsetRange(0, 0, 9), OffsetRange(1, 0, 5)), 16)
    share = LedgerEntry("alerts", 8, (OffsetRange(0, 0, 7),), 8)
    database.ledger.write([begun], is_done=False)
    database.ledger.begin_share(share, [OffsetRange(1, 0, -1)])
    for is_merged in (False, True):
        if is_merged:
            database.client.command("OPTIMIZE TABLE load_ledger FINAL")
        plan = plan_topic("alerts", database.ledger.read())
        assert plan.in_flight == share
        assert plan.next_offsets == {0: 8, 1: 0}
        assert plan.next_batch_number == 9
