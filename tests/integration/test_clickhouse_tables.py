"""The tables and the writer on a real embedded ClickHouse."""

import itertools
import math
import shutil

import numpy as np
import pyarrow as pa
import pytest

from schemas.dead_letter import Origin, Original, Refusal, dead_letter
from schemas.errors import Reason, SettingsError
from schemas.tables import DEVICE_STATUS, LOADED_TABLES, WINDOWS, Migration, migrations
from schemas.topics import Topic
from sinks.clickhouse_endpoint import open_client
from sinks.load_ledger import LedgerEntry, OffsetRange, plan_topic
from sinks.messages import Message
from sinks.migration_writer import migrate
from sinks.table_rows import rows_of
from tests.integration.chdb_database import database_address, open_database
from tests.loader_input import (
    KEY,
    MONTH_MS,
    START_MS,
    WindowInput,
    alert,
    device_status,
    message,
    schema_of_id,
)
from udfs.histogram import RELATIVE_ERROR, SMALLEST, bin_index

pytestmark = pytest.mark.integration

SEED = 20260101
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
    """Return the tables of this release, empty; making them anew for each test takes too long."""
    rollups = [rollup.name for spec in LOADED_TABLES for rollup in spec.rollups]
    for table in ("load_ledger", *(spec.name for spec in LOADED_TABLES), *rollups):
        opened.client.command(f"TRUNCATE TABLE {table}")
    return opened


def table_rows(topic, *messages):
    return rows_of(topic, messages, schema_of_id(topic)).table


def entry(batch_number=1, topic="windows", row_count=0):
    return LedgerEntry(
        topic, batch_number, (OffsetRange(0, batch_number, batch_number),), row_count
    )


def load(database, spec, rows, batch_number=1):
    database.writer.load(spec, entry(batch_number, spec.topic.value), rows)


# --- migrations -----------------------------------------------------------------------------------


def test_migrations_run_once_each(database):
    assert migrate(database.address, migrations()) == 0
    applied = database.rows("SELECT version, is_done FROM schema_migrations FINAL ORDER BY version")
    assert applied == [(migration.version, True) for migration in migrations()]


def test_a_migration_that_was_cut_short_goes_on_after_its_last_good_statement(folder):
    address = database_address(folder, next(names))
    steps = ["CREATE TABLE a (x Int8) ENGINE = Log", "INSERT INTO a SELECT 1"]
    steps.append("INSERT INTO a SELECT x FROM b")
    migration = Migration(1, "broken", ";\n".join(steps))
    with pytest.raises(SettingsError, match="UNKNOWN_TABLE"):
        migrate(address, [migration])
    with open_client(address) as client:
        client.command("CREATE TABLE b ENGINE = Log AS SELECT 2 AS x")
        assert migrate(address, [migration]) == 1
        assert client.query("SELECT x FROM a ORDER BY x").result_rows == [(1,), (2,)]
        assert migrate(address, [migration]) == 0


def test_a_database_of_a_newer_release_is_refused(database):
    with pytest.raises(SettingsError, match=f"schema version {len(migrations())}"):
        migrate(database.address, migrations()[:-1])


def test_a_migration_whose_text_changed_is_refused(database):
    first, *others = migrations()
    changed = Migration(1, first.name, first.text + "SELECT 1;\n")
    with pytest.raises(SettingsError, match="another text"):
        migrate(database.address, [changed, *others])


def test_a_comment_in_a_migration_may_change():
    first = migrations()[0]
    assert Migration(1, first.name, "-- more\n" + first.text).checksum == first.checksum


@pytest.mark.parametrize("spec", LOADED_TABLES, ids=lambda spec: spec.name)
def test_an_insert_names_every_column_of_its_table(database, spec):
    columns = database.rows(
        f"SELECT name FROM system.columns WHERE database = currentDatabase() "
        f"AND table = '{spec.landing or spec.name}' AND default_kind IN ('', 'DEFAULT')"
    )
    assert {name for (name,) in columns} == set(spec.columns.names)


def test_every_stored_column_says_what_it_holds(database):
    silent = database.rows(
        "SELECT table, name FROM system.columns WHERE database = currentDatabase() "
        "AND comment = '' AND table NOT IN (SELECT name FROM system.tables "
        "WHERE database = currentDatabase() AND engine IN ('View', 'MaterializedView'))"
    )
    assert silent == []


