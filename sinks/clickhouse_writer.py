"""Writes Arrow rows into ClickHouse, embedded (chDB) or a server, and checks that they landed."""

import contextlib
import io
import uuid

import pyarrow as pa
import pyarrow.compute as pc
from clickhouse_connect.driver.client import Client

from schemas.errors import SettingsError, Unavailable
from schemas.tables import LOAD_BATCH, TableSpec
from schemas.topics import Topic
from sinks.clickhouse_endpoint import translated_errors
from sinks.load_ledger import LedgerEntry
from sinks.retry import Attempts
from sinks.rollup_rows import behind_landing, landing_faults, partitions_of, tables_of
from sinks.table_columns import column_faults, made_types
from sinks.table_rows import with_batch_number

INSERT_SETTINGS: dict[str, object] = {
    # Defaults of these changed between releases: say them.
    "async_insert": 0,
    "insert_deduplicate": 1,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "materialized_views_ignore_errors": 0,
    # Rows of one key become one row while they are written, so roll-ups stay small.
    "optimize_on_insert": 1,
    # One block, so one part a month, so all or nothing.
    "max_insert_block_size": 16_000_000,
    "max_insert_threads": 1,
    # Late data may touch any month since 2015, which is more than the default of 100.
    "max_partitions_per_insert_block": 0,
}
NEW_INSERT_SETTINGS: dict[str, object] = {"deduplicate_insert": "enable"}
"""Set where the engine knows them; older releases do not."""

MANY_TOPICS = frozenset({Topic.TELEMETRY})
"""Of each tenant one: their batches have the same numbers, and their points lie in one table."""

COLUMNS_SQL = """
SELECT table, name, type FROM system.columns
WHERE database = currentDatabase() AND table IN %(tables)s
"""


class _CountMismatch(Unavailable):
    """The engine confirmed another number of rows than it was sent."""


