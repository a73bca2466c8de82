"""The command `fleetpulse explain`."""

from pathlib import Path
from typing import Annotated

import typer


def explain(
    context: typer.Context,
    finding: Annotated[
        str, typer.Argument(help="An id, how it starts, or a line of --file, from 1.")
    ],
    source: Annotated[
        Path | None,
        typer.Option("--file", help="JSONL of `fleetpulse detect`; else the stored tables."),
    ] = None,
    tenant_id: Annotated[
        str | None, typer.Option("--tenant", help="Only findings of this tenant.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="x.html: a page; x.svg, x.png: the picture alone. [finding-<id>.html]"),
    ] = None,
) -> None:
    """Draw a drift finding: what changed, since when, how sure, against which baseline.

    The page has both histograms, the numbers and what they mean, and the time line of the incident.
    It needs nothing from elsewhere, so it can be mailed.

    \b
    Example: fleetpulse explain 08f04295
    Example: fleetpulse explain 2 --file findings.jsonl --out finding.html
    """  # noqa: D301 - the mark keeps the lines below it apart, and is no text
    from jobs.explain import require_out, write_explanation
    from jobs.explain_source import from_file, from_tables

    require_out(out)
    if source is not None:
        explained = from_file(source, finding, tenant_id)
    else:
        from jobs.query import asking
        from jobs.settings import load_settings

        with asking(load_settings(**context.obj), tenant_id) as ask:
            explained = from_tables(ask, finding, tenant_id)
    written = write_explanation(explained, out)
    typer.echo(f"{written.path}: {written.sentence}")
