"""`fleetpulse explain`: a drift finding as a page or a picture for a person.

id, prefix or line -> finding and incident -> page (HTML) or picture (SVG, PNG)
"""

import re
from pathlib import Path
from typing import NamedTuple

from jobs.explain_marks import Colours, svg_of
from jobs.explain_page import page_of
from jobs.explain_picture import can_draw, draw_finding
from jobs.explain_source import Explained
from jobs.explain_texts import headline
from schemas.errors import SettingsError
from udfs.drift.findings import DriftFinding

PREFIX_CHARS = 8
GROUND = Colours("#ffffff", "#14171a")
PAGES, PICTURES = {".html", ".htm"}, {".png", ".svg"}


class Written(NamedTuple):
    """Where it was written, and what it says in one sentence."""

    path: Path
    sentence: str


def default_out(finding: DriftFinding) -> Path:
    """Return the name of a finding's page; an id from elsewhere must not lead out of the folder."""
    return Path(f"finding-{re.sub(r'[^A-Za-z0-9_-]', '_', finding.finding_id[:PREFIX_CHARS])}.html")


def require_out(out: Path | None) -> None:
    """Refuse a file of which it is not known how to write it.

    Raises:
        SettingsError: its name ends with something else.
    """
    allowed = sorted(PAGES | PICTURES)
    if out is not None and out.suffix.lower() not in allowed:
        names = "a name that ends with " + ", ".join(allowed)
        cure = "name the page x.html, or the picture x.svg or x.png"
        raise SettingsError("--out", value=str(out), allowed=names, cure=cure)


def write_explanation(explained: Explained, out: Path | None) -> Written:
    """Write the page of a finding, or its picture alone.

    Args:
        explained: the finding and its incident.
        out: where; by the end of its name a page or a picture. None: a page named by the id.

    Raises:
        SettingsError: the finding has no histograms to draw, or the file cannot be written.
    """
    require_out(out)
    path = out or default_out(explained.finding)
    try:
        path.write_bytes(_content(explained, path))
    except OSError as error:
        cure = f"name another file: {error.strerror}"
        raise SettingsError(
            "--out", value=str(path), allowed="a file that can be written", cure=cure
        ) from error
    return Written(path, headline(explained.finding, explained.incident))


def _content(explained: Explained, path: Path) -> bytes:
    if path.suffix.lower() in PAGES:
        return page_of(explained.finding, explained.incident).encode()
    if not can_draw(explained.finding):
        detector = explained.finding.detector
        raise SettingsError(
            "--out",
            value=str(path),
            allowed=f"a page: a finding of {detector} has no histograms to draw",
            cure="name a file that ends with .html",
        )
    drawing = draw_finding(explained.finding)
    if path.suffix.lower() == ".svg":
        return svg_of(drawing, GROUND).encode()
    # Only who wants a PNG needs what draws pixels.
    from jobs.explain_png import png_of  # noqa: PLC0415 - as said

    return png_of(drawing)
