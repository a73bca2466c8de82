"""The loader as a process while ClickHouse refuses, disappears or cannot take a message.

ClickHouse is an HTTP front over the embedded engine (`tests/http_front`), or the engine itself.
"""

import time
from hashlib import sha256

import pytest

from jobs.clickhouse_settings import clickhouse_address
from jobs.loader_status import loader_status
from schemas.records import encode_record
from schemas.tables import migrations
from schemas.topics import Topic
from sinks.clickhouse_endpoint import open_client
from sinks.migration_writer import migrate
from tests.http_front.faults import Deed, Fault
from tests.http_front.running import running_front
from tests.integration.loader_bench import PATIENCE_S, WINDOW_ROWS, expected_rows, stop, wait_for
from tests.loader_input import WindowInput, alert

pytestmark = pytest.mark.integration

SEED = 20261122
STOP_MAX_S = 10.0
SHARE_STEPS = ("share:inserted", "share:letter-sent")
"""Of those at which `make chaos FAULTS=loader-kills` kills; the rest it does alone."""


@pytest.fixture
def front(bench, tmp_path):
    """Let the bench's loader use an HTTP front."""
    with running_front(tmp_path / "front") as front:
        use_front(bench, front)
        yield front


def use_front(bench, front):
    clickhouse = bench.settings.clickhouse.model_copy(
        update={"interface": "http", "port": front.port, "timeout_s": 3.0}
    )
    bench.settings = bench.settings.model_copy(update={"clickhouse": clickhouse})


class Seen:
    """What landed, seen past all faults."""

    def __init__(self, front):
        self.client = open_client(front.plain_address())

    def rows(self, sql):
        return [tuple(row) for row in self.client.query(sql).result_rows]

    def wait_for_windows(self, deltas):
        total = sum(window.count for window in deltas.expected.values())
        count = "SELECT toInt64(sum(count)) FROM windows"
        wait_for(lambda: self.rows(count) == [(total,)], f"{total} points in windows")
        assert set(self.rows(WINDOW_ROWS)) == expected_rows(deltas)
        for table in ("windows_1h", "windows_1d"):
            assert self.rows(f"SELECT toInt64(sum(count)) FROM {table}") == [(total,)]

    def batches(self):
        ((number,),) = self.rows(
            "SELECT toInt64(max(batch_number)) FROM load_ledger WHERE topic LIKE '%windows'"
        )
        return number


def produce_windows(bench, deltas, count, partition=0):
    records = [{"rows": deltas.deltas(20)} for _ in range(count)]
    bench.produce(Topic.WINDOWS, records, partition=partition)


def wait_for_breaker(bench, state):
    wait_for(lambda: loader_status(bench.settings.stack).breaker == state, f"breaker {state}")


def test_an_engine_that_disappears_is_waited_for_with_the_breaker_open_and_all_lands_once(
    bench,
    front,
):
    """Meanwhile the lag is shown and nothing is read; what has piled up comes in larger batches.

    engine   up ───────┐gone                        ┌ back
    breaker  closed ───┴─ failures ─ open ─ probes ─┴─ closed
    topic    10 msgs    5 msgs, then 40 one by one
    """
    deltas = WindowInput(SEED)
    produce_windows(bench, deltas, 10)
    loader = bench.start_loader()
    seen = Seen(front)
    seen.wait_for_windows(deltas)
    front.vanish()
    produce_windows(bench, deltas, 5)
    wait_for_breaker(bench, "open")
    for _ in range(20):
        produce_windows(bench, deltas, 1)
        produce_windows(bench, deltas, 1, partition=1)
    wait_for(lambda: loader_status(bench.settings.stack).lag >= 40, "the lag")
    assert "open" in str(loader_status(bench.settings.stack))
    assert loader_status(bench.settings.stack).last_error == "no answer"
    front.come_back()
    before = seen.batches()
    seen.wait_for_windows(deltas)
    wait_for_breaker(bench, "closed")
    assert seen.batches() - before <= 4, "40 messages came one by one and landed together"
    stop(loader)
    assert seen.rows("SELECT countIf(NOT is_done) FROM load_ledger FINAL") == [(0,)]


@pytest.mark.parametrize("code", [241, 252])
def test_an_engine_that_is_overloaded_is_asked_ever_less_often_and_gets_its_rows_once(
    bench,
    front,
    code,
):
    deltas = WindowInput(SEED)
    loader = bench.start_loader()
    front.order(Fault(Deed.CODE, on="INSERT INTO windows_landing", code=code))
    produce_windows(bench, deltas, 3)
    wait_for_breaker(bench, "open")
    assert loader_status(bench.settings.stack).last_error.startswith(f"code {code} ")
    produce_windows(bench, deltas, 10, partition=1)
    front.order()
    seen = Seen(front)
    seen.wait_for_windows(deltas)
    stop(loader)
    tokens = [token for token, deed in front.inserts("windows_landing") if deed == "code"]
    assert len(set(tokens)) == 1, "the same batch under the same token, again and again"
    assert 5 <= len(tokens) <= 8, "attempts in a row, then single probes"


