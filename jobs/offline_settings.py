"""From the offline settings to the policy of the pure logic."""

from fractions import Fraction

from jobs.settings import OfflineSettings
from udfs.offline_policy import FleetKind, OfflinePolicy


def offline_policy(settings: OfflineSettings) -> OfflinePolicy:
    """Return the policy; the ratio is taken as it was written, so 0.1 is exactly 1/10.

    >>> policy = offline_policy(OfflineSettings(emergency_ratio=0.1))
    >>> policy.emergency_numerator, policy.emergency_denominator, policy.need(1000)
    (1, 10, 100)
    """
    ratio = Fraction(repr(settings.emergency_ratio))
    return OfflinePolicy(
        warning_after_ms=round(settings.warning_after_s * 1000),
        critical_after_ms=round(settings.critical_after_s * 1000),
        late_report_interval_ms=round(settings.late_report_interval_s * 1000),
        emergency_numerator=ratio.numerator,
        emergency_denominator=ratio.denominator,
        fleet_kinds=FleetKind(sum({FleetKind[s.upper()] for s in settings.emergency_scopes})),
        resolve_hold_ms=round(settings.resolve_hold_s * 1000),
        lag_after_ms=round(settings.lag_after_s * 1000),
    )
