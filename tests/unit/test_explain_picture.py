"""Bars of a finding: their areas are shares, nothing is lost, nothing covers another."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.explain_histograms import moved_bins, pieces_after, pieces_before
from jobs.explain_marks import Bar, Label, Line, svg_of, text_width_px
from jobs.explain_picture import WIDTH_PX, draw_finding
from tests.explained import samples, shifted
from udfs.drift.findings import Sample

NUMBERS = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e6, 1e6).map(lambda v: round(v, 2)))


def rect_bars(drawing, role):
    return [mark for mark in drawing.marks if isinstance(mark, Bar) and mark.role == role]


@settings(max_examples=60)
@given(st.lists(NUMBERS, min_size=20, max_size=60), st.lists(NUMBERS, min_size=1, max_size=60))
def test_every_window_is_in_one_piece_however_values_repeat(before, after):
    old, new = samples(np.array(before), np.array(after))
    for pieces in (pieces_before(old), pieces_after(new, old)):
        assert math.isclose(sum(piece.share for piece in pieces), 1)
        assert all(left.high <= right.low + 1e-6 for left, right in pairwise(pieces))
    svg = svg_of(draw_finding(shifted(before=old, after=new)))
    assert "nan" not in svg
    assert "inf" not in svg


def test_windows_far_beyond_the_baseline_are_drawn_where_they_are():
    finding = shifted(by=40)
    last = pieces_after(finding.after, finding.before)
    near = sum(piece.share for piece in last if piece.low > 85)
    assert 0.85 < near < 1
    assert max(piece.high for piece in last) < 96


def test_windows_far_below_the_baseline_are_drawn_where_they_are():
    finding = shifted(by=-40)
    assert min(piece.low for piece in pieces_after(finding.after, finding.before)) > 4
    assert len(rect_bars(draw_finding(finding), "after")) == 4


def test_a_constant_that_moved_is_two_bars_at_two_places():
    old, new = samples(np.full(100, 5.0), np.full(4, 6.0))
    assert [(p.low, p.high, p.share) for p in pieces_before(old)] == [(5.0, 5.0, 1.0)]
    assert [(p.low, p.high) for p in pieces_after(new, old) if p.share > 0.05] == [(6.0, 6.0)]
    drawing = draw_finding(shifted(before=old, after=new))
    (before,), after = rect_bars(drawing, "before"), rect_bars(drawing, "after")
    assert after[-1].left - before.left > WIDTH_PX / 2


def test_areas_of_bars_are_shares_in_both_panels_alike():
    finding = shifted(by=0.5)
    drawing = draw_finding(finding)
    areas = {
        role: sum((bar.width + 0.7) * bar.height for bar in rect_bars(drawing, role))
        for role in ("before", "after")
    }
    assert math.isclose(areas["before"], areas["after"], rel_tol=0.02)


@pytest.mark.parametrize("by", [-40, -1, 0.01, 2, 40])
def test_no_label_covers_another_or_leaves_the_picture(by):
    labels = [mark for mark in draw_finding(shifted(by=by)).marks if isinstance(mark, Label)]
    boxes = []
    for label in labels:
        width = text_width_px(label.text, is_bold=label.is_bold)
        left = label.x - {"start": 0, "middle": width / 2, "end": width}[label.anchor]
        boxes.append((left, left + width, label.y, label.text))
        assert left >= 0, label
        assert left + width <= WIDTH_PX, label
    for i, (left, right, y, text) in enumerate(boxes):
        for other_left, other_right, other_y, other in boxes[:i]:
            is_apart = right <= other_left or other_right <= left or abs(y - other_y) >= 11
            assert is_apart, f"{text} covers {other}"


def test_one_extreme_value_of_the_baseline_does_not_squeeze_all_others():
    rng = np.random.default_rng(1)
    old, new = samples(np.append(rng.normal(0, 1, 999), 1e6), rng.normal(1, 1, 64))
    drawing = draw_finding(shifted(before=old, after=new))
    widest = max(bar.width for bar in rect_bars(drawing, "before")[1:-1])
    assert widest > 40
    assert any(isinstance(m, Label) and m.text.startswith("to 1,000,000") for m in drawing.marks)


def test_samples_of_other_bins_than_the_baseline_are_drawn_in_their_own():
    old, _ = samples(np.arange(100.0), np.arange(4.0))
    new = Sample(4, 1.0, 0.5, 1.0, 1.5, (0.0, 1.0, 2.0), (2, 2))
    assert [(p.low, p.high, p.share) for p in pieces_after(new, old)] == [(0, 1, 0.5), (1, 2, 0.5)]
    assert moved_bins(old, new) == []


def test_the_bins_that_moved_most_come_first():
    finding = shifted(by=2)
    first, *_ = moved_bins(finding.before, finding.after)
    assert first.high is None
    assert first.after > 0.3 > first.before


def test_the_dashed_outline_of_before_is_in_the_lower_panel():
    drawing = draw_finding(shifted())
    (outline,) = [m for m in drawing.marks if isinstance(m, Line) and m.is_dashed]
    assert min(y for _, y in outline.points) > drawing.height / 2
