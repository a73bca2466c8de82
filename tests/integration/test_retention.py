"""How long windows, hours and days are kept, on a real embedded ClickHouse."""

import time

import pytest

from jobs.clickhouse_settings import kept_days
from jobs.settings import load_settings
from schemas.errors import SettingsError
from schemas.tables import WINDOWS
from schemas.topics import Topic
from sinks.retention_writer import keep_days
from sinks.table_rows import rows_of
from tests.integration.chdb_database import database_address, open_database
from tests.integration.rollup_reading import DAY_MS, TABLES, SpreadInput, entry
from tests.loader_input import message, schema_of_id

pytestmark = pytest.mark.integration

PATIENCE_S = 60.0


@pytest.fixture
def database(tmp_path):
    with open_database(database_address(tmp_path)) as database:
        yield database


def rows_of_ages(*ages_days):
    """Return one window of ten points for each age."""
    now_ms = time.time_ns() // 1_000_000
    delta = SpreadInput(1).deltas(1)[0] | {"count": 10}
    starts = [now_ms - age * DAY_MS for age in ages_days]
    deltas = [delta | {"window_start": start - start % delta["window_ms"]} for start in starts]
    block = message(Topic.WINDOWS, {"rows": deltas})
    return rows_of(Topic.WINDOWS, [block], schema_of_id(Topic.WINDOWS)).table


def test_each_table_forgets_at_its_own_age(database):
    keep_days(database.address, {"windows": 90, "windows_1h": 365, "windows_1d": 1826})
    # A month is dropped as a whole: 32 days after its last day's age.
    database.writer.load(WINDOWS, entry(), rows_of_ages(1, 122, 397, 1858))
    for table, kept in zip(TABLES, (10, 20, 30), strict=True):
        wait_for(database, table, kept)


def wait_for(database, table, expected):
    give_up_at_s = time.monotonic() + PATIENCE_S
    while (found := database.value(f"SELECT sum(count) FROM {table}")) != expected:
        assert time.monotonic() < give_up_at_s, f"{table} keeps {found} points, not {expected}"
        database.client.command(f"OPTIMIZE TABLE {table} FINAL")
        time.sleep(0.1)


def test_a_batch_of_rows_that_are_too_old_to_be_kept_can_still_be_completed(database):
    keep_days(database.address, dict.fromkeys(TABLES, 1))
    rows = rows_of_ages(400)
    database.writer.load(WINDOWS, entry(), rows)
    for table in TABLES:
        wait_for(database, table, 0)
    assert database.writer.complete(WINDOWS, entry(), rows) == 1
    for table in TABLES:
        wait_for(database, table, 0)


def test_what_was_stored_before_follows_a_new_rule_and_the_same_rule_changes_nothing(database):
    database.writer.load(WINDOWS, entry(), rows_of_ages(1, 122))
    assert keep_days(database.address, {"windows": 0}) == {}
    assert keep_days(database.address, {"windows": 90}) == {"windows": 90}
    assert keep_days(database.address, {"windows": 90}) == {}
    wait_for(database, "windows", 10)
    assert database.value("SELECT sum(count) FROM windows_1h") == 20
    assert keep_days(database.address, {"windows": 0}) == {"windows": 0}
    assert keep_days(database.address, {"windows": 0}) == {}
    database.writer.load(WINDOWS, entry(2), rows_of_ages(122))
    database.client.command("OPTIMIZE TABLE windows FINAL")
    assert database.value("SELECT sum(count) FROM windows") == 20


def test_a_rule_about_another_column_is_not_ours_and_is_replaced(database):
    keep_days(database.address, {"windows": 90})
    rule = "toDateTime(load_batch) + INTERVAL 90 DAY"
    database.client.command(f"ALTER TABLE windows MODIFY TTL {rule}")
    assert keep_days(database.address, {"windows": 90}) == {"windows": 90}
    assert keep_days(database.address, {"windows": 0}) == {"windows": 0}


def test_the_settings_name_every_table():
    windows = {"windows": 90, "windows_1h": 365, "windows_1d": 1826}
    assert kept_days(load_settings()) == {**windows, "telemetry_runs": 30}
    given = load_settings(clickhouse={"keep_days": (0, 1, 2), "keep_points_days": 3})
    windows = {"windows": 0, "windows_1h": 1, "windows_1d": 2}
    assert kept_days(given) == {**windows, "telemetry_runs": 3}


@pytest.mark.parametrize("days", [(1, 2), (-1, 0, 0), (1, 2, 3, 4), 90])
def test_other_days_are_refused(days):
    with pytest.raises(SettingsError, match="keep_days"):
        load_settings(clickhouse={"keep_days": days})
