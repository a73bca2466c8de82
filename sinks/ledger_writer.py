"""Reads and writes the load ledger in ClickHouse."""

from collections.abc import Sequence

import pyarrow as pa

from sinks.clickhouse_writer import ClickHouseWriter
from sinks.load_ledger import LedgerEntry, LedgerRow, OffsetRange

TABLE = "load_ledger"
COLUMNS = pa.schema(
    [
        pa.field("topic", pa.string()),
        pa.field("partition", pa.int32()),
        pa.field("batch_number", pa.uint64()),
        pa.field("first_offset", pa.int64()),
        pa.field("last_offset", pa.int64()),
        pa.field("is_done", pa.bool_()),
        pa.field("row_count", pa.uint64()),
    ]
)
LATEST_ROWS = """
SELECT topic, partition,
    latest.1 AS batch_number, latest.2 AS first_offset, latest.3 AS last_offset,
    latest.4 AS is_done, latest.5 AS row_count
FROM (
    SELECT topic, partition,
        argMax((batch_number, first_offset, last_offset, is_done, row_count), version) AS latest
    FROM load_ledger GROUP BY topic, partition
)
"""


class LedgerWriter:
    """The ledger table.

    Args:
        writer: does the inserts and queries, with its retries.
    """

    def __init__(self, writer: ClickHouseWriter) -> None:
        self._writer = writer

    def read(self) -> list[LedgerRow]:
        """Return the latest row of each topic partition."""
        return [LedgerRow(*row) for row in self._writer.query_rows(LATEST_ROWS)]  # type: ignore[arg-type]  # rows are untyped

    def write(self, entries: Sequence[LedgerEntry], *, is_done: bool) -> None:
        """Record batches as begun, or as done; all of them in one insert, so all or none."""
        self._insert([row for entry in entries for row in _rows(entry, is_done=is_done)])

    def begin_share(self, entry: LedgerEntry, waiting: Sequence[OffsetRange]) -> None:
        """Record a share of a refused batch as begun, and that the rest of the batch waits.

        Args:
            entry: the share, with a number of its own.
            waiting: an empty range for each other partition that is read on where it begins.
        """
        rest = LedgerEntry(entry.topic, entry.batch_number, tuple(waiting), row_count=0)
        self._insert(_rows(entry, is_done=False) + _rows(rest, is_done=True))

    def _insert(self, rows: list[dict[str, object]]) -> None:
        self._writer.insert(TABLE, pa.Table.from_pylist(rows, schema=COLUMNS))


def _rows(entry: LedgerEntry, *, is_done: bool) -> list[dict[str, object]]:
    return [
        {
            "topic": entry.topic,
            "partition": offsets.partition,
            "batch_number": entry.batch_number,
            "first_offset": offsets.first_offset,
            "last_offset": offsets.last_offset,
            "is_done": is_done,
            "row_count": entry.row_count,
        }
        for offsets in entry.ranges
    ]
