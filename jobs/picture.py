"""Pictures of what the terminal shows, for documents."""

import io
import re

from rich.console import Console, RenderableType

FONT_FACES = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
FONT_FAMILY = "Menlo, 'DejaVu Sans Mono', Consolas, monospace"


def svg_picture(content: RenderableType, title: str, width: int) -> str:
    """Draw something that rich can print as SVG.

    Args:
        content: what to draw.
        title: above the picture.
        width: of the terminal, in characters.
    """
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True)
    console.print(content)
    # Fonts from elsewhere are not loaded where pictures of documents are shown, and must not be.
    svg = FONT_FACES.sub("", console.export_svg(title=title))
    # Numbers are pushed to the right by blanks, which some programs would drop.
    svg = svg.replace("<svg ", '<svg xml:space="preserve" ', 1)
    return svg.replace("Fira Code, monospace", FONT_FAMILY)
