"""Applies the migrations of the database: in order, once each, never backwards."""

from collections.abc import Sequence
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from schemas.errors import SettingsError
from schemas.tables import Migration
from sinks.clickhouse_endpoint import ClickHouseAddress, open_client, translated_errors

CREATE_RECORDS = """
CREATE TABLE IF NOT EXISTS schema_migrations
(
    version UInt32 COMMENT 'Number of the migration',
    name String COMMENT 'Name of its file',
    checksum String COMMENT 'SHA-256 of its statements, hexadecimal',
    statement_count UInt32 COMMENT 'Statements applied so far; all of them when is_done',
    is_done Bool COMMENT 'Whether the whole migration is applied',
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When, UTC'
)
ENGINE = ReplacingMergeTree(statement_count)
ORDER BY version
COMMENT 'Which migrations this database has'
"""
RECORDS = """
SELECT version, argMax(checksum, statement_count), max(statement_count), max(is_done)
FROM schema_migrations GROUP BY version ORDER BY version
"""


@dataclass(frozen=True)
class _Record:
    """How far one migration is applied."""

    version: int
    checksum: str
    statement_count: int
    is_done: bool


def migrate(address: ClickHouseAddress, migrations: Sequence[Migration]) -> int:
    """Create the database where it is missing and apply what it does not have yet.

    Args:
        address: of the engine.
        migrations: all that this release knows, from version 1 without gaps.

    Returns:
        how many migrations were applied or completed.

    Raises:
        SettingsError: the database is newer than this release, or was made by other migrations.
        Unavailable: the engine does not answer.
    """
    with open_client(address, with_database=False) as client, translated_errors("create database"):
        client.command(f"CREATE DATABASE IF NOT EXISTS {address.database}")
    with open_client(address) as client, translated_errors("migrate"):
        client.command(CREATE_RECORDS)
        records = (_Record(*row) for row in client.query(RECORDS).result_rows)
        applied = {record.version: record for record in records}
        _check_applied(address, applied, migrations)
        pending = [
            m for m in migrations if m.version not in applied or not applied[m.version].is_done
        ]
        for migration in pending:
            begun = applied.get(migration.version)
            _apply(client, migration, skip=begun.statement_count if begun else 0)
    return len(pending)


def _check_applied(
    address: ClickHouseAddress,
    applied: dict[int, _Record],
    migrations: Sequence[Migration],
) -> None:
    setting = f"database {address.database} at {address}"
    newest = max(applied, default=0)
    if newest > len(migrations):
        raise SettingsError(
            setting,
            value=f"schema version {newest}",
            allowed=f"at most {len(migrations)}, which this release knows",
            cure="run the release that made it, or set FLEETPULSE_CLICKHOUSE__DATABASE",
        )
    for migration in migrations:
        if (
            migration.version in applied
            and applied[migration.version].checksum != migration.checksum
        ):
            raise SettingsError(
                setting,
                value=f"migration {migration.version} ({migration.name}) was another text",
                allowed="the same migrations as when the database was made",
                cure="run the release that made it, or load into a new database",
            )


def _apply(client: Client, migration: Migration, skip: int) -> None:
    """Apply the statements after the first `skip` and record each.

    A crash between a statement and its record repeats that statement, so each must be repeatable:
    IF NOT EXISTS or OR REPLACE.
    """
    statements = migration.statements()
    for count, statement in enumerate(statements[skip:], start=skip + 1):
        client.command(statement)
        client.insert(
            "schema_migrations",
            [
                (
                    migration.version,
                    migration.name,
                    migration.checksum,
                    count,
                    count == len(statements),
                )
            ],
            column_names=["version", "name", "checksum", "statement_count", "is_done"],
            settings={"async_insert": 0},
        )