def test_a_stop_while_the_engine_is_away_is_quick_and_the_next_start_loads_the_rest(
    bench,
    front,
):
    deltas = WindowInput(SEED)
    loader = bench.start_loader()
    front.vanish()
    produce_windows(bench, deltas, 5)
    wait_for_breaker(bench, "open")
    produce_windows(bench, deltas, 5, partition=1)
    begun_s = time.monotonic()
    output = stop(loader)
    assert time.monotonic() - begun_s < STOP_MAX_S
    assert "the next start goes on" in output
    front.come_back()
    stop_later = bench.start_loader()
    Seen(front).wait_for_windows(deltas)
    stop(stop_later)


def test_a_login_that_is_refused_ends_the_loader_with_one_line_and_exit_code_2(
    bench,
    front,
):
    loader = bench.start_loader()
    front.order(Fault(Deed.CODE, on="INSERT INTO", code=516))
    bench.produce(Topic.ALERTS, [alert()])
    output, _ = loader.communicate(timeout=PATIENCE_S)
    assert loader.returncode == 2, output
    assert "Traceback" not in output
    last = output.strip().splitlines()[-1]
    assert "516 AUTHENTICATION_FAILED" in last
    assert "FLEETPULSE_CLICKHOUSE__PASSWORD" in last


def test_resets_and_latency_change_no_row(bench, front):
    """5 % of the requests are lost, before or after they are executed; each waits 20 ms."""
    print("seed", SEED)
    deltas = WindowInput(SEED)
    loader = bench.start_loader()
    front.order(
        Fault(Deed.RESET, share=0.03, seed=SEED),
        Fault(Deed.DROP_ANSWER, share=0.02, seed=SEED + 1),
        Fault(Deed.NOTHING, delay_s=0.02),
    )
    for number in range(25):
        produce_windows(bench, deltas, 1, partition=number % 2)
    seen = Seen(front)
    seen.wait_for_windows(deltas)
    stop(loader)
    seen.wait_for_windows(deltas)


# --- messages that the engine refuses -------------------------------------------------------------

BAD_OFFSETS = {0: (7, 23), 1: (0,)}
RULE = "ALTER TABLE alert_events ADD CONSTRAINT rule CHECK severity != 'odd'"


def prepare_with_bad(bench, count=30):
    """Make tables that take no alert of an odd severity, and send some; return those."""
    address = clickhouse_address(bench.settings)
    migrate(address, migrations())
    with open_client(address) as client:
        client.command(RULE)
    bad = {}
    for partition, offsets in BAD_OFFSETS.items():
        values = [
            encode_record(
                Topic.ALERTS,
                alert(f"e{partition}", offset, severity="odd" if offset in offsets else "warning"),
                bench.schema_ids[Topic.ALERTS],
            )
            for offset in range(count)
        ]
        bad |= {(partition, offset): values[offset] for offset in offsets}
        bench.produce_values(Topic.ALERTS, [(b"key", value) for value in values], partition)
    return bad


LETTERS = (
    "SELECT DISTINCT origin_partition, origin_offset, reason, detail, value_sha256 "
    "FROM dead_letters ORDER BY origin_partition, origin_offset"
)


def wait_for_all_but_the_bad(bench, bad, count=30):
    expected = [
        (*place, "row_refused", "code 469 VIOLATED_CONSTRAINT", sha256(value).hexdigest())
        for place, value in sorted(bad.items())
    ]
    bench.wait_for_rows(LETTERS, expected)
    ids = [(f"e{p}-{n}", 1) for p in BAD_OFFSETS for n in range(count) if n not in BAD_OFFSETS[p]]
    # Without FINAL: a row that was inserted twice would show until parts merge.
    bench.wait_for_rows("SELECT id, count() FROM alert_events GROUP BY id ORDER BY id", sorted(ids))
    bench.wait_for_rows("SELECT countIf(NOT is_done) FROM load_ledger FINAL", [(0,)])


def test_one_bad_message_costs_one_message(bench):
    bad = prepare_with_bad(bench)
    loader = bench.start_loader()
    wait_for_all_but_the_bad(bench, bad)
    bench.produce(Topic.ALERTS, [alert("later")])
    bench.wait_for_rows("SELECT count() FROM alert_events WHERE id = 'later-1'", [(1,)])
    assert "'odd'" not in stop(loader)


@pytest.mark.parametrize("step", SHARE_STEPS)
def test_a_loader_that_is_killed_while_it_cuts_a_refused_batch_loses_and_doubles_nothing(
    bench, step
):
    bad = prepare_with_bad(bench)
    bench.kill_loader(step, nth=2)
    bench.start_loader()
    wait_for_all_but_the_bad(bench, bad)


def test_a_table_that_refuses_everything_stops_the_loader_before_the_topic_is_drained(
    bench,
):
    address = clickhouse_address(bench.settings)
    migrate(address, migrations())
    with open_client(address) as client:
        client.command("ALTER TABLE alert_events ADD CONSTRAINT none CHECK seq < 0")
    bench.produce(Topic.ALERTS, [alert(f"e{number}") for number in range(200)])
    loader = bench.start_loader()
    output, _ = loader.communicate(timeout=PATIENCE_S)
    assert loader.returncode == 2, output
    assert "Traceback" not in output
    last = output.strip().splitlines()[-1]
    assert "refuses 11 of 11 messages (code 469 VIOLATED_CONSTRAINT)" in last
    assert "cure" in last
