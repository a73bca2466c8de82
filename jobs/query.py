"""Questions to the stored tables, from the command line or from Python."""

import contextlib
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl

from jobs.clickhouse_settings import clickhouse_address, query_socket
from jobs.directory_lock import DirectoryLocked, directory_lock
from jobs.settings import Settings
from schemas.errors import SettingsError
from sinks.clickhouse_endpoint import open_client
from sinks.query_endpoint import NobodyListens, ask
from sinks.read_only_endpoint import QueryLimits, QueryRefused, Question, ReadOnlySessions

STARTING_LOADER_S = 10.0
"""A loader that has the lock but does not listen yet is waited for so long."""
POLL_INTERVAL_S = 0.1

Ask = Callable[[str], pl.DataFrame]
"""Answers one reading statement."""


def run_query(settings: Settings, sql: str, tenant_id: str | None = None) -> pl.DataFrame:
    """Answer one reading statement.

    A running loader is asked through its socket; without one the directory is opened here, and a
    ClickHouse server is asked directly.

    Args:
        settings: say where the tables are.
        sql: one SELECT, WITH, SHOW, DESCRIBE, EXPLAIN or EXISTS statement.
        tenant_id: shows only this tenant's rows; None: all.

    Raises:
        QueryRefused: not one reading statement, wrong SQL, or over a limit.
        SettingsError: nothing is stored yet, or another process has the directory.
        Unavailable: the engine does not answer.
    """
    with asking(settings, tenant_id) as ask_tables:
        return ask_tables(sql)


@contextlib.contextmanager
def asking(settings: Settings, tenant_id: str | None = None) -> Iterator[Ask]:
    """Answer several statements; a directory that is opened for the first stays open until the end.

    Args:
        settings: say where the tables are.
        tenant_id: shows only this tenant's rows; None: all.

    Raises:
        As `run_query`.
    """
    if settings.clickhouse.interface == "chdb":
        with contextlib.closing(_EmbeddedTables(settings)) as tables:
            yield lambda sql: frame_of(tables.answer(Question(sql, tenant_id)))
    else:
        sessions = ReadOnlySessions(clickhouse_address(settings), QueryLimits())
        with contextlib.closing(sessions):
            yield lambda sql: frame_of(sessions.answer(Question(sql, tenant_id)))


def frame_of(arrow_stream: bytes) -> pl.DataFrame:
    """Return an answer as a frame."""
    return pl.read_ipc_stream(io.BytesIO(arrow_stream))


class _EmbeddedTables:
    """The embedded tables: a running loader is asked; without one the directory is opened here.

    Once opened it stays open until `close`: to start the engine takes longer than to ask it.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._address = clickhouse_address(settings)
        self._sessions = ReadOnlySessions(self._address, QueryLimits())
        self._opened = contextlib.ExitStack()
        self._is_open = False

    def answer(self, question: Question) -> bytes:
        give_up_at_s = time.monotonic() + STARTING_LOADER_S
        while not self._is_open:
            with contextlib.suppress(NobodyListens):
                return ask(query_socket(self._settings), question)
            _require_directory(Path(self._address.path), self._settings.stack.data_dir)
            try:
                self._open()
            except DirectoryLocked:
                if time.monotonic() >= give_up_at_s:
                    raise
                time.sleep(POLL_INTERVAL_S)
        return self._sessions.answer(question)

    def _open(self) -> None:
        self._opened.enter_context(directory_lock(self._settings.stack.data_dir))
        self._opened.enter_context(open_client(self._address))
        self._is_open = True

    def close(self) -> None:
        self._sessions.close()
        self._opened.close()


def _require_directory(path: Path, data_dir: Path) -> None:
    if not path.is_dir():
        raise SettingsError(
            "stack.data_dir",
            value=str(data_dir),
            allowed="a directory into which a loader has stored something",
            cure="start with `fleetpulse up`, or set FLEETPULSE_STACK__DATA_DIR",
        )


__all__ = ["Ask", "QueryRefused", "asking", "frame_of", "run_query"]
