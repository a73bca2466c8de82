"""What is stored and what it costs: rows and bytes of each table, and of each tenant in it.

The engine knows the bytes of a table, not of a tenant. A tenant's bytes are the table's, shared out
by rows, and are marked as an estimate: a tenant with values that pack badly has more.
"""

from collections.abc import Sequence

import polars as pl

from jobs.query_absence import Ask
from jobs.query_request import Asked
from sinks.read_only_endpoint import quoted

MEASURED, ESTIMATED = "measured", "estimate"
TENANT_COLUMN = "tenant_id"

PARTS_SQL = """
SELECT table, toInt64(sum(rows)) AS rows, toInt64(sum(bytes_on_disk)) AS disk_bytes,
    toInt64(sum(data_compressed_bytes)) AS compressed_bytes,
    toInt64(sum(data_uncompressed_bytes)) AS uncompressed_bytes
FROM system.parts WHERE active AND database = currentDatabase()
GROUP BY table ORDER BY disk_bytes DESC, table"""

TABLES_SQL = f"""
SELECT DISTINCT table FROM system.columns
WHERE database = currentDatabase() AND name = {quoted(TENANT_COLUMN)}
    AND table IN (SELECT table FROM system.parts WHERE active AND database = currentDatabase())
ORDER BY table"""  # noqa: S608 - our own constants

SIZES = ("disk_bytes", "compressed_bytes", "uncompressed_bytes")


def usage(ask: Ask, asked: Asked) -> pl.DataFrame:
    """Return rows and bytes by table, the largest first, each table's tenants behind it.

    With a tenant set only its own rows are there; a table that belongs to no tenant has none.

    Returns:
        Columns table, tenant_id (null: the whole table), rows (as stored, before merging),
        rows_ratio (of the table, 0-1; null for itself), bytes_are, and the sizes in bytes.
    """
    tables = ask(PARTS_SQL)
    names = ask(TABLES_SQL)["table"].to_list()
    tenants = ask(tenants_sql(names, asked.limit)) if names else _no_tenants()
    shared = shared_out(tables, tenants)
    whole = tables.select(
        "table",
        pl.lit(None, pl.String).alias(TENANT_COLUMN),
        "rows",
        pl.lit(None, pl.Float64).alias("rows_ratio"),
        pl.lit(MEASURED).alias("bytes_are"),
        *SIZES,
    )
    parts = [shared] if asked.tenant_id is not None else [whole, shared]
    order = tables.select("table").with_row_index("place")
    return (
        pl.concat(parts)
        .join(order, on="table", how="left", maintain_order="left")
        .sort(["place", "bytes_are", "rows", TENANT_COLUMN], descending=[False, True, True, False])
        .drop("place")
    )


def tenants_sql(tables: Sequence[str], limit: int) -> str:
    """Return the rows of each tenant in each table, of every table the tenants with the most."""
    parts = (
        f"SELECT {quoted(table)} AS table, toString({TENANT_COLUMN}) AS {TENANT_COLUMN}, "  # noqa: S608 - of the engine
        f"toInt64(count()) AS rows FROM `{table}` GROUP BY {TENANT_COLUMN} "
        f"ORDER BY rows DESC, {TENANT_COLUMN} LIMIT {limit}"
        for table in tables
    )
    return " UNION ALL ".join(f"SELECT * FROM ({part})" for part in parts)  # noqa: S608 - as above


def _no_tenants() -> pl.DataFrame:
    return pl.DataFrame(schema={"table": pl.String, TENANT_COLUMN: pl.String, "rows": pl.Int64})


def shared_out(tables: pl.DataFrame, tenants: pl.DataFrame) -> pl.DataFrame:
    """Return a table's bytes by tenant, in proportion to rows.

    Args:
        tables: table, rows and the sizes.
        tenants: table, tenant_id and rows.
    """
    joined = tenants.join(tables, on="table", suffix="_of_table")
    # Rows that came in between two questions must not make a share of more than the whole.
    ratio = (pl.col("rows") / pl.max_horizontal("rows_of_table", "rows")).alias("rows_ratio")
    sizes = [(pl.col(size) * pl.col("rows_ratio")).round().cast(pl.Int64) for size in SIZES]
    return (
        joined.filter(pl.col("rows") > 0)
        .with_columns(ratio, pl.lit(ESTIMATED).alias("bytes_are"))
        .select("table", TENANT_COLUMN, "rows", "rows_ratio", "bytes_are", *sizes)
    )
