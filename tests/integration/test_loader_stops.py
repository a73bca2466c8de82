"""The loader told to stop while a server hangs, restarted by a supervisor, given new partitions."""

import time
from dataclasses import replace

import pytest

from jobs.clickhouse_settings import clickhouse_address
from jobs.topic_admin import log_ends
from schemas.tables import migrations
from schemas.topics import Topic, topic_name
from sinks.clickhouse_endpoint import open_client
from sinks.migration_writer import migrate
from tests.chaos.kill_steps import GROUPS
from tests.chaos.loader_kills import run_loader_kills
from tests.http_front.faults import Deed, Fault
from tests.http_front.running import running_front
from tests.integration.loader_bench import PATIENCE_S, stop, wait_for
from tests.integration.test_loader_faults import STOP_MAX_S, Seen, produce_windows
from tests.loader_input import WindowInput, alert

pytestmark = pytest.mark.integration

SEED = 20261123
LANDING = "INSERT INTO windows_landing"
NEVER_S = 3_600.0


def use_patient_front(bench, front):
    """Let the bench's loader wait for the front as long as it does for a server by default."""
    clickhouse = bench.settings.clickhouse.model_copy(
        update={"interface": "http", "port": front.port}
    )
    assert clickhouse.timeout_s > 4 * STOP_MAX_S
    bench.settings = bench.settings.model_copy(update={"clickhouse": clickhouse})


@pytest.mark.parametrize(
    "fault",
    [Fault(Deed.HANG, on=LANDING), Fault(Deed.NOTHING, on=LANDING, delay_s=NEVER_S)],
    ids=["it has inserted", "it never does"],
)
def test_a_stop_while_a_server_hangs_takes_ten_seconds_at_most_and_all_lands_once(
    bench, tmp_path, fault
):
    """SIGTERM, in the middle of an insert that gets no answer.

    loader   begun, insert ·········│7 s│ ends │ the next one: completes the batch
    server           └ hangs ····················
    """
    deltas = WindowInput(SEED)
    with running_front(tmp_path / "front") as front:
        use_patient_front(bench, front)
        loader = bench.start_loader()
        front.order(fault)
        produce_windows(bench, deltas, 5)
        wait_for(lambda: front.inserts("windows_landing"), "an insert that hangs")
        produce_windows(bench, deltas, 5, partition=1)
        began_s = time.monotonic()
        output = stop(loader)
        assert time.monotonic() - began_s < STOP_MAX_S
        assert "the next start goes on" in output
        assert "Traceback" not in output
        front.order()
        stop_later = bench.start_loader()
        seen = Seen(front)
        seen.wait_for_windows(deltas)
        stop(stop_later)
        assert seen.rows("SELECT countIf(NOT is_done) FROM load_ledger FINAL") == [(0,)]
        tokens = {token for token, _ in front.inserts("windows_landing")}
        assert len(tokens) == 2, "the batch under way went again under its own token"


def test_a_supervisor_that_restarts_after_exit_code_2_sends_no_letter_again(bench):
    """Unreadable messages in two topics, and a table that somebody has changed.

    start    1 exit 2   2 exit 2   3 exit 2   │ mended │ 4 loads
    letters  0          0          0                     one of each message
    """
    address = clickhouse_address(bench.settings)
    migrate(address, migrations())
    with open_client(address) as client:
        client.command("ALTER TABLE alert_events MODIFY COLUMN seq Int8")
    letters = topic_name(Topic.DEAD_LETTERS, bench.settings.kafka.topic_prefix)
    bench.produce(Topic.ALERTS, [alert(f"e{number}") for number in range(5)])
    for topic in (Topic.ALERTS, Topic.DEVICE_STATUS):
        bench.produce_values(topic, [(b"t0/bad", b"junk %d" % number) for number in range(3)])
    for _ in range(3):
        loader = bench._fork()
        output, _ = loader.communicate(timeout=PATIENCE_S)
        assert loader.returncode == 2, output
    assert sum(log_ends(letters, bench.settings.kafka).values()) == 0
    with open_client(address) as client:
        client.command("ALTER TABLE alert_events MODIFY COLUMN seq Int32")
    for _ in range(2):
        loader = bench.start_loader()
        bench.wait_for_rows("SELECT count() FROM alert_events", [(5,)])
        bench.wait_for_rows(
            "SELECT uniqExact(origin_topic, origin_offset) FROM dead_letters", [(6,)]
        )
        stop(loader)
    assert sum(log_ends(letters, bench.settings.kafka).values()) == 6


def test_kills_while_topics_get_new_partitions_lose_and_double_nothing(tmp_path):
    """One kill at each of those steps; `make chaos FAULTS=loader-kills` does them many times."""
    print("seed", SEED)
    groups = [replace(group, times=1) for group in GROUPS if group.new_partitions]
    assert len({step for group in groups for step in group.chain}) == len(groups) >= 3
    lines = []
    assert run_loader_kills(tmp_path, SEED, groups, report=lines.append) == []
    assert f"{len(groups)} kills" in lines[-1]
