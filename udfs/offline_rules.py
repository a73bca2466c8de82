"""Rules about silence: other thresholds and another share of the fleet, by scope and time.

    12:00   tenant acme          warning_after 300 s     critical_after 900 s
    12:10   site paris                                   critical_after 3,600 s
    12:20   device cam-7         warning_after  60 s
    12:30   site paris, off                              its devices have the tenant's again

Each figure is looked up by itself: of the rules that act on a subject and say it, the one with the
narrowest scope counts (device, then group or site, then tenant), of these the latest. Where none
says it, the policy does.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from schemas.control import FAR_MS, OfflineRule, control_fields, control_key, parse_control
from udfs.acting_spans import ActingSpan, with_later
from udfs.hushes import Subject
from udfs.partition_clocks import Int64s

RULES_MAX_COUNT = 10_000
"""Of all tenants; beyond it the oldest no longer acts on who is looked at anew."""


class Figures(NamedTuple):
    """What rules say of a subject; None where they say nothing."""

    warning_after_ms: int | None = None
    critical_after_ms: int | None = None
    emergency_ratio: Fraction | None = None


@dataclass(frozen=True)
class RuleSpan(ActingSpan):
    """One rule as it was said once; of a rule that was changed there are several."""

    event: OfflineRule

    @classmethod
    def of(cls, rule: OfflineRule, acts_ms: int) -> "RuleSpan":
        """Return when a rule acts that was appended at some instant: one that is off never."""
        return cls(control_key(rule), acts_ms, FAR_MS if rule.enabled else acts_ms, rule)

    @cached_property
    def figures(self) -> Figures:
        """Return what it says, exactly as it was written: 0.1 is 1/10."""
        rule = self.event
        ratio = rule.emergency_ratio
        return Figures(
            _milliseconds(rule.warning_after_s),
            _milliseconds(rule.critical_after_s),
            None if ratio is None else Fraction(repr(ratio)),
        )


@dataclass(frozen=True)
class OfflineRules:
    """All rules that act, or acted a while ago.

    Args:
        spans: in the order in which they were said.
    """

    spans: tuple[RuleSpan, ...] = ()

    def with_rule(self, rule: OfflineRule, acts_ms: int) -> "OfflineRules":
        """Return them with one that takes the place of an earlier one of its key."""
        spans = with_later(self.spans, RuleSpan.of(rule, acts_ms), acts_ms)
        return OfflineRules(spans[-RULES_MAX_COUNT:])

    def without_past(self, at_ms: int) -> "OfflineRules":
        """Return them without those that ended before an instant."""
        kept = tuple(span for span in self.spans if span.end_ms >= at_ms)
        return self if len(kept) == len(self.spans) else OfflineRules(kept)

    def figures_of(self, subject: Subject, at_ms: int) -> Figures:
        """Return what the rules say of a subject at an instant.

        Args:
            subject: a device with its labels; or a tenant, group or site alone.
            at_ms: UTC ms.
        """
        levels = _scope_keys(subject)
        return Figures(
            *(self._figure(place, levels, at_ms) for place in range(len(Figures._fields)))
        )

    def _figure(self, place: int, levels: list[list[str]], at_ms: int) -> Any:
        """Return one figure: of the narrowest level that says it, the highest rank's."""
        for keys in levels:
            firsts = (self._first(self._by_scope.get(key), place, at_ms) for key in keys)
            saying = [span for span in firsts if span is not None]
            if saying:
                return max(saying, key=_rank).figures[place]
        return None

    def _first(
        self, spans: tuple[list[RuleSpan], ...] | None, place: int, at_ms: int
    ) -> RuleSpan | None:
        acting = (s for s in spans[place] if s.begin_ms <= at_ms < s.end_ms) if spans else ()
        return next(iter(acting), None)

    def instants_between(self, after_ms: int, before_ms: int) -> list[int]:
        """Return when a rule begins or ends to act, in order, both limits exclusive."""
        first = np.searchsorted(self._instants_ms, after_ms, side="right")
        last = np.searchsorted(self._instants_ms, before_ms, side="left")
        return [int(at_ms) for at_ms in self._instants_ms[first:last]]

    @cached_property
    def _by_scope(self) -> dict[str, tuple[list[RuleSpan], ...]]:
        """Return who says each figure, by scope, the highest rank first."""
        by_scope: dict[str, tuple[list[RuleSpan], ...]] = {}
        for span in sorted(self.spans, key=_rank, reverse=True):
            lists = by_scope.setdefault(span.event.scope.key, ([], [], []))
            for said, spans in zip(span.figures, lists, strict=True):
                if said is not None:
                    spans.append(span)
        return by_scope

    @cached_property
    def _instants_ms(self) -> Int64s:
        instants_ms = [at_ms for span in self.spans for at_ms in (span.begin_ms, span.end_ms)]
        return np.unique(np.array(instants_ms, dtype=np.int64))

    @cached_property
    def _values(self) -> list[Any]:
        return [[control_fields(s.event), s.begin_ms, s.end_ms] for s in self.spans]

    def to_values(self) -> list[Any]:
        """Return everything for the state's bytes, worked out once: they are written each block."""
        return self._values

    @classmethod
    def from_values(cls, stored: Iterable[Any]) -> "OfflineRules":
        """Return what `to_values` wrote."""
        spans = []
        for fields, begin_ms, end_ms in stored:
            rule = parse_control(fields)
            assert isinstance(rule, OfflineRule), "only these are here"
            spans.append(RuleSpan(control_key(rule), begin_ms, end_ms, rule))
        return cls(tuple(spans))


def _rank(span: RuleSpan) -> tuple[int, str]:
    """Return what orders rules of one level: the latest counts, whenever it was read."""
    return span.begin_ms, span.key


def _scope_keys(subject: Subject) -> list[list[str]]:
    """Return the keys of the scopes that a subject is in, see `Scope.key`, narrowest first."""
    tenant_id = subject.tenant_id
    levels = [[tenant_id]]
    for names in (("deployment_group", "site"), ("device_id",)):
        said = [(name, getattr(subject, name)) for name in names]
        levels.append([f"{tenant_id}/{name}/{value}" for name, value in said if value != ""])
    return levels[::-1]


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)
