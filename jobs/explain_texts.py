"""What a finding says in sentences: whose, since when, how sure, against what.

power_w of device cam-1 (tenant t0) is higher since 1 Jan 2026 00:00 UTC: mean 4.50 -> 6.00 W
(+1.5 sigma), by chance at most once in 180 million windows, judged against 1,000 windows of ...
"""

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from jobs.explain_numbers import (
    DAY_MS,
    Scale,
    count_text,
    length_text,
    odds_text,
    unit_of,
    window_text,
    with_unit,
)
from udfs.drift.findings import BaselineNote, DriftFinding, State
from udfs.drift.value_codes import Y_MAX

CSV_TENANT = "csv"
"""Of findings in a file of anybody's; its series are no devices."""
DIRECTIONS = {
    "up": "is higher",
    "down": "is lower",
    "wide": "is spread wider",
    "spread": "is spread wider",
    "narrow": "varies less",
}
DETECTORS = {
    "esr": "is distributed differently",
    "psi": "is distributed differently",
    "missing_rate": "misses more points than usual",
    "nan_rate": "has more NaN values than usual",
    "out_of_range_rate": "is out of range more often than usual",
    "error_rate": "has more errors than usual",
    "low_confidence_rate": "has more points of low confidence than usual",
    "stuck": "is stuck at one value",
    "unit_change": "comes in another unit",
    "saturation": "sits at its limit",
    "resolution": "has another resolution",
    "unreadable": "cannot be read",
    "new_metric": "is new",
    "new_type": "has a new type",
    "none": "has no verdict",
}
CUT_SIGMA = 0.99 * Y_MAX
"""Values farther from the baseline are kept as if they were here."""
WHOLE_SIGMA = 10.0
"""From here decimals say nothing."""
POWER_MAX = 200.0
"""Of ten, that windows can be counted in."""
LITTLE_PSI, LARGE_PSI = 0.1, 0.2
"""Siddiqi 2006, Credit Risk Scorecards; the thresholds of the contract."""


def headline(finding: DriftFinding, incident: Sequence[DriftFinding] = ()) -> str:
    """Return what there is to know, in one sentence.

    Args:
        finding: any.
        incident: the findings of its incident; evidence starts anew after each of them, so the
            first says when it began, and the strongest until then how sure one is.
    """
    began_ms = began_of(finding, incident)
    parts = [f"{subject_text(finding)} {_verb(finding, began_ms)}"]
    if finding.state is not State.RESOLVED:
        parts[0] += f" {_when(finding, began_ms)}"
    change = change_text(finding)
    parts[0] += f": {change}" if change else ""
    surest = surest_of(finding, incident)
    if finding.state is State.FIRING and surest.log10_e > 0:
        told = "" if surest is finding else f" when told {time_text(surest.detected_at_ms)}"
        parts.append(f"by chance at most once in {odds_text(surest.log10_e)} windows{told}")
    if finding.baseline is not None:
        parts.append(f"judged against {baseline_text(finding.baseline, days_text)}")
    return ", ".join(parts) + "."


def surest_of(finding: DriftFinding, incident: Sequence[DriftFinding]) -> DriftFinding:
    """Return the finding with the strongest evidence that an incident had until this one."""
    return max(_until(finding, incident), key=lambda each: each.log10_e)


def began_of(finding: DriftFinding, incident: Sequence[DriftFinding]) -> int:
    """Return when an incident began, by what was known at this finding, UTC ms."""
    return min(each.first_seen_ms for each in _until(finding, incident))


def _until(finding: DriftFinding, incident: Sequence[DriftFinding]) -> list[DriftFinding]:
    return [finding, *(f for f in incident if f.detected_at_ms < finding.detected_at_ms)]


def subject_text(finding: DriftFinding) -> str:
    """Return what and whose: the metric, its subject, the owner."""
    metric = finding.metric or "Every metric"
    if finding.tenant_id == CSV_TENANT:
        return f"{metric} of series {finding.subject}" if finding.subject else metric
    if not finding.subject:
        return f"{metric} of tenant {finding.tenant_id}"
    scope = finding.scope.replace("_", " ")
    return f"{metric} of {scope} {finding.subject} (tenant {finding.tenant_id})"


def _verb(finding: DriftFinding, began_ms: int) -> str:
    usual = DIRECTIONS.get(finding.direction) if finding.detector in {"esr", "psi"} else None
    verb = usual or DETECTORS.get(finding.detector) or f"shows {finding.detector}"
    if finding.state is State.RESOLVED:
        until = f"since {time_text(finding.detected_at_ms)}"
        return f"is as usual again {until}, after it {_past(verb)} {_when(finding, began_ms)}"
    return verb


def _past(verb: str) -> str:
    """Turn the verb of a headline into what was.

    >>> _past("is higher"), _past("misses more points than usual")
    ('was higher', 'missed more points than usual')
    """
    first, _, rest = verb.partition(" ")
    past = {"is": "was", "has": "had", "sits": "sat", "misses": "missed", "comes": "came"}
    past |= {"varies": "varied", "shows": "showed", "cannot": "could not"}
    return f"{past[first]} {rest}"


def _when(finding: DriftFinding, began_ms: int) -> str:
    word = "at" if finding.window_ms == 0 else "since"
    if finding.state is State.RESOLVED:
        word = "from"
    return f"{word} {time_text(began_ms)}"


