"""Threshold rules on windows: delta rows in, alert events out; the input clock is an argument.

    rows ──> waiting ──message by message──> cells of panes ──> judged ──> watches ──> events
             (beyond the clock)              (sums)          (columns)  (what is amiss)

Everything happens at an exact instant of the input clock, in one order whatever the blocks: of one
instant, messages come before changes of rules, and these before windows that become complete by
the clock. So a block may be cut anywhere. Windows are judged as columns; only a series in which a
rule may be broken, or was, is looked at by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from udfs.alerts import AlertRecord
from udfs.offline_policy import OfflinePolicy
from udfs.threshold_block import Message, Segment
from udfs.threshold_book import QUANTILES, ActiveRule, RuleChange, Topic
from udfs.threshold_judging import Dirty, Judging
from udfs.threshold_policy import ThresholdPolicy
from udfs.threshold_state import ThresholdShard
from udfs.threshold_watch import Cause, Tidings


@dataclass(frozen=True)
class ThresholdStep:
    """What one step gives."""

    state: ThresholdShard
    events: list[AlertRecord]


def on_windows(
    state: ThresholdShard,
    rows: pl.DataFrame,
    changes: Sequence[RuleChange],
    clock_ms: int,
    policy: ThresholdPolicy,
    routes: OfflinePolicy,
) -> ThresholdStep:
    """Take a block of window deltas in.

    Args:
        state: of the shard; it is changed in place.
        rows: `udfs.threshold_rows.ROW_SCHEMA`, in any order.
        changes: of rules, in any order.
        clock_ms: no later block has a message appended before it; messages of this block that
            were appended after it wait.
        policy: of judgement.
        routes: channels of severities.

    Returns:
        The state and the events in the order of the instants at which they were found; of one
        instant in order of their own times.
    """
    assert clock_ms >= state.clock_ms, "the input clock never goes back"
    state.book.announce(changes)
    both = pl.concat([state.waiting, rows]) if len(state.waiting) else rows
    is_due = pl.col("append_time_ms") <= clock_ms
    state.waiting = both.filter(~is_due)
    due = both.filter(is_due).sort("append_time_ms", "offset", maintain_order=True)
    judging = Judging(state, policy, routes)
    run = _Run(state, policy, judging)
    for change in state.book.take_due(clock_ms):
        is_before = pl.col("append_time_ms") <= change.append_time_ms
        run.take_rows(due.filter(is_before))
        due = due.filter(~is_before)
        run.take_change(change)
    run.take_rows(due)
    run.settle_below(clock_ms)
    state.drop_blank()
    state.clock_ms = max(state.clock_ms, clock_ms)
    return ThresholdStep(state, judging.events)


@dataclass
class _Run:
    """One step at work."""

    state: ThresholdShard
    policy: ThresholdPolicy
    judging: Judging

    def take_rows(self, rows: pl.DataFrame) -> None:
        """Apply rows message by message, under the same rules."""
        if rows.is_empty():
            return
        segment = Segment.of(self.state, rows, self._codes_of_topics())
        for message in segment.messages():
            self.settle_below(message.at_ms)
            self._take(segment, message)

    def _codes_of_topics(self) -> dict[Topic, tuple[int, bool]]:
        named = self.judging.rules_of
        codes = self.state.topics.codes_for(list(named)).tolist()
        return {
            topic: (code, any(each.rule.aggregate in QUANTILES for each in rules))
            for code, (topic, rules) in zip(codes, named.items(), strict=True)
        }

    def take_change(self, change: RuleChange) -> None:
        """Let a rule begin, change or end."""
        at_ms = max(change.append_time_ms, self.state.clock_ms)
        self.settle_below(at_ms)
        known = self.state.book.rules.get(change.key)
        is_judged_anew = self.state.book.apply(change, at_ms)
        self.judging.take_rules()
        if known is None:
            return
        found = [c for c, by_rule in self.state.watches.items() if change.key in by_rule]
        told: list[tuple[int, ActiveRule, Tidings]] = []
        for series in found:
            watch = self.state.watches[series][change.key]
            if is_judged_anew:
                told += [(series, known, t) for t in watch.end(at_ms, Cause.RULE_CHANGED)]
                self.judging.drop(series, change.key)
            else:
                watch.active = self.state.book.rules[change.key]
        self.judging.tell(told, at_ms)
        if not is_judged_anew:
            self.judging.evaluate({(series, change.key) for series in found}, at_ms)
        self._forget_unnamed()

    def _forget_unnamed(self) -> None:
        """Forget series that no rule names any more."""
        topics, series = self.state.topics.values, self.state.series
        is_named = np.array([topic in self.judging.rules_of for topic in topics], dtype=bool)
        if len(series) and not is_named[series["topic"]].all():
            is_kept = np.ones(len(self.state.subjects), dtype=bool)
            self.state.keep(is_kept, is_named[series["topic"]])

    def settle_below(self, limit_ms: int) -> None:
        """Judge every window that the clock completes before an instant; forget what is over."""
        after_ms = self.policy.complete_after_ms
        due = sorted(
            (pane.end_ms + after_ms, key)
            for key, pane in self.state.panes.items()
            if pane.unjudged_count > 0 and pane.end_ms + after_ms < limit_ms
        )
        for at_ms in sorted({at_ms for at_ms, _ in due}):
            # What was complete when it came has been judged then: these are due by this instant.
            self._seal(at_ms)
            dirty: Dirty = set()
            for key in (key for due_ms, key in due if due_ms == at_ms):
                pane = self.state.panes[key]
                dirty |= self.judging.judge(pane, np.flatnonzero(~pane.cells["is_judged"]))
            self.judging.evaluate(dirty, at_ms)
        self._seal(limit_ms)
        self._forget_silent(limit_ms)

    def _seal(self, now_ms: int) -> None:
        """Drop windows that may be corrected no more; of a series always from the oldest on."""
        kept_ms, sealed = self.policy.kept_ms, self.state.series["sealed_ms"]
        old = [k for k, pane in self.state.panes.items() if pane.end_ms + kept_ms < now_ms]
        for key in sorted(old, key=lambda key: -key[1]):
            pane = self.state.panes[key]
            is_over = pane.cells["touched_ms"] + kept_ms < now_ms
            is_over |= pane.start_ms <= sealed[pane.series]
            if is_over.any():
                gone = pane.series[is_over]
                sealed[gone] = np.maximum(sealed[gone], pane.start_ms)
                pane.keep(~is_over)
            if not len(pane.series):
                del self.state.panes[key]

    def _forget_silent(self, now_ms: int) -> None:
        last_ms, after_ms = self.state.subjects["last_ms"], self.policy.forgotten_after_ms
        if not len(last_ms) or now_ms <= after_ms or last_ms.min() >= now_ms - after_ms:
            return
        is_gone = last_ms < now_ms - after_ms
        gone = [c for c in self.state.watches if is_gone[self.state.series["subject"][c]]]
        when_ms = {c: int(last_ms[self.state.series["subject"][c]]) + after_ms for c in gone}
        for series in sorted(gone, key=lambda c: when_ms[c]):
            at_ms = when_ms[series]
            for watch in self.state.watches.pop(series).values():
                found = watch.end(at_ms, Cause.NO_DATA)
                self.judging.tell([(series, watch.active, t) for t in found], at_ms)
        self.state.blank(is_gone)

    def _take(self, segment: Segment, message: Message) -> None:
        """Add one message to the windows, and judge what it completes or changes."""
        state, at_ms = self.state, message.at_ms
        subject = segment.subject[message.rows]
        before_ms = state.subjects["progress_ms"][subject]
        moved_labels = segment.note_labels(state, message)
        np.maximum.at(state.subjects["progress_ms"], subject, segment.start_ms[message.rows])
        state.subjects["last_ms"][subject] = at_ms
        touched = segment.add_to_panes(state, message, at_ms - self.policy.oldest_ms)
        dirty: Dirty = set()
        for pane, places in touched:
            is_due = self.judging.is_complete(pane, places)
            is_due |= pane.end_ms + self.policy.complete_after_ms < at_ms
            dirty |= self.judging.judge(pane, places[is_due])
        dirty |= self.judging.judge_moved(subject, before_ms)
        dirty |= {
            (series, key)
            for series, by_rule in state.watches.items()
            if moved_labels and int(state.series["subject"][series]) in moved_labels
            for key in by_rule
        }
        self.judging.evaluate(dirty, at_ms)
