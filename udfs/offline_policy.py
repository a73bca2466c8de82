"""The numbers of the offline rules, and nothing else: frozen, filled in by `jobs`."""

from dataclasses import dataclass
from enum import IntFlag

from schemas.severity import Severity

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

SETTLE_MS = 30_000
"""After the backlog: in it the partitions that were read last catch up with the first."""

SMALL_FLEET_COUNT = 3
"""A fleet below this size needs all of its devices offline before it is an emergency."""

HYSTERESIS_DIVISOR = 50
"""An emergency clears 1/50 of the fleet (2 %), at least one device, below its need."""


class FleetKind(IntFlag):
    """Whose devices are counted together, and make an emergency of their own (C5)."""

    TENANT = 1
    DEPLOYMENT_GROUP = 2
    SITE = 4


def _ceil_div(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)


@dataclass(frozen=True)
class OfflinePolicy:
    """When a silent device or fleet raises an alert, and whom it is routed to (C2, C5, C6, C8).

    The emergency's ratio is a fraction of integers: 10 % of 1,000 is 100, never 100.00000001.
    """

    warning_after_ms: int = 5 * MINUTE_MS
    critical_after_ms: int = 30 * MINUTE_MS
    late_report_interval_ms: int = 2 * MINUTE_MS
    """A device whose report interval is above this is not late until its report is."""
    emergency_numerator: int = 1
    emergency_denominator: int = 10
    fleet_kinds: FleetKind = FleetKind.TENANT
    resolve_hold_ms: int = 5 * MINUTE_MS
    blind_after_ms: int = 30 * SECOND_MS
    blind_grace_ms: int = 2 * MINUTE_MS
    gap_min_offsets: int = 2
    """Offsets skipped that mean lost records: a transaction's marker takes one by itself."""
    stale_upload_after_ms: int = 2 * MINUTE_MS
    """A gateway's upload older than this is a contact at its newest point, not now."""
    commissioning_after_ms: int = DAY_MS
    lag_after_ms: int = MINUTE_MS
    """An input that is further behind than this is a backlog: events wait for its end."""
    does_watch_unregistered: bool = True
    """Whether a device that the registry does not know can be offline; it never counts in N."""
    warning_channels: tuple[str, ...] = ("email",)
    critical_channels: tuple[str, ...] = ("sms", "slack")
    emergency_channels: tuple[str, ...] = ("pagerduty", "oncall")

    def __post_init__(self) -> None:
        assert 0 < self.warning_after_ms < self.critical_after_ms
        assert 0 < self.emergency_numerator <= self.emergency_denominator
        assert FleetKind.TENANT in self.fleet_kinds, "a tenant is always watched (C5)"

    def need(self, monitored_count: int) -> int:
        """Return how many offline devices make an emergency; meant for at least 2 monitored.

        >>> [OfflinePolicy().need(n) for n in (1, 2, 5, 20, 30, 31, 1000, 1001)]
        [1, 2, 3, 3, 3, 4, 100, 101]
        """
        share = _ceil_div(monitored_count * self.emergency_numerator, self.emergency_denominator)
        return max(min(SMALL_FLEET_COUNT, monitored_count), share)

    def clear_level(self, monitored_count: int) -> int:
        """Return the highest number of offline devices at which an emergency may clear.

        >>> [OfflinePolicy().clear_level(n) for n in (2, 5, 1000, 100_000)]
        [0, 1, 79, 7999]
        """
        hysteresis = max(1, _ceil_div(monitored_count, HYSTERESIS_DIVISOR))
        return max(0, self.need(monitored_count) - 1 - hysteresis)

    def channels_of(self, severity: Severity) -> tuple[str, ...]:
        """Return the channels a severity is routed to; info goes to none."""
        return {
            Severity.INFO: (),
            Severity.WARNING: self.warning_channels,
            Severity.CRITICAL: self.critical_channels,
            Severity.EMERGENCY: self.emergency_channels,
        }[severity]