def change_text(finding: DriftFinding) -> str:
    """Return by how much: both means and the distance, or what the detector says of it."""
    before, after = finding.before.mean, finding.after.mean
    if before is None or after is None:
        return finding.reason.rstrip(".")
    scale, unit = scale_of(finding), unit_of(finding.metric)
    if finding.direction in {"wide", "spread", "narrow"}:
        return _spread_text(finding, scale, unit)
    sigma = finding.shift_sigma
    least = " " if sigma is None or abs(sigma) < CUT_SIGMA else f" {_side(sigma)} "
    means = f"mean {scale.text(before)} →{least}{with_unit(scale.text(after), unit)}"
    return means if sigma is None else f"{means} ({sigma_text(sigma)})"


def _side(sigma: float) -> str:
    return "at least" if sigma > 0 else "at most"


def _spread_text(finding: DriftFinding, scale: Scale, unit: str) -> str:
    spans = []
    for sample in (finding.before, finding.after):
        if sample.p05 is None or sample.p95 is None:
            return finding.reason.rstrip(".")
        spans.append(f"{scale.text(sample.p05)} to {with_unit(scale.text(sample.p95), unit)}")
    return f"nine of ten windows were {spans[0]}, now {spans[1]}"


def scale_of(finding: DriftFinding) -> Scale:
    """Return how the values of a finding are rounded, by the spread of the baseline."""
    before, after = finding.before, finding.after
    known = [
        value
        for sample in (before, after)
        for value in (sample.mean, sample.p05, sample.p50, sample.p95)
        if value is not None and math.isfinite(value)
    ]
    if not known:
        return Scale(0)
    spread = (before.p95 or 0) - (before.p05 or 0)
    return Scale.of_spread(spread or max(known) - min(known), max(map(abs, known)))


def counted_of(finding: DriftFinding) -> str:
    """Return of what both samples are: PSI is of single points, all else of windows' means."""
    return "points" if finding.detector == "psi" else "windows"


def sigma_text(sigma: float) -> str:
    """Write a distance in standard deviations.

    >>> sigma_text(1.1516), sigma_text(-30.06), sigma_text(0.004)
    ('+1.2 sigma', '-30 sigma or more', '+0.0 sigma')
    """
    if abs(sigma) >= CUT_SIGMA:
        return f"{sigma:+.0f} sigma or more"
    return f"{sigma:+.0f} sigma" if abs(sigma) >= WHOLE_SIGMA else f"{sigma:+z.1f} sigma"


def baseline_text(baseline: BaselineNote, span_text: Callable[[int, int], str]) -> str:
    """Return what was judged against: how many windows, from when, whether they are enough."""
    size = count_text(baseline.window_count, "window")
    kind = " (provisional)" if baseline.is_provisional else ""
    return f"{size} of {span_text(baseline.from_ms, baseline.until_ms)}{kind}"


def time_text(time_ms: int) -> str:
    """Write an instant to the minute, or to the second where it has one.

    >>> time_text(1_767_225_600_000), time_text(1_767_225_661_500)
    ('1 Jan 2026 00:00 UTC', '1 Jan 2026 00:01:01 UTC')
    """
    moment = datetime.fromtimestamp(time_ms // 1000, UTC)
    clock = f"{moment:%H:%M:%S}" if moment.second else f"{moment:%H:%M}"
    return f"{moment.day} {moment:%b %Y} {clock} UTC"


def period_text(from_ms: int, until_ms: int) -> str:
    """Write a stretch of time; what both ends share is written once.

    >>> period_text(1_767_225_600_000, 1_767_525_600_000)
    '1 Jan 2026 00:00 to 4 Jan 2026 11:20 UTC'
    >>> period_text(1_767_225_600_000, 1_767_232_800_000)
    '1 Jan 2026 00:00 to 02:00 UTC'
    """
    first, last = time_text(from_ms).removesuffix(" UTC"), time_text(until_ms)
    day = " ".join(first.split()[:3]) + " "
    return f"{first} to {last.removeprefix(day)}"


def days_text(from_ms: int, until_ms: int) -> str:
    """Write a stretch of days, or of hours when it is less than two.

    >>> days_text(1_767_225_600_000, 1_767_525_600_000)
    '1 to 4 Jan 2026'
    >>> days_text(1_767_225_600_000, 1_772_323_200_000)
    '1 Jan to 1 Mar 2026'
    >>> days_text(1_767_225_600_000, 1_767_232_800_000)
    '1 Jan 2026 00:00 to 02:00 UTC'
    """
    if until_ms - from_ms < 2 * DAY_MS:
        return period_text(from_ms, until_ms)
    ends = [time_text(time_ms).split()[:3] for time_ms in (from_ms, until_ms)]
    first, last = ends
    while len(first) > 1 and first[-1] == last[len(first) - 1]:
        first = first[:-1]
    return f"{' '.join(first)} to {' '.join(last)}"


def chance_text(finding: DriftFinding) -> str:
    """Return what the evidence means; the law of e-detectors is that of the contract."""
    if not finding.log10_e > 0:
        return "a rule decides this, no matter of chance"
    odds = f"if all were as before, reached by chance at most once in {odds_text(finding.log10_e)}"
    if finding.window_ms <= 0 or not math.isfinite(finding.log10_e) or finding.log10_e > POWER_MAX:
        return f"{odds} windows"
    span = length_text(10**finding.log10_e * finding.window_ms)
    return f"{odds} windows, which is {span} of {window_text(finding.window_ms)} windows"


def psi_text(psi: float) -> str:
    """Return what a population stability index means.

    >>> psi_text(0.05), psi_text(0.15), psi_text(0.75)
    ('below 0.1: hardly different', '0.1 to 0.2: somewhat different', '0.2 or more: different')
    """
    if psi < LITTLE_PSI:
        return "below 0.1: hardly different"
    return "0.1 to 0.2: somewhat different" if psi < LARGE_PSI else "0.2 or more: different"
