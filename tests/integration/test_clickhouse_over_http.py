"""The writer over HTTP, through everything that can go wrong on the way.

The other side is `tests/http_front`: an HTTP front over the real embedded engine, no server. What
landed is looked at through a port of the front at which no fault strikes.
"""

import itertools
import threading

import pytest

from schemas.errors import SettingsError, Unavailable
from schemas.tables import WINDOWS
from sinks.clickhouse_endpoint import ClickHouseAddress, open_client
from sinks.clickhouse_writer import ClickHouseWriter
from sinks.retry import Retry, RetryPolicy
from tests.http_front.faults import Deed, Fault
from tests.http_front.running import running_front
from tests.integration.chdb_database import open_database
from tests.integration.rollup_reading import (
    TABLES,
    SpreadInput,
    assert_rollups_are_the_windows,
    entry,
)
from tests.integration.test_rollups import lose_newest_part

pytestmark = pytest.mark.integration

SEED = 20261122
LANDING = "windows_landing"
INSERT = f"INSERT INTO {LANDING}"
PATIENT = RetryPolicy(first_pause_s=0.01, longest_pause_s=0.05, give_up_after_s=60.0)
names = (f"db{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    with running_front(tmp_path_factory.mktemp("front")) as front:
        yield front


@pytest.fixture(scope="module")
def opened(front):
    with open_database(front.plain_address()) as database:
        yield database


@pytest.fixture
def database(front, opened):
    """Return the tables, empty, as they are seen past all faults."""
    front.order()
    for table in TABLES:
        opened.client.command(f"TRUNCATE TABLE {table}")
    return opened


def open_writer(front, on_retry=lambda _: None, *, timeout_s=10.0):
    client = open_client(front.address(timeout_s=timeout_s))
    return ClickHouseWriter(client, Retry(PATIENT, threading.Event(), on_retry))


@pytest.fixture
def writer(front, database):
    return open_writer(front)


def landing_inserts(front, number):
    return [deed for token, deed in front.inserts(LANDING) if token == entry(number).token]


numbers = itertools.count(1)


# --- nothing goes wrong: the same as with the embedded engine ------------------------------------


def test_a_batch_counts_once_however_often_it_is_sent(writer, database):
    deltas = SpreadInput(SEED)
    number = next(numbers)
    rows = deltas.rows(60)
    for _ in range(3):
        writer.load(WINDOWS, entry(number), rows)
    assert writer.complete(WINDOWS, entry(number), rows) == 0
    assert_rollups_are_the_windows(database, deltas.expected)


def test_a_part_that_was_lost_after_its_token_was_written_down_lands_again(writer, database):
    deltas = SpreadInput(SEED)
    first, second = next(numbers), next(numbers)
    writer.load(WINDOWS, entry(first), deltas.rows(40))
    rows = deltas.rows(40)
    writer.load(WINDOWS, entry(second), rows)
    for table in ("windows", "windows_1d"):
        lose_newest_part(database, table, "202602")
    assert writer.complete(WINDOWS, entry(second), rows) > 0
    assert_rollups_are_the_windows(database, deltas.expected)


# --- faults that pass -----------------------------------------------------------------------------

PASSING = [
    Fault(Deed.CODE, code=241, times=3),
    Fault(Deed.CODE, code=252, times=3),
    Fault(Deed.STATUS, code=502, times=2),
    Fault(Deed.STATUS, code=503, times=2),
    Fault(Deed.RESET, times=4),
    Fault(Deed.DROP_ANSWER, times=4),
]


@pytest.mark.parametrize("on", ["", INSERT], ids=["anything", "insert"])
@pytest.mark.parametrize("fault", PASSING, ids=lambda f: f"{f.deed}-{f.code}-{f.times}")
def test_after_a_fault_that_passes_the_batch_is_there_once(front, writer, database, fault, on):
    deltas = SpreadInput(SEED)
    number = next(numbers)
    front.order(Fault(fault.deed, on=on, code=fault.code, times=fault.times))
    writer.load(WINDOWS, entry(number), deltas.rows(50))
    assert_rollups_are_the_windows(database, deltas.expected)
    if on:
        assert landing_inserts(front, number).count(fault.deed) >= min(fault.times, 1)


def test_an_answer_that_was_lost_leaves_no_second_copy_because_the_token_is_the_same(
    front, database
):
    """The driver must not send an insert again behind our back, and ours has the same token.

    loader   insert(token) ──────X answer lost      look: what landed?   nothing is missing: done
    engine                 rows                     all of it
    """
    errors = []
    deltas = SpreadInput(SEED)
    number = next(numbers)
    writer = open_writer(front, errors.append)
    front.order(Fault(Deed.DROP_ANSWER, on=INSERT, times=1))
    writer.load(WINDOWS, entry(number), deltas.rows(50))
    assert landing_inserts(front, number) == ["drop_answer"]
    assert [str(error) for error in errors] == [
        "ClickHouse, insert into windows_landing: no answer"
    ]
    assert_rollups_are_the_windows(database, deltas.expected)


def test_an_insert_that_times_out_after_it_was_executed_counts_once(front, database):
    deltas = SpreadInput(SEED)
    number = next(numbers)
    writer = open_writer(front, timeout_s=1.0)
    front.order(Fault(Deed.HANG, on=INSERT, times=1))
    writer.load(WINDOWS, entry(number), deltas.rows(50))
    assert landing_inserts(front, number) == ["hang"]
    assert_rollups_are_the_windows(database, deltas.expected)


def test_an_answer_that_breaks_off_in_mid_body_is_asked_for_again(front, writer, database):
    writer.load(WINDOWS, entry(next(numbers)), SpreadInput(SEED).rows(20))
    front.order(Fault(Deed.CUT_ANSWER, on="SELECT", times=2))
    expected = database.rows("SELECT count() FROM windows")
    assert writer.query_rows("SELECT count() FROM windows") == expected


def test_an_engine_that_refuses_connections_for_a_while_is_waited_for(front, database):
    deltas = SpreadInput(SEED)
    refusals = []

    def on_retry(error):
        refusals.append(str(error))
        if len(refusals) == 5:
            front.come_back()

    writer = open_writer(front, on_retry)
    front.vanish()
    writer.load(WINDOWS, entry(next(numbers)), deltas.rows(50))
    assert len(refusals) >= 5
    assert all("no answer" in refusal for refusal in refusals)
    assert_rollups_are_the_windows(database, deltas.expected)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_seeded_resets_and_latency_change_no_sum(front, writer, database, seed):
    """A share far above the 1 % of an ill network, so that each run meets many of them."""
    print("seed", seed)
    deltas = SpreadInput(seed)
    front.order(
        Fault(Deed.RESET, share=0.10, seed=seed),
        Fault(Deed.DROP_ANSWER, share=0.10, seed=seed + 1),
        Fault(Deed.CODE, share=0.05, seed=seed + 2, code=241),
        Fault(Deed.NOTHING, delay_s=0.01),
    )
    used = [next(numbers) for _ in range(15)]
    for number in used:
        writer.load(WINDOWS, entry(number), deltas.rows(20))
    front.order()
    struck = [deed for number in used for deed in landing_inserts(front, number)]
    assert {"reset", "drop_answer"} & set(struck), "the seed struck no insert"
    assert_rollups_are_the_windows(database, deltas.expected)


# --- faults that do not pass ----------------------------------------------------------------------


@pytest.mark.parametrize("code", [516, 497, 192])
def test_a_login_that_is_refused_stops_at_once_with_one_line(front, writer, code):
    front.order(Fault(Deed.CODE, on=INSERT, code=code))
    number = next(numbers)
    with pytest.raises(SettingsError, match="FLEETPULSE_CLICKHOUSE__PASSWORD") as stopped:
        writer.load(WINDOWS, entry(number), SpreadInput(SEED).rows(5))
    assert "\n" not in str(stopped.value)
    assert landing_inserts(front, number) == ["code"], "not tried again"


def test_something_else_than_clickhouse_is_named(front):
    front.order(Fault(Deed.STATUS, code=404))
    with pytest.raises(SettingsError, match="FLEETPULSE_CLICKHOUSE__PORT"):
        open_client(front.address())


def test_a_wrong_port_is_unavailable():
    nobody = ClickHouseAddress("http", "fleetpulse", host="127.0.0.1", port=1)
    with pytest.raises(Unavailable, match="no answer"):
        open_client(nobody)
