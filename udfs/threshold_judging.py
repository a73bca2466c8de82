"""Holding complete windows against the rules: as columns, and one by one where something is amiss.

A window may be judged many times: when it becomes complete, and with each late delta. Of a series
in which no rule can be broken nothing is worked out, as the minimum or maximum says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from udfs.alerts import AlertRecord
from udfs.offline_policy import OfflinePolicy
from udfs.partition_clocks import Bools, Int64s
from udfs.threshold_book import ActiveRule, RuleKey, Topic
from udfs.threshold_events import routes_of, threshold_record
from udfs.threshold_panes import Pane, may_break
from udfs.threshold_policy import ThresholdPolicy
from udfs.threshold_state import ThresholdShard
from udfs.threshold_watch import Cause, Tidings, Watch

Dirty = set[tuple[int, RuleKey]]
"""Watches whose figures have changed: series and rule."""


@dataclass
class Judging:
    """The rules as they stand, at work on a shard.

    Args:
        events: what was found so far, in order.
        rules_of: the rules that look at each kind of series.
    """

    state: ThresholdShard
    policy: ThresholdPolicy
    routes: OfflinePolicy
    events: list[AlertRecord] = field(default_factory=list)
    rules_of: dict[Topic, list[ActiveRule]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.take_rules()

    def take_rules(self) -> None:
        """Take the rules from the book."""
        self.rules_of = self.state.book.by_topic()

    def judge_moved(self, subject: Int64s, before_ms: Int64s) -> Dirty:
        """Judge the windows of subjects that have gone on to later ones."""
        progress_ms = self.state.subjects["progress_ms"]
        has_moved = progress_ms[subject] > before_ms
        if not has_moved.any():
            return set()
        is_moved = np.zeros(len(progress_ms), dtype=bool)
        is_moved[subject[has_moved]] = True
        newest_ms = progress_ms[subject[has_moved]].max()
        dirty: Dirty = set()
        for pane in self.state.panes.values():
            if pane.unjudged_count > 0 and pane.end_ms <= newest_ms:
                of_moved = is_moved[self.state.series["subject"][pane.series]]
                places = np.flatnonzero(of_moved & ~pane.cells["is_judged"])
                dirty |= self.judge(pane, places[self.is_complete(pane, places)])
        return dirty

    def is_complete(self, pane: Pane, places: Int64s) -> Bools:
        """Return which windows their subjects have left behind."""
        series = self.state.series[pane.series[places]]
        is_group = np.array([topic[1] == "group" for topic in self.state.topics.values], dtype=bool)
        lag_ms = np.where(is_group[series["topic"]], self.policy.group_lag_ms, 0)
        progress_ms = self.state.subjects["progress_ms"][series["subject"]]
        return np.asarray(progress_ms >= pane.end_ms + lag_ms)

    def judge(self, pane: Pane, places: Int64s) -> Dirty:
        """Hold complete windows against the rules; return the watches that must look again."""
        dirty: Dirty = set()
        if not len(places):
            return dirty
        pane.mark_judged(places)
        topic = self.state.series["topic"][pane.series[places]]
        for code in np.unique(topic).tolist():
            chosen = places[topic == code]
            for active in self.rules_of.get(self.state.topics.values[code], []):
                if pane.start_ms >= active.from_ms:
                    dirty |= self._hold_against(pane, chosen, active)
        return dirty

    def _hold_against(self, pane: Pane, places: Int64s, active: ActiveRule) -> Dirty:
        rule, watches = active.rule, self.state.watches
        limit = rule.threshold
        is_suspect = may_break(pane.cells[places], rule.aggregate, rule.operator, limit)
        if not watches and not is_suspect.any():
            return set()
        dirty: Dirty = set()
        series = pane.series[places].tolist()
        for place, code, suspect in zip(places.tolist(), series, is_suspect.tolist(), strict=True):
            watch = watches[code].get(active.key) if code in watches else None
            if watch is not None:
                watch.figures[pane.start_ms] = pane.figure(place, rule.aggregate)
            elif suspect and self.state.subject_of(code).is_covered(rule):
                watches.setdefault(code, {})[active.key] = self._new_watch(code, active, pane)
            else:
                continue
            dirty.add((code, active.key))
        return dirty

    def _new_watch(self, series: int, active: ActiveRule, judged: Pane) -> Watch:
        """Return a watch that knows all windows of its series that are kept and judged."""
        watch = Watch(active, judged.window_ms)
        at = np.array([series])
        for pane in self.state.panes.values():
            place, is_found = pane.places_of(at)
            is_known = is_found[0] and pane.cells["is_judged"][place[0]]
            is_of_rule = pane.start_ms >= active.from_ms and pane.window_ms == judged.window_ms
            if is_known and is_of_rule:
                figure = pane.figure(int(place[0]), active.rule.aggregate)
                watch.figures[pane.start_ms] = figure
        return watch

    def evaluate(self, dirty: Dirty, now_ms: int) -> None:
        """Let watches say what is new."""
        old_before_ms = now_ms - self.policy.old_after_ms
        told: list[tuple[int, ActiveRule, Tidings]] = []
        for series, key in dirty:
            watch = self.state.watches[series][key]
            watch.fold(int(self.state.series["sealed_ms"][series]))
            rule = watch.active.rule
            if self.state.subject_of(series).is_covered(rule):
                found = watch.news(now_ms, old_before_ms, routes_of(rule, self.routes))
            else:
                found = watch.end(now_ms, Cause.LEFT_SCOPE)
            told += [(series, watch.active, tidings) for tidings in found]
            if watch.is_idle:
                self.drop(series, key)
        self.tell(told, now_ms)

    def drop(self, series: int, key: RuleKey) -> None:
        """Stop watching a series for a rule."""
        del self.state.watches[series][key]
        if not self.state.watches[series]:
            del self.state.watches[series]

    def tell(self, told: Sequence[tuple[int, ActiveRule, Tidings]], now_ms: int) -> None:
        """Add events, in the order of their own times."""
        records = [
            threshold_record(self.state.subject_of(series), active.rule, tidings, now_ms)
            for series, active, tidings in told
        ]
        self.events += sorted(records, key=_event_order)


def _event_order(record: AlertRecord) -> tuple[Any, ...]:
    names = ("time", "starts_at", "tenant_id", "subject")
    return (*(record[name] for name in names), record["labels"]["rule_id"], record["seq"])
