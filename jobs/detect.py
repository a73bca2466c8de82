"""`fleetpulse detect`: the drift detectors over any CSV file, without configuration.

    rows -> series by key -> a plan for each length -> rounds of windows -> findings, scores

What is normal is learned from the first part of each series: scale, repeats, serial correlation,
season. The detectors are the very ones that the drift job runs.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
import polars as pl

from jobs.detect_input import DetectInput, Series, read_input
from jobs.detect_plan import DetectPlan, plan_of
from schemas.errors import SettingsError
from schemas.instants import format_instant
from udfs.drift.budget import Budget, parse_budget
from udfs.drift.finding_messages import finding_record
from udfs.drift.findings import DriftFinding, State
from udfs.drift.observations import Observations
from udfs.drift.stream_detectors import StreamDetectors
from udfs.drift.stream_findings import StreamName, findings_of, insufficient
from udfs.histogram import Floats
from udfs.offline_policy import DAY_MS
from udfs.partition_clocks import Int64s

CSV_TENANT = "csv"
TIMES = ("first_seen", "detected_at")
PAGE_SCORE = 1.0
FIRST_LINE = 2
CHUNK_ROWS = 256
"""Of each series at a time; the findings do not depend on it."""


@dataclass(frozen=True)
class DetectRequest:
    """What to read and where to write.

    Args:
        input: CSV file.
        value: column of the observations.
        time: column of their times.
        key: column that names the series; None for one series.
        budget: false pages that are accepted, as `parse_budget` reads them.
        out: JSON lines, one a finding.
        scores: CSV file with a score for each row; None for none.
    """

    input: Path
    value: str
    time: str
    key: str | None
    budget: str
    out: Path
    scores: Path | None = None


@dataclass(frozen=True)
class DetectSummary:
    """What was done.

    Args:
        series_count: keys of the file.
        row_count: rows of the file.
        finding_count: lines written.
        page_count: of these, findings that would page.
        short: keys with too few rows.
        expected_false_pages: by the budget, in as many rows.
    """

    series_count: int
    row_count: int
    finding_count: int
    page_count: int
    short: tuple[str, ...]
    expected_false_pages: float

    def __str__(self) -> str:
        short = f"; too few rows in {', '.join(self.short)}" if self.short else ""
        return (
            f"{self.finding_count} findings, {self.page_count} of them pages, in {self.row_count} "
            f"rows of {self.series_count} series (false pages to be expected by the budget: "
            f"{self.expected_false_pages:.2g}){short}"
        )


def run_detect(request: DetectRequest) -> DetectSummary:
    """Read the file, run the detectors, write findings and scores.

    Raises:
        SettingsError: an option or a line of the file is refused.
    """
    budget = _budget(request.budget)
    read = read_input(request.input, request.value, request.time, request.key)
    scores = np.zeros(len(read.rows))
    findings = [
        finding
        for plan, group in _plans(read.series).items()
        for finding in _detect(plan, group, request.value, budget, scores)
    ]
    findings.sort(key=lambda f: (f.detected_at_ms, f.subject, f.detector))
    by_key: dict[str, list[DriftFinding]] = defaultdict(list)
    for finding in findings:
        by_key[finding.subject].append(finding)
    for series in read.series:
        _hold_open(scores, series, by_key[series.key])
    lines = {series.key: FileLines(series) for series in read.series}
    _write_findings(request.out, findings, lines)
    if request.scores is not None:
        _write_scores(request, read, scores)
    return _summary(read, findings, budget)


def _budget(text: str) -> Budget:
    try:
        return parse_budget(text)
    except ValueError as error:
        raise SettingsError(
            "--budget", value=text, allowed=str(error), cure="write it so"
        ) from error


def _plans(series: Iterable[Series]) -> dict[DetectPlan, list[Series]]:
    found: dict[DetectPlan, list[Series]] = defaultdict(list)
    for each in series:
        found[plan_of(each)].append(each)
    return found


def _detect(
    plan: DetectPlan, group: list[Series], metric: str, budget: Budget, scores: Floats
) -> Iterator[DriftFinding]:
    """Run the series that share a plan, round by round; fill in the scores of their rows."""
    names = [StreamName(CSV_TENANT, "device", each.key, metric) for each in group]
    if plan.is_short:
        for name, each in zip(names, group, strict=True):
            yield insufficient(name, int(each.time_ms[-1]), len(each.row), plan.needed_count)
        return
    policy = plan.policy(budget)
    detectors = StreamDetectors(policy)
    detectors.grow(len(group))
    log10_gamma = float(np.log10(policy.shifts.gamma_page))
    for seen, rows in _chunks(group, plan.window_ms):
        step = detectors.observe(seen)
        scores[rows] = np.maximum(step.log10_e / log10_gamma, 0.0)
        yield from findings_of(step, names, detectors.window_ms)


def _hold_open(scores: Floats, series: Series, findings: list[DriftFinding]) -> None:
    """Keep the scores at the level of a page while an alarm that pages is open."""
    window_ms = series.window_ms
    for finding in findings:
        if finding.severity.does_page and finding.state is State.FIRING:
            ends_ms = [
                other.detected_at_ms for other in findings
                if other.incident_id == finding.incident_id and other.state is State.RESOLVED
            ]  # fmt: skip
            until_ms = min(ends_ms, default=int(series.time_ms[-1]) + window_ms)
            last_ms = series.time_ms + window_ms
            is_open = (last_ms >= finding.detected_at_ms) & (last_ms <= until_ms)
            rows = series.row[is_open]
            scores[rows] = np.maximum(scores[rows], PAGE_SCORE)


def _chunks(group: list[Series], window_ms: int) -> Iterator[tuple[Observations, Int64s]]:
    """Yield the next rows of all series, and their places in the file."""
    for start in range(0, max(len(each.row) for each in group), CHUNK_ROWS):
        parts = [(n, each.part(start, start + CHUNK_ROWS)) for n, each in enumerate(group)]
        stream = np.concatenate([np.full(len(part.row), n, np.int64) for n, part in parts])
        value = np.concatenate([part.value for _, part in parts])
        is_missing = np.concatenate([part.is_missing for _, part in parts])
        has_value = (~np.isnan(value)).astype(np.int64)
        seen = Observations(
            stream=stream,
            start_ms=np.concatenate([part.time_ms for _, part in parts]),
            value=value,
            count=has_value,
            missing_count=is_missing,
            nan_count=1 - has_value - is_missing,
            out_of_range_count=np.zeros(len(value), np.int64),
            window_ms=np.full(len(value), window_ms, np.int64),
        )
        yield seen, np.concatenate([part.row for _, part in parts])


@dataclass(frozen=True)
class FileLines:
    """Where the windows of a series stand in the file; line 1 has the names."""

    series: Series

    def at(self, time_ms: int) -> int:
        """Return the line of the last row at or before an instant."""
        place = int(np.searchsorted(self.series.time_ms, time_ms, side="right")) - 1
        return int(self.series.row[max(place, 0)]) + FIRST_LINE


def _write_findings(
    path: Path, findings: Iterable[DriftFinding], lines: Mapping[str, FileLines]
) -> None:
    with path.open("wb") as file:
        for finding in findings:
            record = {"key": finding.subject, **finding_record(finding)}
            record |= {name: format_instant(record[name]) for name in TIMES}
            own = lines[finding.subject]
            last_ms = finding.detected_at_ms - finding.window_ms
            record["first_seen_line"] = own.at(finding.first_seen_ms)
            record["detected_line"] = own.at(last_ms)
            file.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))


def _write_scores(request: DetectRequest, read: DetectInput, scores: Floats) -> None:
    assert request.scores is not None
    columns = {"time": read.rows["time"], "score": pl.Series(scores)}
    if request.key is not None:
        columns["key"] = read.rows["key"]
    pl.DataFrame(columns).write_csv(request.scores)


def _summary(read: DetectInput, findings: list[DriftFinding], budget: Budget) -> DetectSummary:
    days = sum(len(each.row) * each.window_ms for each in read.series) / DAY_MS
    return DetectSummary(
        series_count=len(read.series),
        row_count=len(read.rows),
        finding_count=len(findings),
        page_count=sum(f.severity.does_page and f.state is State.FIRING for f in findings),
        short=tuple(f.subject or "the file" for f in findings if f.detector == "none"),
        expected_false_pages=budget.expected_pages(days),
    )