# --- exactly once ---------------------------------------------------------------------------------


def counts(database, table="windows"):
    return database.rows(f"SELECT sum(count), sum(duplicate_count) FROM {table}")[0]


def test_a_batch_that_is_sent_twice_counts_once(database):
    rows = table_rows(Topic.WINDOWS, WindowInput(SEED).message(50))
    load(database, WINDOWS, rows)
    once = counts(database)
    load(database, WINDOWS, rows)
    assert counts(database) == once
    assert database.writer.complete(WINDOWS, entry(), rows) == 0
    assert counts(database) == once


def test_equal_rows_in_two_batches_count_twice(database):
    rows = table_rows(Topic.WINDOWS, WindowInput(SEED).message(50))
    load(database, WINDOWS, rows, batch_number=1)
    once = counts(database)
    load(database, WINDOWS, rows, batch_number=2)
    assert counts(database) == tuple(2 * number for number in once)


def test_rows_that_the_engine_lost_after_writing_down_their_token_are_sent_again(folder):
    """A kill after the token is logged and before the part is renamed leaves just that."""
    address = database_address(folder, next(names))
    rows = table_rows(Topic.WINDOWS, WindowInput(SEED).message(50))
    with open_database(address) as database:
        load(database, WINDOWS, rows)
        expected = counts(database)
        paths = database.rows(
            "SELECT path FROM system.parts WHERE active AND table = 'windows' "
            "AND database = currentDatabase() ORDER BY path"
        )
        database.client.command("DETACH TABLE windows")
        shutil.rmtree(paths[0][0])
        database.client.command("ATTACH TABLE windows")
        left = counts(database)
        assert left != expected
        load(database, WINDOWS, rows)
        assert counts(database) == left, "the engine trusts its log; if not, it got better"
        assert counts(database, "windows_1h") == counts(database, "windows_1d") == expected
        assert database.writer.complete(WINDOWS, entry(), rows) > 0
        for table in ("windows", "windows_1h", "windows_1d"):
            assert counts(database, table) == expected
        assert database.writer.complete(WINDOWS, entry(), rows) == 0


def test_an_insert_of_any_size_is_one_part_a_month(database):
    deltas = WindowInput(SEED).deltas(1)
    months = 150  # over the engine's default limit of 100 partitions an insert
    rows = [deltas[0] | {"window_start": START_MS + n * MONTH_MS} for n in range(months)]
    load(database, WINDOWS, table_rows(Topic.WINDOWS, message(Topic.WINDOWS, {"rows": rows})))
    one = table_rows(Topic.DEVICE_STATUS, message(Topic.DEVICE_STATUS, device_status()))
    many = pa.concat_tables([one]).take(pa.array(np.zeros(1_200_000, dtype=np.int64)))
    order = pa.array(np.arange(1_200_000, dtype=np.uint64))
    devices = pa.array([f"d{number}" for number in range(1_200_000)])
    many = many.set_column(many.column_names.index("status_order"), "status_order", order)
    many = many.set_column(many.column_names.index("device_id"), "device_id", devices)
    load(database, DEVICE_STATUS, many)
    assert database.value("SELECT uniqExact(window_start) FROM windows") == months
    ((part,),) = database.rows("SELECT DISTINCT _part FROM device_status")
    _, first_block, last_block, *_ = part.split("_")
    assert first_block == last_block, "merged from parts of several blocks"
    assert database.value("SELECT count() FROM device_status") == 1_200_000


def test_the_ledger_gives_back_what_was_written_last(database):
    begun = LedgerEntry("windows", 3, (OffsetRange(0, 5, 9), OffsetRange(1, 0, 3)), 10)
    other = LedgerEntry("alerts", 1, (OffsetRange(0, 0, 0),), 1)
    database.ledger.write([LedgerEntry("windows", 2, (OffsetRange(0, 0, 4),), 7)], is_done=True)
    database.ledger.write([begun, other], is_done=False)
    plan = plan_topic("windows", database.ledger.read())
    assert plan.in_flight == begun
    database.ledger.write([begun, other], is_done=True)
    database.client.command("OPTIMIZE TABLE load_ledger FINAL")
    plan = plan_topic("windows", database.ledger.read())
    assert (plan.in_flight, plan.next_offsets) == (None, {0: 10, 1: 4})


