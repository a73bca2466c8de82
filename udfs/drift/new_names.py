"""Names that were never seen: a new metric, or a known one of another type, told once.

A new stream starts its own baseline and says nothing about drift. That there is a new name at all
is worth one line for a person, at once; it never pages. Nulls are no new type: they are counted as
missing, and `rates.py` judges their share.

    known names        windows                    new
    (acme, temp)       acme temp, acme tmep  ->   acme tmep
"""

import polars as pl

NAME = ("tenant_id", "metric", "kind")
NAME_SCHEMA = pl.Schema(
    {
        "tenant_id": pl.String,
        "metric": pl.String,
        "kind": pl.String,  # type or unit of the values as the sender says; may be empty
        "first_seen_ms": pl.Int64,  # start of the first window of it, UTC
    }
)
NAMES_MAX = 100_000
"""Names of one shard: who invents names without end must not fill its memory."""


def no_names() -> pl.DataFrame:
    """Return the state before any window."""
    return pl.DataFrame(schema=NAME_SCHEMA)


def new_names(
    known: pl.DataFrame, seen: pl.DataFrame, quiet_ms: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Learn the names of some windows.

    Args:
        known: `NAME_SCHEMA`, what was returned last.
        seen: names of windows in the order of their starts, over all calls; `NAME_SCHEMA`.
        quiet_ms: how long the first name of a tenant lies back before another one is news: all
            names of a tenant that has just come are new.

    Returns:
        All names known now, by name, and those to be told of, by time. Beyond `NAMES_MAX` nothing
        is learned or told.

    >>> first = pl.DataFrame([("acme", "temp", "", 0)], NAME_SCHEMA, orient="row")
    >>> known, told = new_names(no_names(), first, quiet_ms=60_000)
    >>> len(told)
    0
    >>> later = pl.DataFrame([("acme", "tmep", "", 90_000)] * 2, NAME_SCHEMA, orient="row")
    >>> known, told = new_names(known, later, quiet_ms=60_000)
    >>> told.rows()
    [('acme', 'tmep', '', 90000)]
    >>> len(new_names(known, later, quiet_ms=60_000)[1])
    0
    """
    unknown = seen.group_by(NAME).agg(pl.col("first_seen_ms").min())
    # In the order of their windows, so that no cut of these into blocks changes who is beyond.
    unknown = unknown.join(known, on=list(NAME), how="anti").sort("first_seen_ms", *NAME)
    unknown = unknown.head(max(NAMES_MAX - len(known), 0))
    both = pl.concat([known, unknown])
    of_tenant = both.group_by("tenant_id").agg(since_ms=pl.col("first_seen_ms").min())
    is_news = pl.col("first_seen_ms") - pl.col("since_ms") >= quiet_ms
    told = unknown.join(of_tenant, on="tenant_id").filter(is_news).drop("since_ms")
    return both.sort(NAME), told.sort("first_seen_ms", *NAME)
