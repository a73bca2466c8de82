"""Writes Arrow rows into ClickHouse, embedded (chDB) or a server, and checks that they landed."""

import contextlib
import io
import uuid

import pyarrow as pa
import pyarrow.compute as pc
from clickhouse_connect.driver.client import Client

from schemas.errors import Unavailable
from schemas.tables import LOAD_BATCH, TableSpec
from sinks.clickhouse_endpoint import translated_errors
from sinks.load_ledger import LedgerEntry
from sinks.retry import Retry
from sinks.table_rows import with_batch_number

INSERT_SETTINGS: dict[str, object] = {
    # Defaults of these changed between releases: say them.
    "async_insert": 0,
    "insert_deduplicate": 1,
    # One block, so one part a month, so all or nothing.
    "max_insert_block_size": 16_000_000,
    "max_insert_threads": 1,
    # Late data may touch any month since 2015, which is more than the default of 100.
    "max_partitions_per_insert_block": 0,
}
NEW_INSERT_SETTINGS: dict[str, object] = {"deduplicate_insert": "enable"}
"""Set where the engine knows them; older releases do not."""

UNPARTITIONED = "all"


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

    def __init__(self, client: Client, retry: Retry) -> None:
        self._client = client
        self._retry = retry
        known = client.server_settings
        new_settings = {k: v for k, v in NEW_INSERT_SETTINGS.items() if k in known}
        self._insert_settings = INSERT_SETTINGS | new_settings

    def load(self, spec: TableSpec, entry: LedgerEntry, rows: pa.Table) -> None:
        """Insert the rows of a batch; returns when they have landed once.

        Raises:
            SettingsError: the engine will never take them.
            Unavailable: it did not answer for too long, or we were asked to stop.
        """
        numbered = with_batch_number(rows, entry.batch_number)
        is_first = True

        def attempt() -> None:
            nonlocal is_first
            if is_first:
                is_first = False
                self._insert(spec.name, numbered, entry.token)
            else:
                self._insert_missing(spec, entry, numbered)

        self._retry(attempt)

    def complete(self, spec: TableSpec, entry: LedgerEntry, rows: pa.Table) -> int:
        """Insert what is missing of a batch that an earlier process began; return those rows.

        Raises:
            SettingsError: the engine will never take them.
            Unavailable: it did not answer for too long, or we were asked to stop.
        """
        numbered = with_batch_number(rows, entry.batch_number)
        return self._retry(lambda: self._insert_missing(spec, entry, numbered))

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

    def _insert(self, table: str, rows: pa.Table, token: str | None) -> None:
        if rows.num_rows == 0:
            return
        token_setting = {} if token is None else {"insert_deduplication_token": token}
        with translated_errors(f"insert into {table}"):
            summary = self._client.raw_insert(
                table,
                column_names=rows.column_names,
                insert_block=_arrow_stream(rows),
                settings=self._insert_settings | token_setting,
                fmt="ArrowStream",
            )
        if summary.written_rows != rows.num_rows:
            # Never believe an acknowledgement that does not count the rows: look what landed.
            raise _CountMismatch(
                f"insert into {table}: {summary.written_rows} of {rows.num_rows} rows confirmed"
            )

    def _insert_missing(self, spec: TableSpec, entry: LedgerEntry, rows: pa.Table) -> int:
        """Insert the rows of those partitions where the batch is not; return how many."""
        missing = self._missing(spec, entry, rows)
        missing_count = int(missing.num_rows)
        # The first token may be remembered without its rows; the second was never used.
        for token in (entry.token, f"{entry.token}/{uuid.uuid4().hex}"):
            if missing.num_rows == 0:
                return missing_count
            with contextlib.suppress(_CountMismatch):
                self._insert(spec.name, missing, token)
            missing = self._missing(spec, entry, rows)
        if missing.num_rows > 0:
            raise Unavailable(f"insert into {spec.name}: {missing.num_rows} rows did not land")
        return missing_count

    def _missing(self, spec: TableSpec, entry: LedgerEntry, rows: pa.Table) -> pa.Table:
        landed = self._landed_partitions(spec, entry.batch_number)
        if spec.month_column is None:
            return rows.slice(0, 0) if UNPARTITIONED in landed else rows
        months = month_numbers(rows[spec.month_column])
        landed_months = pa.array([int(partition) for partition in landed], pa.int64())
        return rows.filter(pc.invert(pc.is_in(months, value_set=landed_months)))

    def _landed_partitions(self, spec: TableSpec, batch_number: int) -> set[str]:
        """Return the partitions that have a row of this batch, or of a later one.

        A partition's share of a batch is one part, which is visible as a whole or not at all.
        """
        sql = f"SELECT DISTINCT _partition_id FROM {spec.name} WHERE {LOAD_BATCH} >= %(batch)s"  # noqa: S608 - our own names
        with translated_errors(f"look for batch {batch_number} in {spec.name}"):
            found = self._client.query(sql, parameters={"batch": batch_number}).result_rows
        return {str(partition) for (partition,) in found}


def month_numbers(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the UTC month of each time as ClickHouse's toYYYYMM does.

    >>> month_numbers(pa.chunked_array([pa.array([0], pa.timestamp("ms", tz="UTC"))])).to_pylist()
    [197001]
    """
    return pc.add(pc.multiply(pc.year(times), 100), pc.month(times))


def _arrow_stream(rows: pa.Table) -> bytes:
    out = io.BytesIO()
    (batch,) = rows.combine_chunks().to_batches()  # one batch, so that ClickHouse sees one block
    with pa.ipc.new_stream(out, rows.schema) as stream:
        stream.write_batch(batch)
    return out.getvalue()