# --- windows --------------------------------------------------------------------------------------

SUMS = f"""
SELECT {", ".join(KEY)}, sum(count), sum(sum_fixed), sum(sum_sq_fixed), min(min), max(max),
    sumMap(histogram), sum(missing_count), sum(nan_count), sum(out_of_range_count),
    sum(skewed_count), sum(duplicate_count)
FROM windows GROUP BY {", ".join(KEY)}
"""


def stored_windows(database):
    found = {}
    for row in database.rows(
        SUMS.replace("window_start,", "toUnixTimestamp64Milli(window_start),")
    ):
        found[row[: len(KEY)]] = row[len(KEY) :]
    return found


def expected_windows(deltas):
    return {
        key: (
            window.count,
            window.sum_fixed,
            window.sum_sq_fixed,
            window.min,
            window.max,
            (sorted(window.bins), [window.bins[index] for index in sorted(window.bins)]),
            *window.counters.values(),
        )
        for key, window in deltas.expected.items()
    }


def test_windows_are_the_exact_sums_of_their_deltas_before_and_after_merging(database):
    print("seed", SEED)
    deltas = WindowInput(SEED)
    batches = [table_rows(Topic.WINDOWS, deltas.message(40)) for _ in range(8)]
    for number in np.random.default_rng(SEED).permutation(len(batches)):
        load(database, WINDOWS, batches[number], batch_number=int(number) + 1)
    assert stored_windows(database) == expected_windows(deltas)
    database.client.command("OPTIMIZE TABLE windows FINAL")
    assert stored_windows(database) == expected_windows(deltas)


def test_views_give_mean_deviation_and_quantiles_of_the_points(database):
    print("seed", SEED)
    deltas = WindowInput(SEED)
    for number in range(1, 6):
        load(database, WINDOWS, table_rows(Topic.WINDOWS, deltas.message(40)), number)
    columns = "count, mean, stddev, min, max, p50, p90, p95, p99"
    keys = ", ".join(KEY).replace("window_start", "toUnixTimestamp64Milli(window_start)")
    checked = 0
    for row in database.rows(f"SELECT {keys}, {columns} FROM v_windows"):
        window = deltas.expected[row[: len(KEY)]]
        count, mean, stddev, smallest, largest, *quantiles = row[len(KEY) :]
        assert count == window.count
        if count == 0:
            assert {mean, stddev, smallest, largest, *quantiles} == {None}
            continue
        exact = np.array(window.values)
        assert (smallest, largest) == (exact.min(), exact.max())
        assert mean == pytest.approx(exact.mean(), rel=1e-9, abs=1e-14)
        # The squares were rounded as floats before they were summed.
        assert stddev == pytest.approx(exact.std(), rel=1e-6, abs=1e-7 * np.abs(exact).max() + 1e-9)
        for q, found in zip((0.5, 0.9, 0.95, 0.99), quantiles, strict=True):
            wanted = np.quantile(exact, q, method="inverted_cdf")
            assert abs(found - wanted) <= max(abs(wanted) * RELATIVE_ERROR, SMALLEST)
        checked += 1
    assert checked > 50


