"""The rows of a finding's tables: only what is known has one."""

import math
from collections.abc import Iterator, Sequence

from jobs.explain_histograms import MovedBin, moved_bins
from jobs.explain_numbers import Scale, count_text, length_text, unit_of, window_text, with_unit
from jobs.explain_picture import share_text
from jobs.explain_texts import (
    baseline_text,
    began_of,
    chance_text,
    counted_of,
    period_text,
    psi_text,
    scale_of,
    sigma_text,
    subject_text,
    surest_of,
    time_text,
)
from udfs.drift.findings import DriftFinding

Row = tuple[str, ...]
"""The name of a row, and its cells."""
QUANTITIES = {"mean": "mean", "p05": "p05", "p50": "p50 (median)", "p95": "p95"}


def number_rows(finding: DriftFinding) -> list[Row]:
    """Return quantiles and means before and after, and by how much each has moved."""
    before, after = finding.before, finding.after
    scale, unit = scale_of(finding), unit_of(finding.metric)
    rows: list[Row] = []
    for field, name in QUANTITIES.items():
        was, now = getattr(before, field), getattr(after, field)
        if was is None or now is None:
            continue
        change = f"{'+' if now >= was else ''}{scale.text(now - was)}"
        texts = (scale.text(was), scale.text(now), change)
        rows.append((name, *(with_unit(text, unit) for text in texts)))
    if rows:
        rows.insert(0, (counted_of(finding), f"{before.count:,}", f"{after.count:,}", ""))
    return rows


def distance_rows(finding: DriftFinding, incident: Sequence[DriftFinding] = ()) -> list[Row]:
    """Return each distance between the two, and what it means."""
    rows: list[Row] = []
    if finding.shift_sigma is not None:
        meaning = "of the mean, in standard deviations of the baseline"
        rows.append(("shift", sigma_text(finding.shift_sigma), meaning))
    if finding.psi is not None:
        rows.append(("PSI", f"{finding.psi:.2f}", psi_text(finding.psi)))
    if finding.w1_sigma is not None:
        meaning = "how far a window has moved on average (Wasserstein distance)"
        rows.append(("W1", f"{finding.w1_sigma:.2f} sigma", meaning))
    text = f"{finding.log10_e:.1f}" if math.isfinite(finding.log10_e) else "beyond measure"
    rows.append(("log10 E", text if finding.log10_e > 0 else "none", chance_text(finding)))
    surest = surest_of(finding, incident)
    if surest is not finding:
        told = f"when told {time_text(surest.detected_at_ms)}, from where evidence counts anew"
        rows.append(("", f"{surest.log10_e:.1f}", told))
    if finding.expected_false_alarms is not None:
        budget = f"{finding.expected_false_alarms:.2g}"
        rows.append(("budget", budget, "false alarms of this kind in 10,000 device-days"))
    return rows


def moved_rows(finding: DriftFinding) -> list[Row]:
    """Return the bins that have gained or lost most."""
    scale, unit = scale_of(finding), unit_of(finding.metric)
    return [
        (_bin_text(moved, scale, unit), share_text(moved.before), share_text(moved.after))
        for moved in moved_bins(finding.before, finding.after)
    ]


def _bin_text(moved: MovedBin, scale: Scale, unit: str) -> str:
    """Write the span of a bin.

    >>> _bin_text(MovedBin(None, 4.0, 0.1, 0.0), Scale(1), "W")
    'at most 4.0 W'
    """
    if moved.low is None:
        return f"at most {with_unit(scale.text(moved.high or 0), unit)}"
    if moved.high is None:
        return f"above {with_unit(scale.text(moved.low), unit)}"
    return f"{scale.text(moved.low)} to {with_unit(scale.text(moved.high), unit)}"


def fact_rows(finding: DriftFinding, incident: Sequence[DriftFinding] = ()) -> list[Row]:
    """Return all else that is known, each fact with its name."""
    began_ms = began_of(finding, incident)
    rows = [
        ("what", subject_text(finding)),
        ("began", time_text(began_ms)),
        *_later_start(finding, began_ms),
        ("detected", _detected(finding)),
        *_baseline(finding),
        ("said by the detector", finding.reason),
        *_around(finding),
    ]
    return [row for row in rows if row[1]]


def _later_start(finding: DriftFinding, began_ms: int) -> Iterator[Row]:
    if finding.first_seen_ms != began_ms:
        yield "seen here", f"what came after {time_text(finding.first_seen_ms)}"


def _detected(finding: DriftFinding) -> str:
    at = time_text(finding.detected_at_ms)
    if finding.window_ms <= 0:
        return at
    size = f"{window_text(finding.window_ms)} window"
    later = length_text(finding.detected_at_ms - finding.first_seen_ms)
    if finding.detected_at_ms <= finding.first_seen_ms:
        return f"{at}, at once ({size}s)"
    return f"{at}: {later} later, {count_text(finding.delay_windows, size)}"


def _baseline(finding: DriftFinding) -> Iterator[Row]:
    baseline = finding.baseline
    if baseline is None:
        return
    yield "baseline", baseline_text(baseline, period_text)
    if baseline.is_provisional:
        yield "", "provisional: it has fewer windows than wanted, so judge it with care"
    yield "baseline id", baseline.baseline_id


def _around(finding: DriftFinding) -> Iterator[Row]:
    yield "metrics that drift too", ", ".join(finding.co_drifting_metrics)
    yield "changed within 24 hours before", "; ".join(finding.changed_tags)
    yield "flaws of the measuring", ", ".join(finding.quality_flags)
    if finding.peers > 0:
        yield "peers", f"{finding.peers_affected:,} of {finding.peers:,} of the group drift too"
    if finding.coverage < 1:
        yield "coverage", f"{share_text(finding.coverage)} of what was expected was there"
    if finding.explained_by_network is not None:
        share = share_text(finding.explained_by_network)
        yield "explained by network", f"{share} of the shift of power"
