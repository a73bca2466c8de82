"""The loader as a process, on a real Kafka, a real registry and the embedded ClickHouse."""

import pytest

from jobs.dead_letters_replay import ReplayOptions, replay_letters
from jobs.topic_admin import admin_client, create_topics
from schemas.records import encode_record
from schemas.topics import Topic, topic_name
from sinks.dead_letter_summary import LetterFilter
from tests.integration.loader_bench import PATIENCE_S, WINDOW_ROWS, expected_rows, stop, wait_for
from tests.loader_input import WindowInput, alert, device_status

pytestmark = pytest.mark.integration

SEED = 7
STEPS = ("load:insert", "load:inserted", "load:done")
"""Of those at which `make chaos FAULTS=loader-kills` kills; the rest it does alone."""


def test_everything_that_was_committed_is_loaded_once_and_nothing_else(bench):
    deltas, aborted = WindowInput(SEED), WindowInput(SEED + 1)
    bench.produce(Topic.WINDOWS, [{"rows": deltas.deltas(30)} for _ in range(5)], transaction="a")
    bench.produce(Topic.WINDOWS, [{"rows": aborted.deltas(30)}], transaction="aborted")
    bench.produce(Topic.WINDOWS, [{"rows": deltas.deltas(30)}], partition=1, transaction="b")
    bench.produce(Topic.ALERTS, [alert("e1", 1), alert("e1", 2, severity="critical")])
    bench.produce(Topic.DEVICE_STATUS, [device_status("d1"), device_status("d2", "warning")])
    bench.produce_values(Topic.DEVICE_STATUS, [(b"t0/d1", None)])
    loader = bench.start_loader()
    total = sum(window.count for window in deltas.expected.values())
    bench.wait_for_rows("SELECT toInt64(sum(count)) FROM windows", [(total,)])
    assert set(bench.ask(WINDOW_ROWS)) == expected_rows(deltas)
    bench.wait_for_rows("SELECT episode_id, severity FROM v_open_alerts", [("e1", "critical")])
    bench.wait_for_rows("SELECT device_id, status FROM v_device_now", [("d2", "warning")])
    bench.produce(Topic.WINDOWS, [{"rows": deltas.deltas(30)}], partition=1)
    total = sum(window.count for window in deltas.expected.values())
    bench.wait_for_rows("SELECT toInt64(sum(count)) FROM windows", [(total,)])
    stop(loader)
    assert not (bench.settings.stack.data_dir / "run" / "loader.ready").exists()
    stop(bench.start_loader())
    assert set(bench.ask(WINDOW_ROWS)) == expected_rows(deltas)


def test_a_bad_message_goes_to_the_dead_letters_and_its_neighbours_are_loaded(bench):
    good = encode_record(Topic.ALERTS, alert(), bench.schema_ids[Topic.ALERTS])
    unknown = encode_record(Topic.ALERTS, alert("e2"), 987_654)
    pairs = [(b"k1", b"rubbish"), (b"k2", good + b"x"), (b"k3", good), (b"k4", unknown)]
    bench.produce_values(Topic.ALERTS, pairs, partition=1)
    bench.start_loader()
    letters = (
        "SELECT origin_partition, origin_offset, reason, message_key FROM dead_letters "
        "ORDER BY origin_offset"
    )
    expected = [
        (1, 0, "bad_magic", "k1"),
        (1, 1, "avro_invalid", "k2"),
        (1, 3, "schema_unknown", "k4"),
    ]
    bench.wait_for_rows(letters, expected)
    assert bench.ask("SELECT id FROM alert_events") == [("e1-1",)]


def test_letters_that_are_sent_again_and_fail_again_are_rows_with_their_number_once(bench):
    bench.produce_values(Topic.ALERTS, [(b"t0/a", b"rubbish"), (b"t0/b", b"rubbish")])
    bench.start_loader()
    attempts = "SELECT attempt, count() FROM dead_letters GROUP BY attempt ORDER BY attempt"
    bench.wait_for_rows(attempts, [(0, 2)])
    options = ReplayOptions(LetterFilter(bench.settings.kafka.topic_prefix))
    assert replay_letters(bench.settings, options, print).sent.total() == 2
    bench.wait_for_rows(attempts, [(0, 2), (1, 2)])
    assert replay_letters(bench.settings, options, print).sent.total() == 2
    bench.wait_for_rows(attempts, [(0, 2), (1, 2), (2, 2)])
    # The topic has the producers' times, and a replay keeps them: all failures have the first's.
    found = bench.ask(
        "SELECT DISTINCT tenant_claimed, schema_id, replay_of != '', first_failed_at = timestamp "
        "FROM dead_letters WHERE attempt > 0"
    )
    assert found == [("t0", -1, 1, 1)]


@pytest.mark.parametrize("step", STEPS)
def test_a_loader_that_is_killed_in_mid_batch_neither_loses_nor_doubles_a_row(bench, step):
    deltas = WindowInput(SEED)
    bench.produce(Topic.WINDOWS, [{"rows": deltas.deltas(20)} for _ in range(3)])
    bench.produce(Topic.WINDOWS, [{"rows": deltas.deltas(20)} for _ in range(3)], partition=1)
    bench.kill_loader(step)
    bench.produce(Topic.WINDOWS, [{"rows": deltas.deltas(20)}])
    bench.start_loader()
    total = sum(window.count for window in deltas.expected.values())
    bench.wait_for_rows("SELECT toInt64(sum(count)) FROM windows", [(total,)])
    assert set(bench.ask(WINDOW_ROWS)) == expected_rows(deltas)
    for table in ("windows_1h", "windows_1d"):
        assert bench.ask(f"SELECT toInt64(sum(count)) FROM {table}") == [(total,)]
    assert bench.ask("SELECT countIf(NOT is_done) FROM load_ledger FINAL") == [(0,)]


def test_a_second_loader_is_refused_with_one_line_that_names_the_first(bench):
    first = bench.start_loader()
    second = bench.start("jobs.loader_service")
    output, _ = second.communicate(timeout=PATIENCE_S)
    assert second.returncode == 2
    (line,) = output.strip().splitlines()
    assert f"process {first.pid}" in line
    assert "cure" in line


def test_a_topic_that_was_created_anew_is_refused(bench):
    bench.produce(Topic.ALERTS, [alert()])
    loader = bench.start_loader()
    bench.wait_for_rows("SELECT count() FROM alert_events", [(1,)])
    stop(loader)
    name = topic_name(Topic.ALERTS, bench.settings.kafka.topic_prefix)
    admin = admin_client(bench.settings.kafka)
    admin.delete_topics([name])[name].result()
    wait_for(lambda: name not in admin.list_topics(timeout=10).topics, "the end of the topic")
    create_topics(bench.settings.kafka)
    again = bench.start("jobs.loader_service")
    output, _ = again.communicate(timeout=PATIENCE_S)
    assert again.returncode == 2
    assert "created anew" in output.strip().splitlines()[-1]


def test_a_missing_topic_is_refused_with_one_line(bench):
    kafka = bench.settings.kafka.model_copy(update={"topic_prefix": "nobody."})
    bench.settings = bench.settings.model_copy(update={"kafka": kafka})
    process = bench.start("jobs.loader_service")
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    (line,) = output.strip().splitlines()
    assert "nobody." in line
    assert "fleetpulse up" in line
