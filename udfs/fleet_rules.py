"""Which share of a fleet is an emergency: the policy's, or what a rule of its scope says (C5)."""

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

from schemas.control import OfflineRule
from udfs.hushes import Subject
from udfs.offline_policy import OfflinePolicy
from udfs.offline_rules import OfflineRules


@dataclass(frozen=True)
class FleetRules:
    """The policy, and the rules that act now.

    Args:
        policy: for fleets whom no rule speaks of.
        rules: of all tenants.
        now_ms: of the row that is applied, UTC ms.
    """

    policy: OfflinePolicy
    rules: OfflineRules
    now_ms: int = 0

    def with_rule(self, rule: OfflineRule, now_ms: int) -> "FleetRules":
        """Return them with a rule that acts from now on; what says no share is not kept."""
        is_share = rule.enabled and rule.emergency_ratio is not None
        share = rule if is_share else rule.model_copy(update={"enabled": False})
        rules = self.rules.with_rule(share, now_ms).without_past(now_ms + 1)
        return FleetRules(self.policy, rules, now_ms)

    def policy_of(self, subject: Subject) -> OfflinePolicy:
        """Return the policy for a fleet: a group or site has its tenant's share, or its own."""
        if not self.rules.spans:
            return self.policy
        ratio = self.rules.figures_of(subject, self.now_ms).emergency_ratio
        return self.policy if ratio is None else _with_share(self.policy, ratio)


@lru_cache(maxsize=1_000)
def _with_share(policy: OfflinePolicy, ratio: Fraction) -> OfflinePolicy:
    return replace(
        policy, emergency_numerator=ratio.numerator, emergency_denominator=ratio.denominator
    )
