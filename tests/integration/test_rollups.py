"""Hours and days of windows on a real embedded ClickHouse: always the sum of the windows."""

import itertools
import shutil

import numpy as np
import pytest

from schemas.errors import SettingsError
from schemas.tables import WINDOWS
from tests.integration.chdb_database import database_address, open_database
from tests.integration.rollup_reading import (
    TABLES,
    SpreadInput,
    assert_rollups_are_the_windows,
    entry,
)

pytestmark = pytest.mark.integration

SEED = 20260102
names = (f"db{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("clickhouse")


@pytest.fixture(scope="module")
def opened(folder):
    with open_database(database_address(folder)) as database:
        yield database


@pytest.fixture
def database(opened):
    for table in TABLES:
        opened.client.command(f"TRUNCATE TABLE {table}")
    return opened


def test_hours_and_days_are_the_exact_sums_of_their_windows_before_and_after_merging(database):
    print("seed", SEED)
    deltas = SpreadInput(SEED)
    batches = [deltas.rows(60) for _ in range(8)]
    for number in np.random.default_rng(SEED).permutation(len(batches)):
        database.writer.load(WINDOWS, entry(int(number) + 1), batches[number])
    assert_rollups_are_the_windows(database, deltas.expected)
    for table in TABLES:
        database.client.command(f"OPTIMIZE TABLE {table} FINAL")
    assert_rollups_are_the_windows(database, deltas.expected)


def test_a_batch_that_is_sent_twice_counts_once_in_every_rollup(database):
    deltas = SpreadInput(SEED)
    rows = deltas.rows(60)
    for _ in range(3):
        database.writer.load(WINDOWS, entry(), rows)
    assert database.writer.complete(WINDOWS, entry(), rows) == 0
    assert_rollups_are_the_windows(database, deltas.expected)


LOST = [some for size in (1, 2, 3) for some in itertools.combinations(TABLES, size)]


@pytest.mark.parametrize("lost", LOST, ids="+".join)
def test_whatever_tables_a_kill_left_without_a_part_get_it_again_and_the_others_do_not(
    folder, lost
):
    """A kill in mid-insert leaves a month of the batch in some tables, all tokens written down.

    windows     [ A ][ B ][ C ]      windows     [ A ][   ][ C ]      windows     [ A ][ B ][ C ]
    windows_1h  [ A ][ B ][ C ] ---> windows_1h  [ A ][ B ][ C ] ---> windows_1h  [ A ][ B ][ C ]
    windows_1d  [ A ][ B ][ C ] kill windows_1d  [ A ][   ][ C ] again windows_1d [ A ][ B ][ C ]
    """
    deltas = SpreadInput(SEED)
    first, second = deltas.rows(40), deltas.rows(40)
    with open_database(database_address(folder, next(names))) as database:
        database.writer.load(WINDOWS, entry(1), first)
        database.writer.load(WINDOWS, entry(2), second)
        for table in lost:
            lose_newest_part(database, table, "202602")
        assert database.writer.complete(WINDOWS, entry(2), second) > 0
        assert_rollups_are_the_windows(database, deltas.expected)
        assert database.writer.complete(WINDOWS, entry(2), second) == 0
        assert_rollups_are_the_windows(database, deltas.expected)


def lose_newest_part(database, table, partition):
    """Leave the engine without a part that it has written the token of."""
    ((path,),) = database.rows(
        f"SELECT argMax(path, min_block_number) FROM system.parts WHERE active "
        f"AND table = '{table}' AND partition = '{partition}' AND database = currentDatabase()"
    )
    before = database.value(f"SELECT count() FROM {table}")
    database.client.command(f"DETACH TABLE {table}")
    shutil.rmtree(path)
    database.client.command(f"ATTACH TABLE {table}")
    assert database.value(f"SELECT count() FROM {table}") < before


# --- tables that somebody changed -----------------------------------------------------------------

CHANGES = {
    "ALTER TABLE windows_1h DROP COLUMN nan_count": "windows_1h has no column nan_count",
    "ALTER TABLE windows_1d RENAME COLUMN max TO most": "windows_1d has no column max",
    "ALTER TABLE windows DROP COLUMN histogram": "windows has no column histogram",
    "DROP VIEW load_windows_1d": "load_windows_1d has no column tenant_id",
}


@pytest.mark.parametrize(("change", "cause"), CHANGES.items(), ids=lambda text: text[:30])
def test_a_table_that_would_silently_lose_a_column_stops_the_loader(folder, change, cause):
    rows = SpreadInput(SEED).rows(5)
    with open_database(database_address(folder, next(names))) as database:
        database.client.command(change)
        with pytest.raises(SettingsError, match=cause):
            database.writer.load(WINDOWS, entry(), rows)
        assert database.value("SELECT count() FROM windows") == 0
