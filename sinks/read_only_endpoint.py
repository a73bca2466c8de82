"""Answers one question at a time, read-only, with limits; the same for chDB and a server.

Three fences, each tested: the engine's own parser accepts exactly one statement; only reading
statements pass; and the session runs with `readonly = 1`, which forbids writes, files, network and
lifting the limits. The second is needed because the embedded engine writes `INTO OUTFILE` files and
obeys KILL QUERY even when it is read-only.
"""

import contextlib
import re
import threading
from dataclasses import dataclass

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error, OperationalError

from schemas.errors import FleetpulseError, Unavailable
from sinks.clickhouse_endpoint import ClickHouseAddress, translated_errors

READING_WORDS = frozenset({"SELECT", "WITH", "SHOW", "DESCRIBE", "EXPLAIN", "EXISTS"})
STATEMENT_MAX_CHARS = 100_000
MESSAGE_MAX_CHARS = 500
IDLE_MAX_COUNT = 8
"""Connections that are kept for the next question."""

TENANT_FILTERS = {
    "telemetry_runs": "tenant_id = {tenant}",
    "windows": "tenant_id = {tenant}",
    "windows_1h": "tenant_id = {tenant}",
    "windows_1d": "tenant_id = {tenant}",
    # A view that fills a table shows all of that table, past its filter.
    "load_windows": "tenant_id = {tenant}",
    "load_windows_1h": "tenant_id = {tenant}",
    "load_windows_1d": "tenant_id = {tenant}",
    "alert_events": "tenant_id = {tenant}",
    "drift_findings": "tenant_id = {tenant}",
    "rollout_verdicts": "tenant_id = {tenant}",
    "device_status": "tenant_id = {tenant}",
    "dead_letters": "startsWith(message_key, concat({tenant}, '/'))",
    "load_ledger": "0",
    # The shared topic's account is nobody's alone.
    "accounts": "endsWith(topic, concat('telemetry.', {tenant}))",
}
"""Of every table that keeps rows, and of every view that fills one; another is seen whole."""

UNFILTERED_TABLES = frozenset({"schema_migrations", "windows_landing"})
"""They have nothing of a tenant: the schema's own history, and a table that keeps nothing."""

HARMLESS_TABLE_FUNCTIONS = frozenset(
    {"numbers", "numbers_mt", "generateseries", "generate_series", "values", "null", "primes"}
)
"""They make rows up. Others, such as merge() and mergeTreeIndex(), read tables past the filter."""

_TABLE_FUNCTION = re.compile(r"^ *TableExpression\b.*\n +Function (\S+)", re.MULTILINE)
"""In the engine's tree of a statement."""


class QueryRefused(FleetpulseError):
    """A question that is not answered: not one reading statement, wrong SQL, or over a limit."""


@dataclass(frozen=True)
class QueryLimits:
    """What one question may cost."""

    max_rows: int = 1_000_000
    max_bytes: int = 256 * 1024 * 1024
    max_seconds: float = 30.0
    max_memory_bytes: int = 2 * 1024 * 1024 * 1024


@dataclass(frozen=True)
class Question:
    """One statement, asked for one tenant or for all."""

    sql: str
    tenant_id: str | None = None


def answer(address: ClickHouseAddress, question: Question, limits: QueryLimits) -> bytes:
    """Return the answer as an Arrow IPC stream.

    Raises:
        QueryRefused: the question is not answered; says why.
        Unavailable: the engine does not answer.
        SettingsError: it does not let us in.
    """
    with contextlib.closing(ReadOnlySessions(address, limits)) as sessions:
        return sessions.answer(question)


class ReadOnlySessions:
    """Answers questions as `answer` does, and keeps connections: to open one costs 15 ms.

    A connection is kept for its tenant alone, and its session is read-only, so that no question
    can leave anything behind for the next one.

    Args:
        address: the engine.
        limits: of each question.
    """

    def __init__(self, address: ClickHouseAddress, limits: QueryLimits) -> None:
        self._address = address
        self._limits = limits
        self._idle: list[tuple[str | None, Client]] = []
        self._lock = threading.Lock()

    def answer(self, question: Question) -> bytes:
        """Return the answer as an Arrow IPC stream.

        Raises:
            As `answer`.
        """
        if len(question.sql) > STATEMENT_MAX_CHARS:
            raise QueryRefused(f"a statement has at most {STATEMENT_MAX_CHARS} characters")
        client = self._taken(question.tenant_id)
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(client.close)
            answered = _answer(client, question)
            on_failure.pop_all()
        self._keep(question.tenant_id, client)
        return answered

    def close(self) -> None:
        """Close the connections; no question may be under way."""
        with self._lock:
            for _, client in self._idle:
                client.close()
            self._idle.clear()

    def _taken(self, tenant_id: str | None) -> Client:
        with self._lock:
            for index, (tenant, client) in enumerate(self._idle):
                if tenant == tenant_id:
                    del self._idle[index]
                    return client
        return _read_only_client(self._address, tenant_id, self._limits)

    def _keep(self, tenant_id: str | None, client: Client) -> None:
        with self._lock:
            self._idle.append((tenant_id, client))
            surplus = self._idle[:-IDLE_MAX_COUNT]
            del self._idle[:-IDLE_MAX_COUNT]
        for _, oldest in surplus:
            oldest.close()


