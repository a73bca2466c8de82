"""Questions to the stored tables, from the command line or from Python."""

import contextlib
import io
import time
from enum import StrEnum
from pathlib import Path

import polars as pl

from jobs.clickhouse_settings import clickhouse_address, query_socket
from jobs.directory_lock import DirectoryLocked, directory_lock
from jobs.settings import Settings
from schemas.errors import SettingsError
from sinks.query_endpoint import NobodyListens, ask
from sinks.read_only_endpoint import QueryLimits, QueryRefused, Question, answer, quoted

STARTING_LOADER_S = 10.0
"""A loader that has the lock but does not listen yet is waited for so long."""
POLL_INTERVAL_S = 0.1


class NamedQuery(StrEnum):
    """The questions that need no SQL."""

    FLEET = "fleet"
    ALERTS = "alerts"
    DEVICE = "device"
    GROUPS = "groups"
    ACCOUNTS = "accounts"


NAMED_SQL = {
    NamedQuery.FLEET: """
        SELECT tenant_id, deployment_group, model_version, devices, online, warning, critical,
            offline_ratio
        FROM v_fleet_now ORDER BY tenant_id, deployment_group, model_version""",
    NamedQuery.ALERTS: """
        SELECT severity, starts_at, last_seen, summary
        FROM v_open_alerts
        ORDER BY indexOf(['emergency', 'critical', 'warning', 'info'], severity), starts_at""",
    NamedQuery.DEVICE: """
        SELECT window_start, metric, count, mean, min, p95, max
        FROM v_device_5m WHERE device_id = {device}
        ORDER BY window_start DESC, metric LIMIT 100""",
    NamedQuery.GROUPS: """
        SELECT window_start, deployment_group, model_version, metric, count, mean, p95
        FROM v_group_1m WHERE scope = 'group'
        ORDER BY window_start DESC, deployment_group, model_version, metric LIMIT 100""",
    NamedQuery.ACCOUNTS: """
        SELECT topic, partition, messages_read, ticks, messages_accepted, messages_duplicate,
            messages_rejected, points_read, points_accepted, points_duplicate, points_rejected,
            missing
        FROM v_accounts ORDER BY topic, partition""",
}


def named_sql(name: NamedQuery, device_id: str | None = None) -> str:
    """Return the SQL of a named question.

    Args:
        name: which one.
        device_id: for `device` only.

    Raises:
        SettingsError: `device` without an identity.
    """
    if name is NamedQuery.DEVICE and device_id is None:
        raise SettingsError(
            "query device",
            value=None,
            allowed="the identity of a device",
            cure="name it: `fleetpulse query device cam-00007`",
        )
    return NAMED_SQL[name].replace("{device}", quoted(device_id or ""))


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
    question = Question(sql, tenant_id)
    if settings.clickhouse.interface == "chdb":
        return frame_of(_ask_embedded(settings, question))
    return frame_of(answer(clickhouse_address(settings), question, QueryLimits()))


def frame_of(arrow_stream: bytes) -> pl.DataFrame:
    """Return an answer as a frame."""
    return pl.read_ipc_stream(io.BytesIO(arrow_stream))


def _ask_embedded(settings: Settings, question: Question) -> bytes:
    socket_path, address = query_socket(settings), clickhouse_address(settings)
    give_up_at_s = time.monotonic() + STARTING_LOADER_S
    while True:
        with contextlib.suppress(NobodyListens):
            return ask(socket_path, question)
        _require_directory(Path(address.path), settings.stack.data_dir)
        try:
            with directory_lock(settings.stack.data_dir):
                return answer(address, question, QueryLimits())
        except DirectoryLocked:
            if time.monotonic() >= give_up_at_s:
                raise
        time.sleep(POLL_INTERVAL_S)


def _require_directory(path: Path, data_dir: Path) -> None:
    if not path.is_dir():
        raise SettingsError(
            "stack.data_dir",
            value=str(data_dir),
            allowed="a directory into which a loader has stored something",
            cure="start with `fleetpulse up`, or set FLEETPULSE_STACK__DATA_DIR",
        )


__all__ = ["NamedQuery", "QueryRefused", "frame_of", "named_sql", "run_query"]
