"""The numbers of canary verdicts: frozen, filled in by `jobs`."""

from dataclasses import dataclass
from enum import StrEnum

from udfs.offline_policy import DAY_MS, MINUTE_MS

LOOK_MAX_WINDOWS = 288


class Harm(StrEnum):
    """The direction of a metric that is bad for a rollout."""

    UP = "up"
    DOWN = "down"
    BOTH = "both"


class Aspect(StrEnum):
    """What of a metric is compared, device by device."""

    LEVEL = "level"
    """Mean of the device's windows."""
    SPREAD_WITHIN = "spread_within"
    """Mean distance of the device's windows from their mean."""
    SPREAD_BETWEEN = "spread_between"
    """Whether means lie further out, at both ends."""
    DISTRIBUTION = "distribution"
    """The means' distribution, at its most different point."""
    VALIDITY = "validity"
    """Share of the device's points that are missing, NaN or infinite."""


ALPHA_SHARES = {
    Aspect.LEVEL: 0.80,
    Aspect.SPREAD_WITHIN: 0.04,
    Aspect.SPREAD_BETWEEN: 0.04,
    Aspect.DISTRIBUTION: 0.04,
    Aspect.VALIDITY: 0.08,
}
"""How a metric's alpha is split. It costs a shift of 0.2 sigma about 20 devices that the level has
not all of it; what the others look for is plain when it is there."""


@dataclass(frozen=True)
class CanaryMetric:
    """One metric of a rollout.

    Args:
        name: of the metric.
        harm: which direction is harmful.
        weight: its part of alpha, relative to the other metrics.
        is_mandatory: without it there is no PROMOTE.
        min_difference: in the metric's unit: harm up to it is none, however sure it is.
    """

    name: str
    harm: Harm = Harm.BOTH
    weight: float = 1.0
    is_mandatory: bool = True
    min_difference: float = 0.0

    def __post_init__(self) -> None:
        _check(bool(self.name), "name", "must not be empty")
        _check(self.weight > 0, "weight", "must be above 0")
        _check(self.min_difference >= 0, "min_difference", "must not be negative")


@dataclass(frozen=True)
class CanaryPolicy:
    """How rollouts are judged. Sigma is the spread of devices' means within a stratum.

    Raises:
        ValueError: a field is out of its range; the text begins with its name.
    """

    metrics: tuple[CanaryMetric, ...]
    alpha: float = 0.01
    """Chance of a false ROLLBACK in the whole life of a rollout, all metrics and looks together."""
    promote_alpha: float = 0.05
    """Chance of a PROMOTE of what harms a mandatory metric by `tolerance_sigma`."""
    mismatch_alpha: float = 0.001
    """Chance that devices shared out as planned are called mismatched."""
    tau_sigma: float = 0.2
    """The shift that is to be found with few devices."""
    min_effect_sigma: float = 0.0
    """A shift that is not surely larger is no ROLLBACK."""
    tolerance_sigma: float = 0.5
    """A shift that is surely smaller is harmless: PROMOTE."""
    min_devices: int = 20
    """Of each version, in strata that have both."""
    window_ms: int = 5 * MINUTE_MS
    look_windows: int = 60
    """Windows from one look to the next; devices are compared over the same windows."""
    min_windows: int = 50
    """A device with fewer in a look is no unit of it."""
    lateness_ms: int = 15 * MINUTE_MS
    """How long a look waits for windows after its end: all are complete 10 min after theirs."""
    horizon_looks: int = 5
    """After as many looks a rollout without a verdict has failed."""
    promote_after_looks: int = 1
    """No PROMOTE before; more looks find harm that begins late."""

    def __post_init__(self) -> None:
        names = [metric.name for metric in self.metrics]
        _check(len(set(names)) == len(names), "metrics", "must have different names")
        _check(any(m.is_mandatory for m in self.metrics), "metrics", "one must be mandatory")
        for name in ("alpha", "promote_alpha", "mismatch_alpha"):
            _check(0 < getattr(self, name) < 1, name, "must be between 0 and 1")
        _check(self.tau_sigma > 0, "tau_sigma", "must be above 0")
        _check(self.min_effect_sigma >= 0, "min_effect_sigma", "must not be negative")
        _check(self.min_effect_sigma < self.tolerance_sigma, "min_effect_sigma", "is tolerated")
        _check(self.min_devices > 1, "min_devices", "must be at least 2")
        _check(0 < self.window_ms <= DAY_MS, "window_ms", "must be at most a day")
        _check(0 < self.look_windows <= LOOK_MAX_WINDOWS, "look_windows", "must be 1 to 288")
        _check(1 < self.min_windows <= self.look_windows, "min_windows", "must fit into a look")
        _check(self.lateness_ms >= 0, "lateness_ms", "must not be negative")
        _check(
            1 <= self.promote_after_looks <= self.horizon_looks,
            "promote_after_looks",
            "must be 1 to horizon_looks",
        )

    @property
    def geometry(self) -> tuple[int, int]:
        """Return what the layout of gathered windows depends on."""
        return self.window_ms, self.look_windows

    @property
    def look_ms(self) -> int:
        """Return the length of a look."""
        return self.window_ms * self.look_windows

    def metric_alpha(self, metric: CanaryMetric) -> float:
        """Return the metric's part of alpha.

        >>> policy = CanaryPolicy((CanaryMetric("a", weight=3), CanaryMetric("b")))
        >>> policy.metric_alpha(policy.metrics[0])
        0.0075
        """
        return self.alpha * metric.weight / sum(each.weight for each in self.metrics)


def _check(is_right: bool, field_name: str, rule: str) -> None:  # noqa: FBT001  # the thing checked
    if not is_right:
        raise ValueError(f"{field_name} {rule}")
