"""A finding as one page for a person: it needs no script and nothing from elsewhere.

sentence, what to do        what to read when called at night
both histograms             what changed
numbers, distances          how much, and what each distance means
time line                   of the incident, when it has more than one finding
facts                       baseline, peers, versions, flags: those that are known
"""

from collections.abc import Iterator, Sequence
from html import escape

from jobs.explain_facts import Row, distance_rows, fact_rows, moved_rows, number_rows
from jobs.explain_marks import svg_of
from jobs.explain_picture import can_draw, draw_finding
from jobs.explain_texts import change_text, counted_of, headline, time_text
from jobs.explain_time_line import draw_time_line, in_order, role_of, words_of
from udfs.drift.findings import DriftFinding, State

LEGEND = (
    "The area of a bar is its share of the windows; the dashed outline is before. The outermost "
    "bars of after hold all that lies beyond, cut where p05, p50 and p95 are."
)
STYLE = """
:root{color-scheme:light dark;--ground:#fff;--text:#24292f;--faint:#636c76;--line:#d8dee4;
--soft:#f6f8fa;--firing:#b42318;--watching:#946200;--resolved:#1a7f37;--on-chip:#fff}
@media(prefers-color-scheme:dark){:root{--ground:#14171a;--text:#e6e8eb;--faint:#9aa4af;
--line:#363c43;--soft:#1d2125;--firing:#f08a80;--watching:#e3b341;--resolved:#57c271;
--on-chip:#14171a}}
body{margin:0;background:var(--ground);color:var(--text);
font:15px/1.5 system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif}
main{max-width:800px;margin:0 auto;padding:24px 20px 48px}
h1{font-size:20px;line-height:1.4;font-weight:600;margin:12px 0;overflow-wrap:anywhere}
h2{font-size:15px;margin:32px 0 8px}
figure{margin:20px 0 0}
svg{max-width:100%;height:auto;display:block}
figcaption,.faint,footer{color:var(--faint);font-size:13px}
.chip{display:inline-block;border-radius:10px;padding:0 9px;margin-right:6px;font-size:13px;
border:1px solid var(--line)}
.firing,.watching,.resolved{color:var(--on-chip);border-color:transparent}
.firing{background:var(--firing)}.watching{background:var(--watching)}
.resolved{background:var(--resolved)}
.action{background:var(--soft);border-left:3px solid var(--faint);padding:8px 12px;margin:12px 0}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:4px 12px 4px 0;border-bottom:1px solid var(--line);
vertical-align:top;overflow-wrap:anywhere}
th{font-weight:500}thead th{color:var(--faint);font-size:13px}
.numbers td,.numbers thead th+th{text-align:right;font-variant-numeric:tabular-nums}
.facts th,.distances th{white-space:nowrap;width:1%;padding-right:20px}
.distances td:nth-child(2){white-space:nowrap;font-variant-numeric:tabular-nums;width:1%}
ol{padding-left:24px}footer{margin-top:32px;overflow-wrap:anywhere}
"""


def page_of(finding: DriftFinding, incident: Sequence[DriftFinding] = ()) -> str:
    """Return the page of a finding as HTML.

    Args:
        finding: what is explained.
        incident: all findings of its incident that are known, in any order.
    """
    said = headline(finding, incident)
    body = [*_top(finding, said), *_picture(finding), *_tables(finding, incident)]
    body += [*_time_line(finding, in_order(incident)), *_facts(finding, incident)]
    title = escape(f"{finding.metric or finding.detector}: drift finding {finding.finding_id[:8]}")
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title><style>{STYLE}</style></head><body><main>",
            *body,
            "</main></body></html>\n",
        ]
    )


def _top(finding: DriftFinding, said: str) -> Iterator[str]:
    role = role_of(finding)
    pages = "pages somebody" if finding.notify else "pages nobody"
    if finding.state is State.RESOLVED:
        pages = "over"
    severity = f'<span class="chip {role}">{escape(finding.severity.value)}</span>'
    words = (finding.rule.value, finding.detector, finding.state.value, pages)
    chips = "".join(f'<span class="chip">{escape(word)}</span>' for word in dict.fromkeys(words))
    yield f"<header>{severity}{chips}"
    yield f"<h1>{escape(said)}</h1></header>"
    if finding.suggested_action:
        action = finding.suggested_action
        yield f'<p class="action">What to do: {escape(action.rstrip("."))}.</p>'


def _picture(finding: DriftFinding) -> Iterator[str]:
    if can_draw(finding):
        yield f"<figure>{svg_of(draw_finding(finding))}"
        yield f"<figcaption>{escape(LEGEND)}</figcaption></figure>"


def _tables(finding: DriftFinding, incident: Sequence[DriftFinding]) -> Iterator[str]:
    rows = number_rows(finding)
    if rows:
        heads = ("", "before", "after", "change")
        yield from _table("numbers", f"Values of {counted_of(finding)}", rows, heads)
    yield from _table("distances", "How far apart, how sure", distance_rows(finding, incident))
    moved = moved_rows(finding)
    if moved:
        columns = (f"{counted_of(finding)} whose value is", "before", "after")
        yield from _table("numbers", "Where it moved most", moved, columns)


def _table(kind: str, name: str, rows: Sequence[Row], heads: Sequence[str] = ()) -> Iterator[str]:
    yield f'<section><h2>{escape(name)}</h2><table class="{kind}">'
    if heads:
        cells = "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
        yield f"<thead><tr>{cells}</tr></thead>"
    for first, *others in rows:
        cells = "".join(f"<td>{escape(text)}</td>" for text in others)
        yield f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>'
    yield "</table></section>"


def _time_line(finding: DriftFinding, incident: Sequence[DriftFinding]) -> Iterator[str]:
    if len(incident) <= 1:
        return
    yield f"<section><h2>The incident</h2>{svg_of(draw_time_line(incident))}<ol>"
    for each, word in zip(incident, words_of(incident), strict=True):
        here = " <strong>(this finding)</strong>" if each.finding_id == finding.finding_id else ""
        grade = "" if each.state is State.RESOLVED else f", {each.severity.value}"
        told = f"{time_text(each.detected_at_ms)}: {word}{grade}; {change_text(each)}"
        key = f'<span class="faint">{escape(each.finding_id[:8])}</span>'
        yield f"<li>{escape(told)}{here} {key}</li>"
    yield "</ol></section>"


def _facts(finding: DriftFinding, incident: Sequence[DriftFinding]) -> Iterator[str]:
    yield from _table("facts", "What is known beside it", fact_rows(finding, incident))
    ids = f"finding {finding.finding_id}, incident {finding.incident_id}"
    yield f"<footer>{escape(ids)}. Times are event time, UTC.</footer>"
