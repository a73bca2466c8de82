"""From a turn of D2 to a finding: both distributions, their distances, and how many points said so.

A class is a bin of its own: its edges are half way to its neighbours. Classes that are rare or new
are counted as one, which has no bin; the reason names what gained most.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from udfs.alerts import NAMESPACE, uuid5_text
from udfs.drift.cells import categories
from udfs.drift.distances import mean_and_sigma, quantile_of, wasserstein
from udfs.drift.distribution_alarms import DistributionTurn
from udfs.drift.findings import BaselineNote, DriftFinding, Rule, Sample, Severity, State
from udfs.drift.prediction_metrics import PredictionKind, kind_of
from udfs.drift.row_tables import Rows
from udfs.histogram import BINS_PER_OCTAVE, Floats, bin_value
from udfs.partition_clocks import Int64s

DETECTOR = "psi"
LOCATION_RATIO = 0.5
"""Where the mean has moved by so much of the Wasserstein distance, the change has a direction."""
ACTIONS = {
    PredictionKind.CLASS: "look at what the model sees: the mix of classes is not the one it had",
    PredictionKind.CONFIDENCE: "look at samples of low confidence; roll back if a version is new",
    PredictionKind.ENTROPY: "look at samples of high entropy; roll back if a version is new",
    PredictionKind.ERROR: "look at what fails; roll back if a version is new",
}
OTHER_ACTION = "compare with what changed before the first hour; roll back, or accept a new normal"


@dataclass(frozen=True)
class DistributionName:
    """Whose windows a stream has.

    Args:
        tenant_id: owner.
        scope: device, group or model_version.
        subject: device, group or version.
        metric: name of the metric.
        deployment_group: of the subject, empty for versions.
        model_version: under which the windows were measured.
    """

    tenant_id: str
    scope: str
    subject: str
    metric: str
    deployment_group: str
    model_version: str

    @property
    def text(self) -> str:
        """Return all of it, to name things by."""
        return "/".join(vars(self).values())


def finding_of_turn(turn: DistributionTurn, name: DistributionName) -> DriftFinding:
    """Return what is said of a turn."""
    severity = Severity(turn.severity)
    state = State.RESOLVED if turn.is_over else State.FIRING
    incident_id = uuid5_text(NAMESPACE, f"{DETECTOR}/{name.text}/{turn.opened_ms}")
    plain = DriftFinding(
        tenant_id=name.tenant_id, scope=name.scope, subject=name.subject, metric=name.metric,
        rule=Rule.DRIFT, detector=DETECTOR, state=state, severity=severity,
        window_ms=turn.block_ms, first_seen_ms=turn.first_seen_ms,
        detected_at_ms=turn.detected_at_ms,
        delay_windows=-((turn.first_seen_ms - turn.detected_at_ms) // turn.block_ms),
        psi=turn.psi, coverage=min(turn.points_ratio, 1.0), notify=severity.does_page,
        incident_id=incident_id,
        finding_id=uuid5_text(NAMESPACE, f"{incident_id}/{state}/{severity}"),
        baseline=_baseline(turn, name),
    )  # fmt: skip
    if turn.is_over:
        return replace(plain, reason="the distribution is as in the baseline again")
    return _explained(plain, turn)


def _explained(plain: DriftFinding, turn: DistributionTurn) -> DriftFinding:
    row, after = turn.row, turn.after
    values = bin_value(after.bin)
    mean, sigma = float(row["figures"][0]), float(row["figures"][1])
    mean_after = mean_and_sigma(after.bin, after.points)[0]
    edges = _edges(row)
    before, now = _before(row, edges), _after(turn, edges, values, mean_after)
    kind = kind_of(plain.metric)
    found = replace(
        plain,
        log10_e=-turn.log10_chance,
        before=before,
        after=now,
        suggested_action=OTHER_ACTION if kind is None else ACTIONS[kind],
    )
    size = f"{turn.points:,} points, worth {turn.effective_points:,.0f} independent ones"
    if row["is_class"]:
        return replace(found, reason=f"{_moved_class(row, turn)} (PSI {turn.psi:.2f}; {size})")
    sigma = sigma if sigma > 0 else 1.0
    # No less than the means are apart: within the bins of the baseline values are guessed at.
    distance = max(
        wasserstein(np.array(edges), _shares(row), values, after.points), abs(mean_after - mean)
    )
    is_moved = abs(mean_after - mean) >= LOCATION_RATIO * distance
    direction = "" if not is_moved else "up" if mean_after > mean else "down"
    return replace(
        found,
        direction=direction,
        shift_sigma=(mean_after - mean) / sigma,
        w1_sigma=distance / sigma,
        reason=f"mean {mean:.4g} -> {mean_after:.4g} (PSI {turn.psi:.2f}; {size})",
    )


def _baseline(turn: DistributionTurn, name: DistributionName) -> BaselineNote:
    from_ms, until_ms = int(turn.row["from_ms"]), int(turn.row["until_ms"])
    return BaselineNote(
        f"{name.text}/{from_ms}-{until_ms}",
        int(turn.row["baseline_windows"]), from_ms, until_ms,
        is_provisional=False,
    )  # fmt: skip


def _upper(row: Rows) -> Int64s:
    """Return the last bin of each category but the last; of classes, their bins."""
    upper: Int64s = row["upper"][: int(row["category_count"]) - 1].astype(np.int64)
    return upper


def _edges(row: Rows) -> tuple[float, ...]:
    """Return the edges of the bins of a baseline, in the unit of the metric, ascending."""
    upper = _upper(row)
    least, largest = float(row["figures"][2]), float(row["figures"][6])
    if row["is_class"]:
        numbers = _classes(upper)
        between = (numbers[1:] + numbers[:-1]) / 2
        return (float(numbers[0]) - 0.5, *between.tolist(), float(numbers[-1]) + 0.5)
    ends = (bin_value(upper) + bin_value(upper + 1)) / 2
    inner = np.clip(ends, least, largest).tolist()
    # A bin is as wide as 1/64 of an octave; all values of one may be what was least.
    reach = abs(largest) / BINS_PER_OCTAVE
    return (min(least, inner[0]) - reach, *inner, max(largest, inner[-1]) + reach)


def _classes(bins: Int64s) -> Floats:
    """Return the least whole number in each bin: the class, up to 127 the only one."""
    return np.floor(bin_value(bins))


def _shares(row: Rows) -> Floats:
    count = int(row["category_count"])
    shares: Floats = row["expected"][:count] / row["expected"][:count].sum()
    return shares


def _drawn(row: Rows) -> int:
    """Return how many categories have a bin: the others of classes have none."""
    return int(row["category_count"]) - int(row["is_class"])


def _before(row: Rows, edges: tuple[float, ...]) -> Sample:
    mean, _, _, p05, p50, p95, _ = (float(each) for each in row["figures"])
    counts = tuple(int(count) for count in row["expected"][: _drawn(row)])
    if row["is_class"]:  # names have no mean
        return Sample(int(row["expected"].sum()), edges=edges, counts=counts)
    return Sample(int(row["expected"].sum()), mean, p05, p50, p95, edges, counts)


def _counts_after(turn: DistributionTurn) -> Int64s:
    of_cell = np.repeat(turn.row.reshape(1), len(turn.after))
    places = categories(of_cell, turn.after.bin)
    counts = np.zeros(int(turn.row["category_count"]), np.int64)
    np.add.at(counts, places, turn.after.points)
    return counts


def _after(turn: DistributionTurn, edges: tuple[float, ...], values: Floats, mean: float) -> Sample:
    points = turn.after.points
    counts = tuple(_counts_after(turn)[: _drawn(turn.row)].tolist())
    if turn.row["is_class"]:
        return Sample(turn.points, edges=edges, counts=counts)
    p05, p50, p95 = (quantile_of(values, points, level) for level in (0.05, 0.5, 0.95))
    return Sample(turn.points, mean, p05, p50, p95, edges, counts)


def _moved_class(row: Rows, turn: DistributionTurn) -> str:
    """Return which class gained most, or lost most where that is more."""
    counts = _counts_after(turn)
    before, after = _shares(row), counts / counts.sum()
    at = int(np.abs(after - before).argmax())
    names = [*(f"class {number:.0f}" for number in _classes(_upper(row))), "other classes"]
    return f"{names[at]} {before[at]:.1%} -> {after[at]:.1%} of points"


def findings_of_turns(
    turns: list[DistributionTurn], names: list[DistributionName]
) -> Iterator[DriftFinding]:
    """Yield the findings of turns in an order that no batching changes."""
    ordered = sorted(turns, key=lambda turn: (turn.detected_at_ms, turn.stream, turn.block_ms))
    return (finding_of_turn(turn, names[turn.stream]) for turn in ordered)
