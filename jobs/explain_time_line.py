"""The findings of an incident on a line of time: when it began, was told, got worse, ended.

o-----------1---2---------------3
began       told, worse         resolved
"""

from collections.abc import Iterator, Sequence

from jobs.explain_marks import Dot, Drawing, Label, Line, Mark
from jobs.explain_picture import MARGIN_PX, WIDTH_PX
from jobs.explain_texts import time_text
from udfs.drift.findings import DriftFinding, State

RADIUS_PX = 10.0
STEP_PX = 23.0
"""Between dots that would cover each other: the later one is drawn higher."""
LINE_PX = 24.0
"""Below the lowest dots: the line and its times."""


def in_order(incident: Sequence[DriftFinding]) -> list[DriftFinding]:
    """Return findings as they came; of one instant the end is last."""
    return sorted(
        incident, key=lambda f: (f.detected_at_ms, f.state is State.RESOLVED, f.finding_id)
    )


def words_of(incident: Sequence[DriftFinding]) -> list[str]:
    """Say for each finding, in order, what it did to the incident."""
    words, severity = [], None
    for finding in incident:
        if finding.state is State.FIRING:
            word = "told" if severity is None else "still there"
            is_worse = severity is not None and finding.severity != severity
            word, severity = ("worse" if is_worse else word), finding.severity
        else:
            word = "over" if finding.state is State.RESOLVED else "noted"
        words.append(word)
    return words


def draw_time_line(incident: Sequence[DriftFinding]) -> Drawing:
    """Draw the findings of one incident, in order, with the numbers of the list beside it."""
    began_ms = min(finding.first_seen_ms for finding in incident)
    span_ms = max(incident[-1].detected_at_ms - began_ms, 1)
    room = WIDTH_PX - 2 * MARGIN_PX
    places = [MARGIN_PX + room * (f.detected_at_ms - began_ms) / span_ms for f in incident]
    levels = list(_levels([MARGIN_PX, *places]))[1:]
    base = RADIUS_PX + 4 + STEP_PX * max(levels)
    marks: list[Mark] = [
        Line(((MARGIN_PX, base), (WIDTH_PX - MARGIN_PX, base)), "axis", width=2.0),
        Dot(MARGIN_PX, base, RADIUS_PX * 0.6, "began"),
        Label(MARGIN_PX - 6, base + LINE_PX + 4, f"began {time_text(began_ms)}", "faint-text"),
        *_dots(incident, zip(places, levels, strict=True), base),
    ]
    last = time_text(incident[-1].detected_at_ms)
    right = WIDTH_PX - MARGIN_PX + 6
    marks.append(Label(right, base + LINE_PX + 4, last, "faint-text", "end"))
    return Drawing(WIDTH_PX, base + LINE_PX + 10, "time line of the incident", tuple(marks))


def _levels(places: Sequence[float]) -> Iterator[int]:
    """Yield how high each dot is drawn, so that none covers another.

    >>> list(_levels([0.0, 5.0, 10.0, 100.0]))
    [0, 1, 2, 0]
    """
    last: list[float] = []
    for place in places:
        free = (level for level, x in enumerate(last) if place - x >= STEP_PX)
        level = next(free, len(last))
        last[level:] = [place, *last[level + 1 :]]
        yield level


def _dots(
    incident: Sequence[DriftFinding], places: Iterator[tuple[float, int]], base: float
) -> Iterator[Mark]:
    for number, (finding, (x, level)) in enumerate(zip(incident, places, strict=True), 1):
        y = base - level * STEP_PX
        if level > 0:
            yield Line(((x, base), (x, y)), "axis")
        yield Dot(x, y, RADIUS_PX, role_of(finding), str(number))


def role_of(finding: DriftFinding) -> str:
    """Return the colour of a finding: over, somebody is told, or nobody is."""
    if finding.state is State.RESOLVED:
        return "resolved"
    return "firing" if finding.severity.does_page else "watching"
