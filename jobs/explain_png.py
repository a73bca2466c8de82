"""A drawing as PNG, for places that show no SVG: on a white ground, two pixels a unit."""

import io
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import hypot

from PIL import Image, ImageDraw, ImageFont

from jobs.explain_marks import FILLS, FONT_PX, STROKES, Bar, Dot, Drawing, Label, Line, Mark

PIXELS_PER_UNIT = 2.0
DASH_PX, GAP_PX = 4.0, 3.0
ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}
REPLACED = str.maketrans({"→": ">", "←": "<", "µ": "u"})
"""The font that comes with the library has no such signs, and Latin letters alone."""

Point = tuple[float, float]


def png_of(drawing: Drawing) -> bytes:
    """Draw marks as an image.

    Args:
        drawing: any; its colours are those of a light ground.

    Returns:
        A PNG file.
    """
    size = round(drawing.width * PIXELS_PER_UNIT), round(drawing.height * PIXELS_PER_UNIT)
    image = Image.new("RGB", size, "#ffffff")
    pen = ImageDraw.Draw(image)
    for mark in drawing.marks:
        _draw(pen, mark)
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def _draw(pen: ImageDraw.ImageDraw, mark: Mark) -> None:
    if isinstance(mark, Bar):
        corner = mark.left + mark.width, mark.top + mark.height
        pen.rectangle([*_scaled((mark.left, mark.top)), *_scaled(corner)], _fill(mark.role))
    elif isinstance(mark, Line):
        _draw_line(pen, mark)
    elif isinstance(mark, Dot):
        pen.circle(_scaled((mark.x, mark.y)), mark.radius * PIXELS_PER_UNIT, _fill(mark.role))
        label = Label(mark.x, mark.y + 4, mark.text, "on-dot", "middle", is_bold=True)
        _draw_label(pen, label)
    else:
        _draw_label(pen, mark)


def _draw_line(pen: ImageDraw.ImageDraw, line: Line) -> None:
    width = round(line.width * PIXELS_PER_UNIT)
    parts = _dashes(line.points) if line.is_dashed else pairwise(line.points)
    for start, end in parts:
        pen.line([_scaled(start), _scaled(end)], STROKES[line.role].light, width)


def _dashes(points: Sequence[Point]) -> Iterator[tuple[Point, Point]]:
    """Yield the dashes of a line; each of its parts begins with one.

    >>> list(_dashes([(0.0, 0.0), (9.0, 0.0)]))
    [((0.0, 0.0), (4.0, 0.0)), ((7.0, 0.0), (9.0, 0.0))]
    """
    for start, end in pairwise(points):
        length = hypot(end[0] - start[0], end[1] - start[1])
        for number in range(int(length // (DASH_PX + GAP_PX)) + 1):
            from_px = number * (DASH_PX + GAP_PX)
            until_px = min(from_px + DASH_PX, length)
            if until_px > from_px:
                yield (
                    _between(start, end, from_px / length),
                    _between(start, end, until_px / length),
                )


def _between(start: Point, end: Point, ratio: float) -> Point:
    return start[0] + (end[0] - start[0]) * ratio, start[1] + (end[1] - start[1]) * ratio


def _draw_label(pen: ImageDraw.ImageDraw, label: Label) -> None:
    font = ImageFont.load_default(FONT_PX * PIXELS_PER_UNIT)
    # The library's font has one weight; a thin outline of the same colour makes it bold.
    stroke = 0.6 if label.is_bold else 0
    pen.text(
        _scaled((label.x, label.y)), label.text.translate(REPLACED), _fill(label.role), font,
        ANCHORS[label.anchor], stroke_width=stroke, stroke_fill=_fill(label.role),
    )  # fmt: skip


def _fill(role: str) -> str:
    return FILLS[role].light


def _scaled(point: Point) -> Point:
    return point[0] * PIXELS_PER_UNIT, point[1] * PIXELS_PER_UNIT
