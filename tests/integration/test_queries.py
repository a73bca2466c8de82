"""Questions to the stored tables: only reading, within limits, and for one tenant when asked so."""

import contextlib
import os
import stat
import subprocess
import sys

import pytest

from jobs.clickhouse_settings import clickhouse_address, query_socket
from jobs.directory_lock import DirectoryLocked, directory_lock, lock_holder
from jobs.query import asking, frame_of, run_query
from jobs.settings import load_settings
from schemas.errors import SettingsError
from schemas.tables import ALERT_EVENTS, DEVICE_STATUS, WINDOWS
from schemas.topics import Topic
from sinks.clickhouse_endpoint import open_client
from sinks.load_ledger import LedgerEntry, OffsetRange
from sinks.query_endpoint import NobodyListens, QueryEndpoint, ask
from sinks.read_only_endpoint import (
    TENANT_FILTERS,
    UNFILTERED_TABLES,
    QueryLimits,
    QueryRefused,
    Question,
)
from sinks.table_rows import rows_of
from tests.integration.chdb_database import open_database
from tests.loader_input import (
    WindowInput,
    alert,
    device_status,
    message,
    schema_of_id,
)

pytestmark = pytest.mark.integration

LIMITS = QueryLimits(max_rows=1_000, max_seconds=5.0)


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    # Deep enough that the socket's path is longer than the kernel takes.
    folder = tmp_path_factory.mktemp("queries") / ("d" * 60) / ("e" * 60)
    settings = load_settings(stack={"data_dir": folder})
    with open_database(clickhouse_address(settings)) as database:
        inputs = [
            (WINDOWS, Topic.WINDOWS, [{"rows": WindowInput(1).deltas(100)}]),
            (ALERT_EVENTS, Topic.ALERTS, [alert("e1"), alert("e2", tenant_id="t1")]),
            (
                DEVICE_STATUS,
                Topic.DEVICE_STATUS,
                [device_status("d1"), device_status("d2", tenant_id="t1")],
            ),
        ]
        for spec, topic, records in inputs:
            messages = [message(topic, record, offset) for offset, record in enumerate(records)]
            rows = rows_of(topic, messages, schema_of_id(topic)).table
            entry = LedgerEntry(topic, 1, (OffsetRange(0, 0, len(records)),), rows.num_rows)
            database.writer.load(spec, entry, rows)
    return settings


@pytest.fixture
def listening(settings):
    """Answer on the socket as a running loader does, holding its lock."""
    with directory_lock(settings.stack.data_dir), open_client(clickhouse_address(settings)):
        endpoint = QueryEndpoint(query_socket(settings), clickhouse_address(settings), LIMITS)
        with contextlib.closing(endpoint):
            endpoint.start()
            yield query_socket(settings)


@pytest.fixture(params=["directly", "through the socket"])
def way(request, settings):
    if request.param == "through the socket":
        request.getfixturevalue("listening")
    return settings


def test_a_question_is_answered_with_and_without_a_running_loader(way):
    frame = run_query(
        way, "SELECT count() AS alerts, uniqExact(tenant_id) AS tenants FROM alert_events"
    )
    assert frame.to_dicts() == [{"alerts": 2, "tenants": 2}]


def test_an_answer_without_rows_still_has_its_columns(way):
    assert run_query(way, "SELECT subject, seq FROM v_open_alerts WHERE seq > 9").columns == [
        "subject",
        "seq",
    ]


@pytest.mark.parametrize("tenant_id", ["t0", "t1", "o'neill \\", "ü"])
def test_a_tenant_sees_its_own_rows_only_also_through_views(way, tenant_id):
    rollups = [f"{prefix}windows_{span}" for prefix in ("", "v_", "load_") for span in ("1h", "1d")]
    others = ("v_windows", "v_open_alerts", "v_fleet_now", "alert_events", "device_status")
    for view in (*others, *rollups, "load_windows"):
        frame = run_query(way, f"SELECT DISTINCT tenant_id FROM {view}", tenant_id)
        assert frame["tenant_id"].to_list() == ([tenant_id] if tenant_id in {"t0", "t1"} else [])


REFUSED = {
    "INSERT INTO alert_events (id) VALUES ('x')": "only reading",
    "DROP TABLE windows": "only reading",
    "SET readonly = 0": "only reading",
    "KILL QUERY WHERE 1": "only reading",
    "SELECT 1; DROP TABLE windows": "Multi-statements",
    "SELECT 1 /* */ INTO /* */ OUTFILE '{folder}/stolen'": "INTO OUTFILE",
    "SELECT * FROM file('/etc/hostname', 'LineAsString')": "READONLY",
    "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')": "READONLY",
    "SELECT 1 SETTINGS readonly = 0": "READONLY",
    "SELECT number FROM numbers(1001)": "TOO_MANY_ROWS",
    "SELECT count() FROM numbers(1000000000000)": "TIMEOUT",
    "SELECT * FROM nowhere": "UNKNOWN_TABLE",
    "EXPLAIN AST SELECT 1": "no columns",
    "": "Empty query",
    "SELECT " + "1" * 100_001: "at most 100000 characters",
}


@pytest.mark.parametrize(("sql", "cause"), REFUSED.items(), ids=lambda text: text[:30])
def test_what_is_not_one_reading_statement_within_the_limits_is_refused(
    listening, tmp_path, sql, cause
):
    with pytest.raises(QueryRefused, match=cause):
        ask(listening, Question(sql.format(folder=tmp_path)))
    assert list(tmp_path.iterdir()) == []
    assert ask(listening, Question("SELECT count() FROM windows"))


