"""Roll-ups over kills in mid-insert, and over the release that brings them.

The embedded engine has one directory a process, so no database is kept open here.
"""

import itertools
import signal
import subprocess
import sys

import numpy as np
import pytest

from schemas.tables import WINDOWS, migrations
from schemas.topics import Topic
from sinks.clickhouse_endpoint import open_client
from sinks.migration_writer import migrate
from sinks.table_rows import rows_of, with_batch_number
from tests.integration.chdb_database import database_address, open_database
from tests.integration.rollup_reading import (
    TABLES,
    SpreadInput,
    assert_rollups_are_the_windows,
    entry,
)
from tests.loader_input import MONTH_MS, START_MS, WindowInput, message, schema_of_id

pytestmark = pytest.mark.integration

SEED = 20260102
MIGRATIONS_BEFORE = 5
"""Of the release that had no roll-ups."""
KILL_COUNT = 2
"""`make chaos FAULTS=loader-kills` does it more often, in whole loaders."""
DYING_ROW_COUNT = 600

names = (f"db{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("clickhouse")


def test_a_process_that_is_killed_in_mid_insert_leaves_what_can_be_completed(folder):
    """The kill comes at a seeded instant of a real insert, round after round in one directory."""
    print("seed", SEED)
    instants_s = np.random.default_rng(SEED).uniform(0.0, 0.12, KILL_COUNT)
    windows = SpreadInput(SEED)
    for number, instant_s in enumerate(instants_s, start=1):
        begin_insert_and_kill(folder, number, float(instant_s))
        rows = windows.rows(DYING_ROW_COUNT)
        with open_database(database_address(folder)) as database:
            database.writer.complete(WINDOWS, entry(number), rows)
            assert_rollups_are_the_windows(database, windows.expected)


def begin_insert_and_kill(path, number, instant_s):
    argv = [
        sys.executable,
        "-m",
        "tests.integration.test_rollups_restarted",
        str(path),
        str(number),
    ]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "inserting\n"
        try:
            process.wait(timeout=instant_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)


def insert_as_a_process(path, number):
    """Insert the numbered batch of the seed, and say when it begins."""
    windows = SpreadInput(SEED)
    for _ in range(number):
        rows = windows.rows(DYING_ROW_COUNT)
    with open_database(database_address(path)) as database:
        print("inserting", flush=True)
        database.writer.load(WINDOWS, entry(number), rows)


def load_as_before(client, number, rows):
    """Insert as the release without roll-ups did: into the table itself."""
    stored_rows = with_batch_number(rows, number)
    client.insert_arrow("windows", stored_rows, settings={"max_partitions_per_insert_block": 0})


def test_windows_of_before_count_once_in_the_rollups_wherever_the_migration_is_cut(folder):
    """A crash after a statement and before its record repeats the statement: all are run twice."""
    address = database_address(folder, next(names))
    deltas = SpreadInput(SEED)
    migrate(address, migrations()[:MIGRATIONS_BEFORE])
    with open_client(address) as client:
        for number in (1, 2, 3):
            load_as_before(client, number, deltas.rows(50))
        for migration in migrations()[MIGRATIONS_BEFORE:]:
            for statement in migration.statements():
                client.command(statement)
                client.command(statement)
    with open_database(address) as database:
        assert_rollups_are_the_windows(database, deltas.expected)
        database.writer.load(WINDOWS, entry(4), deltas.rows(50))
        assert_rollups_are_the_windows(database, deltas.expected)


def test_windows_of_more_months_than_an_insert_may_touch_are_migrated(folder):
    address = database_address(folder, next(names))
    first = WindowInput(SEED).deltas(1)[0] | {"count": 1}
    months = [first | {"window_start": START_MS + n * MONTH_MS} for n in range(150)]
    block = message(Topic.WINDOWS, {"rows": months})
    migrate(address, migrations()[:MIGRATIONS_BEFORE])
    with open_client(address) as client:
        load_as_before(
            client, 1, rows_of(Topic.WINDOWS, [block], schema_of_id(Topic.WINDOWS)).table
        )
    with open_database(address) as database:
        for table in TABLES:
            assert database.value(f"SELECT sum(count) FROM {table}") == 150


@pytest.mark.parametrize("months", [(), (202601,), (202601, 202602, 202603)], ids=str)
def test_a_batch_that_the_release_before_left_under_way_is_completed(folder, months):
    """Whichever months of it had landed, each counts once."""
    address = database_address(folder, next(names))
    deltas = SpreadInput(SEED)
    rows = deltas.rows(60)
    migrate(address, migrations()[:MIGRATIONS_BEFORE])
    with open_client(address) as client:
        load_as_before(client, 1, rows)
        for month in {202601, 202602, 202603} - set(months):
            client.command(f"ALTER TABLE windows DROP PARTITION {month}")
    with open_database(address) as database:
        inserted = database.writer.complete(WINDOWS, entry(1), rows)
        assert (inserted > 0) == (len(months) < 3)
        assert_rollups_are_the_windows(database, deltas.expected)


if __name__ == "__main__":
    insert_as_a_process(sys.argv[1], int(sys.argv[2]))
