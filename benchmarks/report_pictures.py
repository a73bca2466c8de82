"""Figures as pictures: bars with their spread, and rates that were kept or not.

fleetpulse  |=================|--|     12.3     bar: median, line: from the least to the most
a peer      |====|-|                    3.1
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.explain_marks import Bar, Dot, Drawing, Label, Line, Mark, text_width_px

WIDTH = 760.0
NAME_WIDTH = 210.0
VALUE_WIDTH = 120.0
ROW_HEIGHT = 28.0
BAR_HEIGHT = 16.0
PLOT_HEIGHT = 180.0
MARGIN = 44.0
THOUSAND, MILLION = 1_000, 1_000_000


@dataclass(frozen=True)
class Row:
    """One bar.

    Args:
        name: what it is of.
        low: the least of its runs.
        middle: their median, the length of the bar.
        high: the most.
        is_own: whether it is of the engine, and not of somebody else.
    """

    name: str
    low: float
    middle: float
    high: float
    is_own: bool = False


def draw_bars(title: str, rows: Sequence[Row], unit: str) -> Drawing:
    """Draw one bar a row, the value beside it.

    Args:
        title: says what is drawn.
        rows: at least one, none below 0.
        unit: of the values.
    """
    most = max(row.high for row in rows) or 1.0
    scale = (WIDTH - NAME_WIDTH - VALUE_WIDTH) / most
    marks: list[Mark] = []
    for index, row in enumerate(rows):
        top = index * ROW_HEIGHT + (ROW_HEIGHT - BAR_HEIGHT) / 2
        marks += _bar(row, top, scale, unit)
    axis = ((NAME_WIDTH, 0.0), (NAME_WIDTH, len(rows) * ROW_HEIGHT))
    return Drawing(WIDTH, len(rows) * ROW_HEIGHT + 4, title, (*marks, Line(axis, "axis")))


def _bar(row: Row, top: float, scale: float, unit: str) -> list[Mark]:
    role = "after" if row.is_own else "before"
    low, high = NAME_WIDTH + row.low * scale, NAME_WIDTH + row.high * scale
    middle, text_y = top + BAR_HEIGHT / 2, top + BAR_HEIGHT - 3
    told = f"{row.name}: {shown(row.low)} / {shown(row.middle)} / {shown(row.high)} {unit}"
    marks: list[Mark] = [
        Label(NAME_WIDTH - 8, text_y, row.name, "text", "end", is_bold=row.is_own),
        Bar(NAME_WIDTH, top, max(1.0, row.middle * scale), BAR_HEIGHT, role, told),
        Label(high + 8, text_y, shown(row.middle), f"{role}-text"),
    ]
    if high - low > 1:
        ends = [((x, middle - 4), (x, middle + 4)) for x in (low, high)]
        marks.append(Line(((low, middle), (high, middle)), "axis", width=1.5))
        marks += [Line(end, "axis", width=1.5) for end in ends]
    return marks


def shown(value: float) -> str:
    """Return a number as people read it.

    >>> shown(1_234_567), shown(45_678), shown(3.14159), shown(0.327)
    ('1.23 M', '45,700', '3.14', '0.327')
    """
    if value >= MILLION:
        return f"{value / MILLION:.3g} M"
    if value >= THOUSAND:
        return f"{round(value, -2):,.0f}"
    return f"{value:.3g}"


@dataclass(frozen=True)
class Tried:
    """A rate that was tried: points a minute, how much the lag grew (s), whether it was kept."""

    points_per_min: float
    growth_s: float
    is_kept: bool


def draw_trials(title: str, trials: Sequence[Tried]) -> Drawing:
    """Draw growth of the lag over the rate; a rate that was not kept is an open warning.

    Args:
        title: says what is drawn.
        trials: at least one.
    """
    fastest = max(trial.points_per_min for trial in trials) * 1.1
    worst = max(2.0, *(trial.growth_s for trial in trials)) * 1.1
    right, bottom = WIDTH - MARGIN, PLOT_HEIGHT - MARGIN
    marks: list[Mark] = [
        Line(((MARGIN, 8.0), (MARGIN, bottom), (right, bottom)), "axis"),
        Label(MARGIN + 6, 18.0, "lag grew by, s", "faint-text"),
        Label(right, bottom + 34, "points a minute", "faint-text", "end"),
    ]
    for trial in trials:
        x = MARGIN + (right - MARGIN) * trial.points_per_min / fastest
        y = bottom - (bottom - 16) * max(0.0, trial.growth_s) / worst
        text = shown(trial.points_per_min)
        marks += [
            Dot(x, y, 5, "resolved" if trial.is_kept else "firing"),
            Label(x - text_width_px(text) / 2, bottom + 16, text),
            Label(x + 9, y + 4, f"{trial.growth_s:.1f}", "faint-text"),
        ]
    return Drawing(WIDTH, PLOT_HEIGHT, title, tuple(marks))
