"""The command `fleetpulse detect`."""

from pathlib import Path
from typing import Annotated

import typer


def detect(
    observations: Annotated[Path, typer.Option("--input", help="CSV: a row is one window.")],
    value: Annotated[str, typer.Option(help="Column of the observations.")],
    time: Annotated[str, typer.Option(help="Column of their times.")],
    out: Annotated[Path, typer.Option(help="JSONL: the findings, in order.")],
    key: Annotated[str | None, typer.Option(help="Column that names the series.")] = None,
    budget: Annotated[
        str, typer.Option(help="False pages that are accepted.")
    ] = "1/10k_device_days",
    scores: Annotated[
        Path | None, typer.Option(help="CSV: a score for each row; 1 is the level of a page.")
    ] = None,
) -> None:
    """Run the drift detectors over a CSV file, without configuration.

    What is normal is learned from the first quarter of each series (100 rows at least): scale,
    repeats, serial correlation and season. Findings of severity info and watch page nobody.

    Example: fleetpulse detect --input temperature.csv --value value --time timestamp --out f.jsonl
    """
    from jobs.detect import DetectRequest, run_detect

    request = DetectRequest(observations, value, time, key, budget, out, scores)
    typer.echo(str(run_detect(request)))
