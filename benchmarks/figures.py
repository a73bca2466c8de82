"""Where measurements leave their figures."""

import json
from collections.abc import Mapping
from pathlib import Path


def write_figures(figures: Mapping[str, object], out: Path | None) -> str:
    """Write figures as JSON to a file, when one is given; return the text, for people."""
    text = json.dumps(figures, indent=2)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n", encoding="utf-8")
    return text
