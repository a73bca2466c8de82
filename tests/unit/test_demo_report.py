"""The account of a demo: what was sent against what was found."""

import json

from jobs.demo_report import SentPoints, StoredReport, adds_up, read_books, stored_lines, verdict
from jobs.live_figures import PointCounts

SENT = SentPoints(points=1_000, duplicate=40, nan=10)
FOUND = PointCounts(aggregated=950, duplicate=40, nan=10)


def report(**scopes: PointCounts) -> StoredReport:
    points = {"device": FOUND, "group": FOUND, "tenant": FOUND} | scopes
    return StoredReport(points, {"device": 10_000, "tenant": 20}, {"warning": 3}, 0, 0)


def test_every_point_is_found_as_what_it_was_sent():
    assert adds_up(SENT, report())
    assert report().points.total == SENT.points
    assert "agree" in verdict(SENT, report()).plain


def test_a_missing_point_is_not_hidden():
    lost = report(device=PointCounts(949, 40, 10), group=FOUND)
    assert not adds_up(SENT, lost)
    assert "1 points of 1,000 are not accounted for" in verdict(SENT, lost).plain


def test_a_duplicate_that_was_aggregated_is_noticed_although_the_sum_agrees():
    assert not adds_up(SENT, report(device=PointCounts(951, 39, 10)))


def test_scopes_that_differ_are_noticed():
    assert not adds_up(SENT, report(tenant=PointCounts(951, 40, 10)))


def test_a_scope_without_windows_is_noticed():
    without = StoredReport({"device": FOUND}, {}, {}, 0, 0)
    assert not adds_up(SENT, without)


def test_an_empty_table_is_reported_and_not_divided_by():
    nothing = StoredReport({}, {}, {}, 0, 0)
    assert stored_lines(nothing)[0] == "windows   none"
    assert not adds_up(SENT, nothing)


def test_a_simulator_that_died_left_no_books(tmp_path):
    assert read_books(tmp_path) is None


def test_books_are_read_as_the_simulator_writes_them(tmp_path):
    books = {"points": 1_000, "duplicate_points": 40, "nan_points": 10, "messages": 9}
    (tmp_path / "simulator.json").write_text(json.dumps(books))
    assert read_books(tmp_path) == SENT
    assert SENT.fresh == 950
