"""A finding as a sentence and as a page: what it says, what it leaves out, what it escapes."""

import math
import re
from html.parser import HTMLParser

import pytest

from jobs.explain_page import page_of
from jobs.explain_texts import headline
from tests.drift_findings import MINUTE_MS, START_MS, finding
from tests.explained import shifted
from udfs.drift.findings import Rule, Sample, Severity, State

BARE = {
    "before": Sample(), "after": Sample(), "baseline": None, "shift_sigma": None, "psi": None,
    "w1_sigma": None, "expected_false_alarms": None, "co_drifting_metrics": (), "changed_tags": (),
    "quality_flags": (), "explained_by_network": None, "peers": 0, "coverage": 1.0,
    "suggested_action": "", "rule": Rule.DATA_QUALITY, "direction": "",
}  # fmt: skip
STUCK = {**BARE, "detector": "stuck", "reason": "same value: 3 -> 27"}
VOID = {"br", "meta", "rect", "circle", "polyline"}


class Outline(HTMLParser):
    """Reads a page: its tags in order, and whether each is closed where it must be."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.open, self.attributes = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag


def test_the_headline_says_what_whose_since_when_how_sure_and_against_what():
    assert headline(finding()) == (
        "power_w of device cam-1 (tenant t0) is higher since 1 Jan 2026 00:00 UTC: mean 4.50 → "
        "6.00 W (+1.5 sigma), by chance at most once in 180 million windows, judged against "
        "1,000 windows of 31 Dec 2025 00:00 to 1 Jan 2026 00:00 UTC (provisional)."
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"direction": "down"}, "is lower since"),
        ({"shift_sigma": 30.06}, "mean 4.50 → at least 6.00 W (+30 sigma or more)"),
        ({"direction": "wide"}, "windows were 4.00 to 5.00 W, now 5.50 to 6.50 W"),
        ({"tenant_id": "csv", "subject": ""}, "power_w is higher"),
        ({"tenant_id": "csv"}, "power_w of series cam-1 is"),
        ({"scope": "model_version", "subject": "v2"}, "of model version v2 (tenant t0)"),
        ({"scope": "tenant", "subject": ""}, "power_w of tenant t0 is"),
        ({"metric": ""}, "Every metric of device"),
        ({"log10_e": math.inf}, "once in 10^300 or more windows"),
        (STUCK, "is stuck at one value since 1 Jan 2026 00:00 UTC: same value: 3 -> 27, by chance"),
        ({**STUCK, "log10_e": 0.0}, "00:00 UTC: same value: 3 -> 27."),
        ({**BARE, "detector": "brand_new"}, "shows brand_new since"),
        ({"state": State.RESOLVED}, "is as usual again since 1 Jan 2026 00:20 UTC, after it was"),
    ],
)
def test_the_headline_fits_the_finding(changes, said):
    sentence = headline(finding(**changes))
    assert said in sentence
    assert sentence.endswith(".")


# E starts anew at 0 after each alarm:   8.2 (told) ... 2.0 (worse)
def test_a_later_finding_began_and_is_as_sure_as_the_first_of_its_incident_was():
    first = finding()
    later = finding(
        finding_id="f-2", severity=Severity.CRITICAL, log10_e=2.0,
        first_seen_ms=START_MS + 40 * MINUTE_MS, detected_at_ms=START_MS + 60 * MINUTE_MS,
    )  # fmt: skip
    assert "since 1 Jan 2026 00:00 UTC" in headline(later, [later, first])
    assert "since 1 Jan 2026 00:40 UTC" in headline(later, [later])
    assert "180 million windows when told 1 Jan 2026 00:20 UTC" in headline(later, [later, first])
    assert "once in 100 windows," in headline(later, [later])
    assert "180 million windows," in headline(first, [later, first])


def test_a_page_has_both_histograms_the_numbers_and_what_they_mean():
    page = page_of(shifted())
    tags = Outline(page).tags
    assert (tags.count("svg"), Outline(page).open) == (1, [])
    for text in (
        "before: 1,000 windows", "after: 64 windows", "cpu_temp_c, mean of a window (°C)",
        "p05", "p95", "+1.5 sigma", "PSI", "0.31", "W1", "log10 E", "8.2", "1,700 years",
        "provisional", "b-1", "cpu_temp_c, load_ratio", "firmware_version: 1.0 -&gt; 1.1",
        "3 of 40", "75 %", "20 % of the shift of power", "Look at the firmware of cam-1.",
    ):  # fmt: skip
        assert text in page, text


def test_a_finding_without_histograms_has_a_page_without_empty_boxes():
    page = page_of(finding(**STUCK))
    assert Outline(page).open == []
    assert not {"svg", "figure", "ol"} & set(Outline(page).tags)
    assert "<td></td>" not in page
    assert "same value: 3 -&gt; 27" in page
    for absent in ("PSI", "peers", "coverage", "baseline", "What to do", "Values of windows"):
        assert absent not in page, absent


def test_names_of_devices_are_text_wherever_they_are_shown():
    evil = "<script>alert(1)</script>\"'&"
    page = page_of(
        shifted(
            subject=evil, metric=evil, tenant_id=evil, reason=evil, suggested_action=evil,
            finding_id=evil, incident_id=evil, detector=evil, changed_tags=(evil,),
            co_drifting_metrics=(evil,), quality_flags=(evil,),
        )
    )  # fmt: skip
    assert "script" not in Outline(page).tags
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 8


def test_a_page_needs_nothing_from_elsewhere_and_is_small():
    page = page_of(shifted(), [shifted(finding_id=str(n)) for n in range(50)])
    names = {name for name, _ in Outline(page).attributes}
    assert not {"src", "href", "srcset", "data", "action"} & names
    assert not re.search(r"url\(|@import|<script|<link", page)
    assert len(page.encode()) < 300_000
    assert "prefers-color-scheme:dark" in page


# 00:20 firing -- 01:00 worse ------- 03:00 over
def test_the_incident_is_a_time_line_in_order_with_this_finding_marked():
    told = shifted(finding_id="a", severity=Severity.MINOR)
    worse = shifted(finding_id="b", detected_at_ms=START_MS + 60 * MINUTE_MS)
    over = finding(
        **{**BARE, "detector": "esr", "direction": "up"}, state=State.RESOLVED, finding_id="c",
        detected_at_ms=START_MS + 180 * MINUTE_MS,
    )  # fmt: skip
    page = page_of(worse, [over, worse, told])
    (items,) = re.findall(r"<ol>(.*)</ol>", page, re.DOTALL)
    said = [re.sub("<[^>]+>", "", line) for line in items.splitlines() if line.strip()]
    assert [re.search(r": (\w+)(?:, (\w+))?;", line).groups() for line in said] == [
        ("told", "minor"), ("worse", "major"), ("over", None),
    ]  # fmt: skip
    assert [("(this finding)" in line) for line in said] == [False, True, False]
    assert Outline(page).tags.count("circle") == 4
