"""Draws both distributions of a finding, one above the other, on one axis.

before: 1,000 windows
     p05   p50   p95        quantiles, with a line down to the axis
      .:|::::|::::|:.       the area of a bar is its share of the windows
after: 40 windows
            p05  p50  p95
      .:.:::|::::|::::|:    and the outline of before
40        50        60      unit of the metric
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jobs.explain_histograms import (
    Piece,
    density,
    has_histogram,
    pieces_after,
    pieces_before,
    usual_density,
)
from jobs.explain_marks import MIDDLE_WIDTH, Bar, Drawing, Label, Line, Mark, text_width_px
from jobs.explain_numbers import DECIMALS_MAX, PLAIN_MAX, count_text, unit_of, with_unit
from jobs.explain_texts import scale_of
from udfs.drift.findings import DriftFinding, Sample

WIDTH_PX, MARGIN_PX = 760.0, 28.0
TITLE_PX, LABELS_PX, BARS_PX, GAP_PX, AXIS_PX = 24.0, 32.0, 116.0, 20.0, 46.0
PANEL_PX = TITLE_PX + LABELS_PX + BARS_PX
LEAST_BAR_PX = 4.0
TAIL_RATIO = 0.75
"""Beyond the quantiles 5 % and 95 % of both, as much of their distance is shown on either side."""
HIGHEST_RATIO = 3.0
"""A bar higher than so many usual ones is cut: one value that repeats would flatten all others."""
OWN_HEIGHT_RATIO = 6.0
"""Of usual heights, from which each panel has a height of its own."""
LABEL_GAP_PX = 10.0
TICKS_COUNT = 7


@dataclass(frozen=True)
class Axis:
    """Where a value is drawn.

    Args:
        low: value at the left end, unit of the metric.
        high: value at the right end.
    """

    low: float
    high: float

    def x(self, value: float) -> float:
        """Return the place of a value, px; what is beyond the ends is drawn at them."""
        ratio = (value - self.low) / (self.high - self.low)
        return MARGIN_PX + min(max(ratio, 0.0), 1.0) * (WIDTH_PX - 2 * MARGIN_PX)

    @property
    def least_width(self) -> float:
        """Return the width of the narrowest bar, unit of the metric."""
        return (self.high - self.low) * LEAST_BAR_PX / (WIDTH_PX - 2 * MARGIN_PX)


@dataclass(frozen=True)
class Panel:
    """One of the two distributions.

    Args:
        name: before or after; its role too.
        sample: the windows.
        pieces: of it.
        top: px.
        full_density: that of a bar of full height.
    """

    name: str
    sample: Sample
    pieces: Sequence[Piece]
    top: float
    full_density: float

    @property
    def bottom(self) -> float:
        """Return where the bars stand, px."""
        return self.top + PANEL_PX

    def height(self, piece: Piece, axis: Axis) -> float:
        """Return the height of a bar, px."""
        ratio = density(piece, axis.least_width) / self.full_density
        return min(ratio, 1.0) * BARS_PX


def can_draw(finding: DriftFinding) -> bool:
    """Return whether a finding has histograms."""
    return has_histogram(finding.before) and has_histogram(finding.after)


def draw_finding(finding: DriftFinding) -> Drawing:
    """Draw both histograms of a finding that has them."""
    assert can_draw(finding), finding.finding_id
    pieces = pieces_before(finding.before), pieces_after(finding.after, finding.before)
    axis = _axis_of(finding, [*pieces[0], *pieces[1]])
    before, after = _panels(finding, pieces, axis)
    marks = [
        *_bars(before, axis, finding),
        *_bars(after, axis, finding),
        Line(_outline(before, after, axis), "before-line", is_dashed=True),
        *_quantiles(before, axis, finding),
        *_quantiles(after, axis, finding),
        *_axis_marks(axis, finding, after.bottom),
    ]
    title = f"{finding.metric or 'value'}: before and after"
    return Drawing(WIDTH_PX, after.bottom + AXIS_PX, title, tuple(marks))


def _axis_of(finding: DriftFinding, pieces: Sequence[Piece]) -> Axis:
    """Return the axis: what lies far out is cut, so that what matters has room."""
    low, high = min(p.low for p in pieces), max(p.high for p in pieces)
    samples = finding.before, finding.after
    marks = [q for s in samples for q in (s.p05, s.p50, s.p95) if q is not None]
    core = (min(marks), max(marks)) if marks else (low, high)
    tail = (core[1] - core[0]) * TAIL_RATIO
    if tail > 0:
        low, high = max(low, core[0] - tail), min(high, core[1] + tail)
    low, high = min(low, core[0]), max(high, core[1])
    room = (high - low) * 0.03 or abs(low) * 0.05 or 1.0
    return Axis(low - room, high + room)


def _panels(
    finding: DriftFinding, pieces: tuple[list[Piece], list[Piece]], axis: Axis
) -> tuple[Panel, Panel]:
    usual = [usual_density(each, axis.least_width) for each in pieces]
    tallest = [max(density(p, axis.least_width) for p in each) for each in pieces]
    full = [min(HIGHEST_RATIO * u, t) for u, t in zip(usual, tallest, strict=True)]
    if max(usual) < OWN_HEIGHT_RATIO * min(usual):
        full = [max(full)] * 2
    return (
        Panel("before", finding.before, pieces[0], 0.0, full[0]),
        Panel("after", finding.after, pieces[1], PANEL_PX + GAP_PX, full[1]),
    )


def _bars(panel: Panel, axis: Axis, finding: DriftFinding) -> Iterator[Mark]:
    size = count_text(panel.sample.count, "window")
    name = f"{panel.name}: {size}"
    yield Label(MARGIN_PX, panel.top + 16, name, f"{panel.name}-text", is_bold=True)
    scale, unit = scale_of(finding), unit_of(finding.metric)
    for piece in panel.pieces:
        left, right = _sides(piece, axis)
        height = panel.height(piece, axis)
        span = f"{scale.text(piece.low)} to {with_unit(scale.text(piece.high), unit)}"
        title = f"{span}: {share_text(piece.share)} of the windows"
        # A hair's breadth between neighbours lets each be seen.
        width = max(right - left - 0.7, 1.0)
        yield Bar(left, panel.bottom - height, width, height, panel.name, title)
        if density(piece, axis.least_width) > panel.full_density * 1.001:
            yield from _cut_mark((left, right), panel.bottom - height, piece)
    yield Line(((MARGIN_PX, panel.bottom), (WIDTH_PX - MARGIN_PX, panel.bottom)), "axis")


def _sides(piece: Piece, axis: Axis) -> tuple[float, float]:
    left, right = axis.x(piece.low), axis.x(piece.high)
    if right - left < LEAST_BAR_PX:
        middle = (left + right) / 2
        return middle - LEAST_BAR_PX / 2, middle + LEAST_BAR_PX / 2
    return left, right


def _cut_mark(sides: tuple[float, float], top: float, piece: Piece) -> Iterator[Mark]:
    """Say that a bar goes on above, and how much it holds; lines of quantiles are at its right."""
    left, right = sides
    middle = (left + right) / 2
    yield Line(((middle - 5, top + 9), (middle + 5, top + 5)), "axis", width=MIDDLE_WIDTH)
    is_narrow = left < MARGIN_PX + 40
    x, anchor = (right + 5, "start") if is_narrow else (left - 5, "end")
    yield Label(x, top + 10, share_text(piece.share), "faint-text", anchor)


def _outline(before: Panel, after: Panel, axis: Axis) -> tuple[tuple[float, float], ...]:
    """Return the outline of the baseline in the lower panel."""
    points: list[tuple[float, float]] = []
    for piece in before.pieces:
        left, right = _sides(piece, axis)
        y = after.bottom - before.height(piece, axis)
        points += [(left, y), (right, y)]
    return ((points[0][0], after.bottom), *points, (points[-1][0], after.bottom))


def _quantiles(panel: Panel, axis: Axis, finding: DriftFinding) -> Iterator[Mark]:
    sample, scale = panel.sample, scale_of(finding)
    named = (("p05", sample.p05), ("p50", sample.p50), ("p95", sample.p95))
    known = [(name, value) for name, value in named if value is not None]
    names: dict[float, str] = {}
    for name, value in known:
        names[value] = f"{names[value]} = {name}" if value in names else name
    texts = [f"{name} {scale.text(value)}" for value, name in names.items()]
    places = _apart([axis.x(value) for value in names], [text_width_px(t) for t in texts])
    base = panel.top + TITLE_PX + 12
    for (value, name), text, place in zip(names.items(), texts, places, strict=True):
        x, is_middle = axis.x(value), "p50" in name
        width = MIDDLE_WIDTH if is_middle else 1.0
        points = ((place, base + 4), (x, base + 16), (x, panel.bottom))
        yield Line(points, f"{panel.name}-line", width=width)
        yield Label(place, base, text, f"{panel.name}-text", "middle", is_bold=is_middle)


def _apart(wanted: list[float], widths: list[float]) -> list[float]:
    """Move labels as little as needed for none to touch another, and all inside.

    >>> _apart([100.0, 101.0, 300.0], [50.0, 50.0, 50.0])
    [70.5, 130.5, 300.0]
    >>> _apart([-10.0], [50.0]), _apart([759.0], [50.0])
    ([33.0], [727.0])
    """
    places = list(wanted)
    for _ in range(len(places) * 20):
        for i in range(len(places) - 1):
            short = (widths[i] + widths[i + 1]) / 2 + LABEL_GAP_PX - (places[i + 1] - places[i])
            if short > 0:
                places[i] -= short / 2
                places[i + 1] += short / 2
        for i, width in enumerate(widths):
            inside = width / 2 + 8
            places[i] = min(max(places[i], inside), WIDTH_PX - inside)
    return places


def _axis_marks(axis: Axis, finding: DriftFinding, top: float) -> Iterator[Mark]:
    step = tick_step(axis.high - axis.low)
    decimals = max(0, -math.floor(math.log10(step)))
    largest = max(abs(axis.low), abs(axis.high))
    plain = decimals <= DECIMALS_MAX and largest < PLAIN_MAX
    for place in range(math.ceil(axis.low / step), math.floor(axis.high / step) + 1):
        value = place * step
        text = f"{value:z,.{decimals}f}" if plain else f"{value:.6g}"
        yield Line(((axis.x(value), top), (axis.x(value), top + 5)), "axis")
        yield Label(axis.x(value), top + 19, text, "faint-text", "middle")
    unit = unit_of(finding.metric)
    name = f"{finding.metric or 'value'}, mean of a window" + (f" ({unit})" if unit else "")
    yield Label(WIDTH_PX / 2, top + 38, name, "faint-text", "middle")
    yield from _cut_ends(axis, finding, top)


def _cut_ends(axis: Axis, finding: DriftFinding, top: float) -> Iterator[Mark]:
    """Say how far the baseline goes where the axis is cut."""
    scale, edges = scale_of(finding), finding.before.edges
    if edges[0] < axis.low:
        yield Label(MARGIN_PX, top + 38, f"← to {scale.text(edges[0])}", "faint-text")
    if edges[-1] > axis.high:
        text = f"to {scale.text(edges[-1])} →"
        yield Label(WIDTH_PX - MARGIN_PX, top + 38, text, "faint-text", "end")


def tick_step(span: float) -> float:
    """Return the distance of ticks: 1, 2 or 5 times a power of ten.

    >>> [tick_step(span) for span in (10.0, 23.0, 0.07)]
    [2.0, 5.0, 0.01]
    """
    rough = span / TICKS_COUNT
    power = 10.0 ** math.floor(math.log10(rough))
    return next(times * power for times in (1, 2, 5, 10) if times * power >= rough)


def share_text(share: float) -> str:
    """Write a share as people say it.

    >>> share_text(0.2), share_text(0.004), share_text(0.0), share_text(1.0)
    ('20 %', '0.4 %', '0 %', '100 %')
    """
    percent = share * 100
    return f"{percent:.1f} %" if 0 < percent < 1 else f"{percent:.0f} %"
