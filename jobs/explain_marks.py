"""What a picture is made of, and how it becomes SVG: bars, lines, dots and labels with a role.

    Drawing(marks) -> svg_of -> text for a page or a file, readable on a light and a dark ground

A role says what a mark means; its colours are here and nowhere else.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
FONT_PX = 13.0


class Colours(NamedTuple):
    """Of one role.

    Args:
        light: on a white ground.
        dark: on a black ground.
    """

    light: str
    dark: str


FILLS = {
    "before": Colours("#5b87b7", "#6f9fd4"),
    "after": Colours("#e0853c", "#e8924a"),
    "before-text": Colours("#2f5d8c", "#9cc3ee"),
    "after-text": Colours("#a8540f", "#f5b57f"),
    "text": Colours("#24292f", "#e6e8eb"),
    "faint-text": Colours("#636c76", "#9aa4af"),
    "on-dot": Colours("#ffffff", "#14171a"),
    "firing": Colours("#b42318", "#f08a80"),
    "watching": Colours("#946200", "#e3b341"),
    "resolved": Colours("#1a7f37", "#57c271"),
    "began": Colours("#636c76", "#9aa4af"),
}
STROKES = {
    "axis": Colours("#8c959f", "#6e7781"),
    "before-line": Colours("#2f5d8c", "#9cc3ee"),
    "after-line": Colours("#a8540f", "#f5b57f"),
}
MIDDLE_WIDTH = 2.0
"""Of the line of a median, px; others have 1."""


@dataclass(frozen=True)
class Bar:
    """A rectangle, px from the upper left corner; `title` is said when one points at it."""

    left: float
    top: float
    width: float
    height: float
    role: str
    title: str = ""


@dataclass(frozen=True)
class Line:
    """A line through points (x, y), px."""

    points: tuple[tuple[float, float], ...]
    role: str
    is_dashed: bool = False
    width: float = 1.0


@dataclass(frozen=True)
class Dot:
    """A disc with a short text in it, px."""

    x: float
    y: float
    radius: float
    role: str
    text: str = ""


@dataclass(frozen=True)
class Label:
    """A text; `anchor` is start, middle or end, y its base line, px."""

    x: float
    y: float
    text: str
    role: str = "text"
    anchor: str = "start"
    is_bold: bool = False


Mark = Bar | Line | Dot | Label


@dataclass(frozen=True)
class Drawing:
    """Marks in the order in which they are drawn.

    Args:
        width: px.
        height: px.
        title: says what is drawn to those who do not see it.
        marks: later ones cover earlier ones.
    """

    width: float
    height: float
    title: str
    marks: tuple[Mark, ...]


def svg_of(drawing: Drawing, ground: Colours | None = None) -> str:
    """Write a drawing as SVG that needs nothing from elsewhere.

    Args:
        drawing: any; its texts may hold what they like.
        ground: filled behind the marks; None leaves the page's.
    """
    size = f"{drawing.width:g} {drawing.height:g}"
    sides = f'width="{drawing.width:g}" height="{drawing.height:g}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" {sides} role="img">',
        f"<title>{escape(drawing.title)}</title>",
        f"<style>{_style(ground)}</style>",
    ]
    if ground is not None:
        parts.append('<rect class="ground" width="100%" height="100%"/>')
    parts += [_element(mark) for mark in drawing.marks]
    return "\n".join([*parts, "</svg>"])


def text_width_px(text: str, *, is_bold: bool = False) -> float:
    """Return about how wide a label is: no font is at hand where pages are written.

    >>> text_width_px("p50 49.9") < 60
    True
    """
    narrow = sum(character in " .,:;|ilj'" for character in text)
    return ((len(text) - narrow) * 0.63 + narrow * 0.33) * FONT_PX * (1.08 if is_bold else 1.0)


def _style(ground: Colours | None) -> str:
    """Return the rules of all roles; those of the dark ground hold where the reader wants it."""
    filled = FILLS if ground is None else FILLS | {"ground": ground}
    light = [*_rules(filled, "fill", 0), *_rules(STROKES, "stroke", 0)]
    dark = [*_rules(filled, "fill", 1), *_rules(STROKES, "stroke", 1)]
    text = f"text{{font:{FONT_PX:g}px {FONT}}}polyline{{fill:none}}"
    return f"{text}{''.join(light)}@media(prefers-color-scheme:dark){{{''.join(dark)}}}"


def _rules(roles: dict[str, Colours], paint: str, ground: int) -> Iterator[str]:
    return (f".{role}{{{paint}:{colours[ground]}}}" for role, colours in roles.items())


def _element(mark: Mark) -> str:
    if isinstance(mark, Bar):
        title = f"<title>{escape(mark.title)}</title>" if mark.title else ""
        return (
            f'<rect class="{mark.role}" x="{mark.left:.1f}" y="{mark.top:.1f}" '
            f'width="{mark.width:.1f}" height="{mark.height:.1f}">{title}</rect>'
        )
    if isinstance(mark, Line):
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in mark.points)
        dashes = ' stroke-dasharray="4 3"' if mark.is_dashed else ""
        return (
            f'<polyline class="{mark.role}" points="{points}" '
            f'stroke-width="{mark.width:g}"{dashes}/>'
        )
    if isinstance(mark, Dot):
        disc = (
            f'<circle class="{mark.role}" cx="{mark.x:.1f}" cy="{mark.y:.1f}" r="{mark.radius}"/>'
        )
        label = Label(mark.x, mark.y + 4, mark.text, "on-dot", "middle", is_bold=True)
        return disc + (_element(label) if mark.text else "")
    weight = ' style="font-weight:600"' if mark.is_bold else ""
    return (
        f'<text class="{mark.role}" x="{mark.x:.1f}" y="{mark.y:.1f}" '
        f'text-anchor="{mark.anchor}"{weight}>{escape(mark.text)}</text>'
    )
