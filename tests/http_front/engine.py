"""The embedded engine behind an HTTP front: one statement in, its bytes or its error out."""

import re
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

import chdb

TRANSPORT_PARAMETERS = frozenset(
    {
        "buffer_size",
        "cancel_http_readonly_queries_on_client_close",
        "client_protocol_version",
        "compress",
        "database",
        "decompress",
        "enable_http_compression",
        "http_headers_progress_interval_ms",
        "query_id",
        "send_progress_in_http_headers",
        "session_id",
        "session_timeout",
        "wait_end_of_query",
    }
)
"""Of the URL, and no settings of the engine."""

_INSERT = re.compile(rb"\s*(INSERT\s+INTO\s+.+?)\s+FORMAT\s+(\w+)\s*\n", re.DOTALL | re.IGNORECASE)
_CODE = re.compile(r"Code: (\d+)")
_FORMAT = re.compile(rb"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)


@dataclass(frozen=True)
class Statement:
    """One request.

    Args:
        text: SQL, and for an insert the data after the first line.
        parameters: of the URL: database, settings, `param_...`.
    """

    text: bytes
    parameters: dict[str, str]

    @property
    def is_insert(self):
        return _INSERT.match(self.text) is not None

    @property
    def head(self):
        """Return the SQL without data."""
        found = _INSERT.match(self.text)
        return (found[1] if found else self.text).decode(errors="replace")

    @property
    def token(self):
        return self.parameters.get("insert_deduplication_token", "")

    def settings(self):
        return {
            name: value
            for name, value in self.parameters.items()
            if name not in TRANSPORT_PARAMETERS and not name.startswith("param_")
        }


@dataclass(frozen=True)
class Answer:
    """What the engine says; `code` is 0 when it did what was asked."""

    body: bytes
    code: int = 0
    format_name: str = ""
    written_rows: int = 0


class Engine:
    """One directory of the embedded engine, one statement at a time."""

    def __init__(self, path):
        self._path = str(path)
        self._lock = threading.Lock()
        self._keeper = chdb.connect(self._path)  # the engine ends with its last connection

    def run(self, statement):
        with self._lock:
            connection = chdb.connect(self._path)
            try:
                return self._run(connection, statement)
            except RuntimeError as error:
                text = str(error)
                text = text[max(text.find("Code: "), 0) :]
                found = _CODE.search(text)
                return Answer(text.encode(), int(found[1]) if found else 1001)
            finally:
                connection.close()

    def _run(self, connection, statement):
        database = statement.parameters.get("database")
        if database:
            connection.query(f"USE `{database}`", "TabSeparated")
        if statement.is_insert:
            return _insert(connection, statement)
        settings = statement.settings()
        if settings:
            connection.query(f"SET {_settings(settings)}", "TabSeparated")
        bound = {
            name.removeprefix("param_"): value
            for name, value in statement.parameters.items()
            if name.startswith("param_")
        }
        return _ask(connection, statement.text, bound)


def _ask(connection, text, bound):
    found = _FORMAT.search(text)
    if found:
        answer = connection.query(text.decode(), "TabSeparated", params=bound)
        return Answer(answer.bytes() or b"", format_name=found[1].decode())
    # With names, a statement that has a result says something even when it has no rows.
    body = connection.query(text.decode(), "TabSeparatedWithNames", params=bound).bytes() or b""
    _names, _, rows = body.partition(b"\n")
    return Answer(rows, format_name="TabSeparated" if body else "")


def _insert(connection, statement):
    """Insert from a file: the embedded engine has no other way to take a request's body."""
    found = _INSERT.match(statement.text)
    with tempfile.NamedTemporaryFile(suffix=".body", delete=False) as file:
        file.write(statement.text[found.end() :])
    try:
        clause = f" SETTINGS {_settings(statement.settings())}" if statement.settings() else ""
        sql = f"{found[1].decode()} FROM INFILE '{file.name}'{clause} FORMAT {found[2].decode()}"
        answer = connection.query(sql, "TabSeparated")
        return Answer(b"", written_rows=answer.rows_read())
    finally:
        Path(file.name).unlink()


def _settings(settings):
    return ", ".join(f"{name} = '{_quoted(value)}'" for name, value in settings.items())


def _quoted(value):
    return value.replace("\\", "\\\\").replace("'", "\\'")