class ClickHouseWriter:
    """Inserts rows so that each batch lands exactly once.

    The engine ignores an insert whose token it knows. But it writes the token down before the
    part becomes visible, so a crash (or a full disk) between the two makes it ignore rows that it
    does not have. Whenever an insert was not plainly acknowledged, `load_batch` says what landed.

    Args:
        client: a connection with the database.
        retry: how an absent engine is waited for.
    """

    def __init__(self, client: Client, retry: Attempts) -> None:
        self._client = client
        self._retry = retry
        known = client.server_settings
        new_settings = {k: v for k, v in NEW_INSERT_SETTINGS.items() if k in known}
        self._insert_settings = INSERT_SETTINGS | new_settings

    def load(self, spec: TableSpec, entry: LedgerEntry, rows: pa.Table) -> None:
        """Insert the rows of a batch; returns when they have landed once.

        Raises:
            RowsRefused: some row is at fault; see `has_landed`.
            SettingsError: the engine will never take them.
            Unavailable: it did not answer for too long, or we were asked to stop.
        """
        numbered = with_batch_number(rows, _load_batch(spec, entry))
        is_first = True

        def attempt() -> None:
            nonlocal is_first
            if is_first:
                is_first = False
                self._insert_everywhere(spec, numbered, entry.token)
            else:
                self._insert_missing(spec, entry, numbered)

        self._retry(attempt)

    def complete(self, spec: TableSpec, entry: LedgerEntry, rows: pa.Table) -> int:
        """Insert what is missing of a batch that an earlier process began; return those rows.

        Raises:
            RowsRefused: some row is at fault; see `has_landed`.
            SettingsError: the engine will never take them.
            Unavailable: it did not answer for too long, or we were asked to stop.
        """
        numbered = with_batch_number(rows, _load_batch(spec, entry))
        return self._retry(lambda: self._insert_missing(spec, entry, numbered))

    def has_landed(self, spec: TableSpec, entry: LedgerEntry) -> bool:
        """Return whether any row of a batch, or of a later one, is in any of its tables.

        Raises:
            Unavailable: the engine did not answer for too long, or we were asked to stop.
        """
        names = (spec.name, *(rollup.name for rollup in spec.rollups))
        return self._retry(
            lambda: any(self._landed_partitions(name, spec, entry) for name in names)
        )

    def insert(self, table: str, rows: pa.Table) -> None:
        """Insert rows of which a repetition does no harm; raises as `load` does."""
        self._retry(lambda: self._insert(table, rows, token=None))

    def query_rows(self, sql: str, **parameters: object) -> list[tuple[object, ...]]:
        """Return the rows of a query; raises as `load` does."""

        def attempt() -> list[tuple[object, ...]]:
            with translated_errors("query"):
                rows = self._client.query(sql, parameters=parameters).result_rows
                return [tuple(row) for row in rows]

        return self._retry(attempt)

    def _insert_everywhere(self, spec: TableSpec, rows: pa.Table, token: str) -> None:
        """Insert rows into a table and its roll-ups; where they are already, the token tells."""
        self._check_tables(spec)
        if spec.landing is None:
            self._insert(spec.name, rows, token)
        else:
            self._insert(spec.landing, rows, token, target_count=1 + len(spec.rollups))

    def _insert(self, table: str, rows: pa.Table, token: str | None, target_count: int = 0) -> None:
        if rows.num_rows == 0:
            return
        token_setting = {} if token is None else {"insert_deduplication_token": token}
        with translated_errors(f"insert into {table}"):
            summary = self._client.raw_insert(
                table,
                column_names=rows.column_names,
                # A stream, which the driver cannot send a second time: it would replay bytes by
                # itself when a connection breaks, without telling us.
                insert_block=io.BytesIO(_arrow_stream(rows)),
                settings=self._insert_settings | token_setting,
                fmt="ArrowStream",
            )
        # The embedded engine counts the rows sent; a server also those that views pass on.
        if summary.written_rows not in {rows.num_rows, rows.num_rows * (1 + target_count)}:
            # Never believe an acknowledgement that does not count the rows: look what landed.
            raise _CountMismatch(
                f"insert into {table}: {summary.written_rows} of {rows.num_rows} rows confirmed"
            )

    def _insert_missing(self, spec: TableSpec, entry: LedgerEntry, rows: pa.Table) -> int:
        """Insert the rows of those partitions where the batch is not; return how many.

        A partition may have landed in the table and not in a roll-up, or the other way round.
        """
        tables = tables_of(spec, rows)
        partitions = partitions_of(spec, rows)
        landed = (self._landed_partitions(name, spec, entry) for name in tables)
        lost = _outside(rows, partitions, set.intersection(*landed))
        if lost.num_rows == 0:
            return 0
        # An insert whose answer was lost may be under way still: the same token, not twice.
        with contextlib.suppress(_CountMismatch):
            self._insert_everywhere(spec, lost, entry.token)
        # But a token may be remembered without its rows; a new one was never used.
        for name, its_rows in tables.items():
            missing = _outside(its_rows, partitions, self._landed_partitions(name, spec, entry))
            self._insert(name, missing, f"{entry.token}/{uuid.uuid4().hex}")
        return int(lost.num_rows)

    def _landed_partitions(self, table: str, spec: TableSpec, entry: LedgerEntry) -> set[str]:
        """Return the partitions that have a row of this batch, or of a later one of its topic.

        A partition's share of a batch is one part, which is visible as a whole or not at all.
        """
        # Rows that merge keep the latest number. Points do not, and have each their own.
        is_same = "=" if spec.topic in MANY_TOPICS else ">="
        sql = f"SELECT DISTINCT _partition_id FROM {table} WHERE {LOAD_BATCH} {is_same} %(batch)s"  # noqa: S608 - our own names
        with translated_errors(f"look for batch {entry.batch_number} in {table}"):
            found = self._client.query(sql, parameters={"batch": _load_batch(spec, entry)})
        return {str(partition) for (partition,) in found.result_rows}

    def _check_tables(self, spec: TableSpec) -> None:
        """Refuse tables or views that would not keep all of an insert.

        A view leaves out in silence what its target has no column for, one that is gone leaves out
        everything, and a column that was narrowed keeps other numbers. The look takes 3 ms.

        Raises:
            SettingsError: somebody changed them.
        """
        reached = [spec.name] if spec.landing is None else behind_landing(spec)
        with translated_errors(f"look at the columns of {spec.name}"):
            found = self._client.query(COLUMNS_SQL, parameters={"tables": reached}).result_rows
        columns = [(table, column, kind) for table, column, kind in found]
        faults = column_faults(made_types(), reached, columns)
        if spec.landing is not None:
            faults = landing_faults(spec, columns) + faults
        if faults:
            raise SettingsError(
                f"clickhouse (insert into {spec.landing or spec.name})",
                value=f"{faults[0]} ({len(faults)} in all)",
                allowed="the tables and views as schemas/clickhouse makes them",
                cure="undo the change of the table, or load into a new database",
            )


def _load_batch(spec: TableSpec, entry: LedgerEntry) -> int:
    """Return what tells the rows of a batch from those of all others in its table."""
    return entry.mark if spec.topic in MANY_TOPICS else entry.batch_number


def _outside(rows: pa.Table, partitions: pa.ChunkedArray, landed: set[str]) -> pa.Table:
    """Return the rows that are in none of some partitions."""
    is_landed = pc.is_in(partitions, value_set=pa.array(sorted(landed), pa.string()))
    return rows.filter(pc.invert(is_landed))


def _arrow_stream(rows: pa.Table) -> bytes:
    out = io.BytesIO()
    (batch,) = rows.combine_chunks().to_batches()  # one batch, so that ClickHouse sees one block
    with pa.ipc.new_stream(out, rows.schema) as stream:
        stream.write_batch(batch)
    return out.getvalue()