def test_deviation_does_not_cancel_when_the_mean_is_large(database):
    values = [1e9, 1e9 + 0.001, 1e9 + 0.002]
    total = sum(round(value * 2**50) for value in values)
    squares = sum(round(value * 2**50) ** 2 // 2**20 for value in values)
    delta = WindowInput(SEED).deltas(1)[0] | {
        "count": 3,
        "sum_fixed": total.to_bytes(16, "little", signed=True),
        "sum_sq_fixed": squares.to_bytes(32, "little", signed=True),
        "min": values[0],
        "max": values[-1],
    }
    load(database, WINDOWS, table_rows(Topic.WINDOWS, message(Topic.WINDOWS, {"rows": [delta]})))
    stddev = database.value("SELECT stddev FROM v_windows")
    assert stddev == pytest.approx(np.std([0, 0.001, 0.002]), rel=1e-3)


@pytest.mark.parametrize("q", [0.0, 0.01, 0.5, 0.9, 0.95, 0.99, 1.0])
def test_the_quantile_function_takes_the_bin_of_the_right_rank(database, q):
    print("seed", SEED)
    values = np.random.default_rng(SEED).lognormal(0, 3, 999) * np.where(np.arange(999) % 3, 1, -1)
    bins, sizes = np.unique(bin_index(values), return_counts=True)
    histogram = f"([{','.join(map(str, bins))}], [{','.join(map(str, sizes))}])"
    found = database.value(f"SELECT fleetpulse_quantile({histogram}, {q})")
    exact = np.sort(values)[max(1, math.ceil(q * 999)) - 1]
    assert abs(found - exact) <= max(abs(exact) * RELATIVE_ERROR, SMALLEST)


# --- alerts, devices, dead letters ----------------------------------------------------------------


def test_an_alert_is_open_while_its_latest_transition_fires(database):
    events = [
        alert("e1", 1),
        alert("e1", 1, emitted_at=START_MS + 999_999),  # emitted again after a restart
        alert("e1", 2, severity="critical", previous_severity="warning"),
        alert("e2", 1),
        alert("e2", 2, status="resolved", ends_at=START_MS + 900_000),
        alert("e3", 1, status="info", severity="info"),
    ]
    messages = [message(Topic.ALERTS, event, offset) for offset, event in enumerate(events)]
    for number, part in enumerate((messages[4:], messages[:2], messages[2:4]), start=1):
        load(database, LOADED_TABLES[1], table_rows(Topic.ALERTS, *part), number)
    open_alerts = database.rows("SELECT episode_id, severity, seq FROM v_open_alerts")
    assert open_alerts == [("e1", "critical", 2)]
    assert database.value("SELECT count() FROM v_alert_events") == 5


def test_the_fleet_now_counts_the_latest_state_of_each_device(database):
    states = [
        message(Topic.DEVICE_STATUS, device_status("d1", "online"), 0),
        message(Topic.DEVICE_STATUS, device_status("d2", "online"), 1),
        message(Topic.DEVICE_STATUS, device_status("d3", "critical"), 2),
        message(Topic.DEVICE_STATUS, device_status("d1", "warning"), 3),
        Message(0, 4, START_MS, b"t0/d3", None),
    ]
    load(database, DEVICE_STATUS, table_rows(Topic.DEVICE_STATUS, *states[3:]), 1)
    load(database, DEVICE_STATUS, table_rows(Topic.DEVICE_STATUS, *states[:3]), 2)
    fleet = database.rows(
        "SELECT devices, online, warning, critical, offline_ratio FROM v_fleet_now"
    )
    assert fleet == [(2, 1, 1, 0, 0.5)]


def test_a_dead_letter_can_be_found_by_its_origin(database):
    refusal = Refusal("fleetpulse-loader", "VALUE_CONVERTER", Reason.AVRO_INVALID, "EOFError")
    original = Original(b"t0/d1", b"value", (), START_MS)
    headers = dead_letter(Origin("windows", 1, 17), refusal, original).headers
    letters = [Message(0, offset, START_MS, b"t0/d1", b"value", headers) for offset in (1, 2)]
    load(database, LOADED_TABLES[3], table_rows(Topic.DEAD_LETTERS, *letters))
    database.client.command("OPTIMIZE TABLE dead_letters FINAL")
    found = database.rows(
        "SELECT origin_topic, origin_partition, origin_offset, dead_offset, value_bytes, attempt, "
        "schema_id, tenant_claimed, first_failed_at = timestamp, replay_of FROM dead_letters"
    )
    assert found == [("windows", 1, 17, 2, 5, 0, -1, "t0", 1, "")]


def test_a_changed_table_stops_the_loader_and_names_the_column(folder):
    rows = table_rows(Topic.WINDOWS, WindowInput(SEED).message(5))
    with open_database(database_address(folder, next(names))) as database:
        database.client.command("ALTER TABLE windows DROP COLUMN skewed_count")
        with pytest.raises(SettingsError, match="skewed_count"):
            load(database, WINDOWS, rows)