def _answer(client: Client, question: Question) -> bytes:
    try:
        statement = _checked_statement(client, question.sql)
        if question.tenant_id is not None:
            _require_filtered_tables(client, statement)
        return client.raw_query(statement, fmt="ArrowStream")
    except Error as error:
        # Without a code it is not ClickHouse's answer: the connection broke.
        is_answer = "Code:" in str(error) or not isinstance(error, OperationalError)
        raise (QueryRefused if is_answer else Unavailable)(_one_line(error)) from error


def _read_only_client(
    address: ClickHouseAddress, tenant_id: str | None, limits: QueryLimits
) -> Client:
    settings: dict[str, object] = {
        "max_result_rows": limits.max_rows,
        "max_result_bytes": limits.max_bytes,
        "result_overflow_mode": "throw",
        "max_execution_time": limits.max_seconds,
        "timeout_overflow_mode": "throw",
        "max_memory_usage": limits.max_memory_bytes,
        "output_format_arrow_string_as_string": 1,
        "output_format_arrow_compression_method": "none",
    }
    if tenant_id is not None:
        settings["additional_table_filters"] = tenant_filters(address.database, tenant_id)
    settings["readonly"] = 1  # the last one: after it no setting can be changed
    with translated_errors(f"connect to {address}"):
        if address.interface == "chdb":
            return clickhouse_connect.get_client(
                interface="chdb", path=address.path, database=address.database, settings=settings
            )
        return clickhouse_connect.get_client(
            interface=address.interface,
            host=address.host,
            port=address.port,
            username=address.username,
            password=address.password,
            database=address.database,
            settings=settings,
        )


def _checked_statement(client: Client, sql: str) -> str:
    """Return the one statement as the engine's own parser writes it, without comments."""
    rows = client.query("SELECT formatQuery({sql:String})", parameters={"sql": sql}).result_rows
    statement = str(rows[0][0])
    word = statement.split(None, 1)[0].lstrip("(").upper()
    if word not in READING_WORDS:
        raise QueryRefused(f"only reading is allowed here ({', '.join(sorted(READING_WORDS))})")
    if "INTO OUTFILE" in statement.upper():
        raise QueryRefused("INTO OUTFILE is not allowed here; use the output of `fleetpulse query`")
    if statement.upper().startswith("EXPLAIN AST"):
        raise QueryRefused("EXPLAIN AST has no columns; try EXPLAIN, or EXPLAIN QUERY TREE")
    return statement


def _require_filtered_tables(client: Client, statement: str) -> None:
    """Refuse a statement that reads anything but tables by their names.

    Raises:
        QueryRefused: it has a table function to which no filter applies.
    """
    tree = "\n".join(row[0] for row in client.query(f"EXPLAIN AST {statement}").result_rows)
    for name in _TABLE_FUNCTION.findall(tree):
        if name.lower() not in HARMLESS_TABLE_FUNCTIONS:
            raise QueryRefused(f"{name}() is not allowed with a tenant: it would show all tenants")


def tenant_filters(database: str, tenant_id: str) -> str:
    r"""Return the value of `additional_table_filters` that shows only one tenant's rows.

    >>> print(tenant_filters("fp", "a").split(",")[0])
    {'fp.telemetry_runs':'tenant_id = \'a\''
    """
    tenant = quoted(tenant_id)
    pairs = (
        f"{quoted(f'{database}.{table}')}:{quoted(condition.format(tenant=tenant))}"
        for table, condition in TENANT_FILTERS.items()
    )
    return "{" + ",".join(pairs) + "}"


def quoted(text: str) -> str:
    r"""Return a text as a string literal of ClickHouse.

    >>> print(quoted("o'b\\"))
    'o\'b\\'
    """
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _one_line(error: Error) -> str:
    return " ".join(str(error).split())[:MESSAGE_MAX_CHARS]