def test_a_tenant_cannot_lift_its_filter(listening):
    sql = "SELECT * FROM alert_events SETTINGS additional_table_filters = {}"
    with pytest.raises(QueryRefused, match="READONLY"):
        ask(listening, Question(sql, "t0"))


PAST_THE_FILTER = [
    "SELECT tenant_id FROM merge('fleetpulse', 'windows')",
    "SELECT tenant_id FROM `merge`('fleetpulse', 'windows') AS m",
    "WITH w AS (SELECT * FROM merge('fleetpulse', 'windows')) SELECT tenant_id FROM w",
    "SELECT a.tenant_id FROM windows AS a JOIN Merge('fleetpulse', 'windows') AS b USING tenant_id",
    "SELECT tenant_id FROM windows WHERE 1 IN (SELECT 1 FROM mergeTreeIndex(fleetpulse, windows))",
    "SELECT tenant_id FROM mergeTreeIndex('fleetpulse', 'windows')",
    "SELECT tenant_id FROM view(SELECT tenant_id FROM merge('fleetpulse', 'windows'))",
    "DESCRIBE merge('fleetpulse', 'windows')",
    "(SELECT 'x') UNION ALL (SELECT tenant_id FROM merge('fleetpulse', 'windows'))",
]


@pytest.mark.parametrize("sql", PAST_THE_FILTER)
def test_a_tenant_cannot_read_tables_past_its_filter(listening, sql):
    with pytest.raises(QueryRefused, match="not allowed with a tenant"):
        ask(listening, Question(sql, "t0"))


def test_a_connection_that_is_kept_serves_its_own_tenant_only(listening):
    sql = "SELECT DISTINCT tenant_id FROM alert_events ORDER BY tenant_id"
    for tenant_id in ["t0", "t1", None, "t0", "t2", None, "t1", *map(str, range(12)), "t1"]:
        found = frame_of(ask(listening, Question(sql, tenant_id)))["tenant_id"].to_list()
        known = ["t0", "t1"]
        assert found == (known if tenant_id is None else [t for t in known if t == tenant_id])


def test_table_functions_that_make_rows_up_are_allowed_with_a_tenant(way):
    sql = "SELECT count() AS n FROM numbers(7) WHERE 'FROM merge(a, b)' != ''"
    assert run_query(way, sql, "t0")["n"].to_list() == [7]


def test_every_table_that_keeps_rows_has_a_tenant_filter(way):
    sql = """SELECT name FROM system.tables
        WHERE database = currentDatabase() AND engine != 'View' ORDER BY name"""
    found = set(run_query(way, sql)["name"])
    assert found - TENANT_FILTERS.keys() == UNFILTERED_TABLES


@pytest.mark.parametrize(
    "sql",
    [
        "SHOW TABLES",
        "DESCRIBE windows",
        "EXPLAIN SELECT 1",
        "WITH 1 AS x SELECT x -- why",
        "SELECT 1;",
        "EXISTS TABLE windows",
        "SHOW CREATE TABLE windows",
    ],
)
def test_every_kind_of_reading_is_answered(listening, settings, sql):
    assert run_query(settings, sql).height > 0


def test_the_socket_is_for_our_user_alone(listening):
    assert stat.S_IMODE(listening.stat().st_mode) == 0o600


def test_nobody_behind_the_socket_is_told_apart_from_a_refusal(settings):
    with pytest.raises(NobodyListens):
        ask(query_socket(settings), Question("SELECT 1"))


def test_several_questions_are_asked_in_one_session(way):
    with asking(way, "t1") as ask_tables:
        assert ask_tables("SELECT count() AS n FROM alert_events")["n"].to_list() == [1]
        assert ask_tables("SELECT count() AS n FROM device_status")["n"].to_list() == [1]
    with asking(way) as ask_tables:
        assert ask_tables("SELECT count() AS n FROM alert_events")["n"].to_list() == [2]


def test_a_directory_into_which_nothing_was_stored_is_named(tmp_path):
    with pytest.raises(SettingsError, match="fleetpulse up"):
        run_query(load_settings(stack={"data_dir": tmp_path / "none"}), "SELECT 1")


HOLD = """
import sys
from pathlib import Path
from jobs.directory_lock import directory_lock
with directory_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_lock_names_the_process_that_holds_it_and_ends_with_it(tmp_path):
    argv = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        refusal = pytest.raises(DirectoryLocked, match=f"process {other.pid} has them")
        with refusal, directory_lock(tmp_path):
            pass
        other.kill()
    with directory_lock(tmp_path):
        assert lock_holder(tmp_path) == os.getpid()


ENGINE = """
import sys
from sinks.clickhouse_endpoint import ClickHouseAddress, open_client
with open_client(ClickHouseAddress("chdb", "default", path=sys.argv[1])):
    pass
"""


def test_a_directory_that_another_engine_has_open_is_refused_in_one_line(listening, settings):
    path = clickhouse_address(settings).path
    other = subprocess.run(
        [sys.executable, "-c", ENGINE, path], capture_output=True, text=True, check=False
    )
    assert other.returncode == 1
    (line,) = [
        text
        for text in other.stderr.splitlines()
        if text.startswith("schemas.errors.SettingsError")
    ]
    assert "no other process has open" in line
