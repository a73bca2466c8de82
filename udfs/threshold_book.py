"""Which threshold rules act, and from when: changes of the control topic, one after the other.

A rule judges windows that begin 2 min after its append time or later: of earlier ones it may not
have seen every point, as a device's clock may be up to 2 min ahead of the log. What changes how a
window is judged begins anew; a new severity, channel or clear_threshold does not.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from schemas.control import OfflineRule, ThresholdRule, control_fields, parse_control
from schemas.telemetry import AHEAD_MAX_MS

RULES_MAX_COUNT = 10_000
"""Enabled at once: each judged block looks at those of its metrics."""
QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
JUDGING = {"scope", "per", "metric", "aggregate", "operator", "threshold", "for_windows"}
"""Fields that decide what a breach is."""

RuleKey = tuple[str, str]
"""Tenant and rule_id."""
Topic = tuple[str, str, str]
"""Tenant, `device` or `group`, metric: what a series must match for a rule to look at it."""


@dataclass(frozen=True)
class RuleChange:
    """A rule was written, or deleted when `rule` is None; acts from its append time on."""

    append_time_ms: int
    offset: int
    key: RuleKey
    rule: ThresholdRule | None


def rule_changes(controls: pl.DataFrame) -> list[RuleChange]:
    """Return the changes of threshold rules among control events.

    Args:
        controls: `schemas.control_records.CONTROL_SCHEMA`, each event valid. A rule about silence
            takes the place of a threshold rule of its id, as it does on the topic.
    """
    found = []
    for at_ms, offset, text in controls.select("append_time_ms", "offset", "event").iter_rows():
        event = parse_control(json.loads(text))
        if isinstance(event, ThresholdRule | OfflineRule):
            rule = event if isinstance(event, ThresholdRule) else None
            found.append(
                RuleChange(at_ms, offset, (event.scope.tenant_id, event.rule_id), rule),
            )
    return found


@dataclass(frozen=True)
class ActiveRule:
    """An enabled rule, and the first instant at which a window it judges may begin."""

    rule: ThresholdRule
    from_ms: int

    @property
    def key(self) -> RuleKey:
        """Return what names the rule."""
        return self.rule.scope.tenant_id, self.rule.rule_id

    @property
    def topic(self) -> Topic:
        """Return which series the rule looks at, its scope aside."""
        return self.rule.scope.tenant_id, self.rule.per, self.rule.metric

    @property
    def clear_threshold(self) -> float:
        """Return where the breach is over."""
        clear = self.rule.clear_threshold
        return self.rule.threshold if clear is None else clear


def is_beyond(value: Any, operator: str, limit: float) -> Any:
    """Return whether a value, or each of an array, is on the bad side of a limit.

    >>> is_beyond(81.0, ">", 80.0), is_beyond(80.0, ">", 80.0), is_beyond(80.0, "<=", 80.0)
    (True, False, True)
    """
    if operator == ">":
        return value > limit
    if operator == ">=":
        return value >= limit
    return value < limit if operator == "<" else value <= limit


@dataclass
class RuleBook:
    """The enabled rules, and what waits for the clock."""

    rules: dict[RuleKey, ActiveRule] = field(default_factory=dict)
    pending: list[RuleChange] = field(default_factory=list)

    def announce(self, changes: Iterable[RuleChange]) -> None:
        """Take changes in, to act when the clock has passed their append times."""
        self.pending = sorted(
            [*self.pending, *changes], key=lambda each: (each.append_time_ms, each.offset)
        )

    def take_due(self, below_ms: int) -> list[RuleChange]:
        """Take the changes that act below an instant, in order."""
        due = [change for change in self.pending if change.append_time_ms < below_ms]
        self.pending = self.pending[len(due) :]
        return due

    def apply(self, change: RuleChange, at_ms: int) -> bool:
        """Let a change act.

        Args:
            change: the next one.
            at_ms: when it acts, input clock.

        Returns:
            Whether breaches are to be judged anew, or no more.
        """
        known = self.rules.get(change.key)
        if change.rule is None or not change.rule.enabled:
            self.rules.pop(change.key, None)
            return known is not None
        is_same = known is not None and _judging(known.rule) == _judging(change.rule)
        from_ms = known.from_ms if known is not None and is_same else at_ms + AHEAD_MAX_MS
        self.rules[change.key] = ActiveRule(change.rule, from_ms)
        assert len(self.rules) <= RULES_MAX_COUNT, "more threshold rules than are looked at"
        return known is not None and not is_same

    def by_topic(self) -> dict[Topic, list[ActiveRule]]:
        """Return the rules that look at each kind of series."""
        found: dict[Topic, list[ActiveRule]] = {}
        for active in self.rules.values():
            found.setdefault(active.topic, []).append(active)
        return found

    def to_values(self) -> dict[str, Any]:
        """Return everything for the state's bytes."""
        pending = [
            (c.append_time_ms, c.offset, c.key, None if c.rule is None else control_fields(c.rule))
            for c in self.pending
        ]
        rules = [(control_fields(active.rule), active.from_ms) for active in self.rules.values()]
        return {"rules": rules, "pending": pending}

    @classmethod
    def from_values(cls, stored: dict[str, Any]) -> "RuleBook":
        """Return what `to_values` wrote."""
        active = [ActiveRule(_rule(fields), from_ms) for fields, from_ms in stored["rules"]]
        pending = [
            RuleChange(at_ms, offset, (key[0], key[1]), None if fields is None else _rule(fields))
            for at_ms, offset, key, fields in stored["pending"]
        ]
        return cls({each.key: each for each in active}, pending)


def _rule(fields: dict[str, Any]) -> ThresholdRule:
    return ThresholdRule.model_validate(fields)


def _judging(rule: ThresholdRule) -> dict[str, Any]:
    return rule.model_dump(include=JUDGING)
