"""One rule on one series: its breaches as a function of its windows, and what was told of them.

    windows      | good | bad | bad | none | good | bad |        for_windows = 2
    spell               |<- confirmed       ends
                        start (names the episode)

A window without points says nothing: it breaks a row that has not fired yet, and ends no breach.
A breach begins with the row's first window, and ends where the first window begins that is on the
good side of clear_threshold. Whenever a figure changes, the spells are worked out anew and compared
with what was told; the difference is what is told next.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from udfs.alerts import Status
from udfs.threshold_book import ActiveRule, is_beyond


class Cause(StrEnum):
    """Why, where the figures alone do not say it."""

    LATE_DATA_CORRECTION = "late_data_correction"
    RULE_CHANGED = "rule_changed"
    LEFT_SCOPE = "left_scope"
    NO_DATA = "no_data"


@dataclass(frozen=True)
class Spell:
    """A stretch of time in which a rule is broken; times are event time, UTC ms.

    Args:
        start_ms: of the first window in breach.
        confirmed_ms: end of the window that completed the row.
        value: of that window.
        ends_ms: start of the first good window, None while there is none.
        good_value: of that window.
    """

    start_ms: int
    confirmed_ms: int
    value: float
    ends_ms: int | None = None
    good_value: float | None = None

    def does_overlap(self, start_ms: int, ends_ms: int | None) -> bool:
        """Return whether the spell shares time with another stretch."""
        is_before = self.ends_ms is not None and self.ends_ms <= start_ms
        is_after = ends_ms is not None and self.start_ms >= ends_ms
        return not (is_before or is_after)


@dataclass(frozen=True)
class Scan:
    """Where the windows read so far have led: a row in the making, or an open spell."""

    row_start_ms: int = 0
    row_next_ms: int = 0
    row_count: int = 0
    open_spell: Spell | None = None

    def after(
        self, start_ms: int, value: float, active: ActiveRule, window_ms: int
    ) -> tuple["Scan", Spell | None]:
        """Read the next window that has points; return the spell too that it ended."""
        rule = active.rule
        if self.open_spell is not None:
            if is_beyond(value, rule.operator, active.clear_threshold):
                return self, None
            return Scan(), replace(self.open_spell, ends_ms=start_ms, good_value=value)
        if not is_beyond(value, rule.operator, rule.threshold):
            return Scan(), None
        does_go_on = self.row_count > 0 and start_ms == self.row_next_ms
        first_ms = self.row_start_ms if does_go_on else start_ms
        count = self.row_count + 1 if does_go_on else 1
        next_ms = start_ms + window_ms
        if count < rule.for_windows:
            return Scan(first_ms, next_ms, count), None
        return Scan(open_spell=Spell(first_ms, next_ms, value)), None


@dataclass(frozen=True)
class Told:
    """The last that was told of an episode.

    Args:
        start_ms: names the episode.
        seq: of the last event.
        status: FIRING, RESOLVED, or INFO when it was taken back.
        ends_ms: as told; of one that fires None, of one taken back its start.
        severity: that fired.
        channels: that fired.
        is_notified: whether people were told that it fires.
    """

    start_ms: int
    seq: int
    status: Status
    ends_ms: int | None
    severity: str
    channels: tuple[str, ...]
    is_notified: bool


@dataclass(frozen=True)
class Tidings:
    """One event to be: what is told now, and the rest of the record."""

    told: Told
    status: Status
    time_ms: int
    starts_ms: int
    ends_ms: int | None
    value: float | None
    reason: Cause | None = None
    is_backfilled: bool = False
    is_notified: bool = False


@dataclass
class Watch:
    """One rule on one series.

    Args:
        active: the rule.
        window_ms: length of its windows.
        figures: of complete windows with points that may still be corrected, by start.
        folded: where the windows before them have led.
        told: of each episode that may still change.
    """

    active: ActiveRule
    window_ms: int
    figures: dict[int, float] = field(default_factory=dict)
    folded: Scan = field(default_factory=Scan)
    told: list[Told] = field(default_factory=list)

    def spells(self) -> list[Spell]:
        """Return all breaches that are not settled for good, in order."""
        scan, found = self.folded, []
        for start_ms in sorted(self.figures):
            scan, ended = scan.after(start_ms, self.figures[start_ms], self.active, self.window_ms)
            found += [ended] if ended is not None else []
        return [*found, scan.open_spell] if scan.open_spell is not None else found

    def fold(self, sealed_ms: int) -> None:
        """Settle the windows that start at `sealed_ms` or before: nothing can change them."""
        for start_ms in sorted(start for start in self.figures if start <= sealed_ms):
            value = self.figures.pop(start_ms)
            self.folded, _ = self.folded.after(start_ms, value, self.active, self.window_ms)
        self.told = [t for t in self.told if t.ends_ms is None or t.ends_ms > sealed_ms]

    @property
    def is_idle(self) -> bool:
        """Return whether there is nothing to remember that the windows do not say."""
        return (
            not self.told
            and self.folded == Scan()
            and not any(
                is_beyond(value, self.active.rule.operator, self.active.rule.threshold)
                for value in self.figures.values()
            )
        )

    def news(self, now_ms: int, old_before_ms: int, routes: tuple[str, ...]) -> list[Tidings]:
        """Compare the breaches with what was told; what is returned counts as told.

        Args:
            now_ms: input clock.
            old_before_ms: a breach confirmed before it is old (C10).
            routes: channels of a breach that begins to fire.
        """
        found = []
        spells = self.spells()
        # What was told last of a spell keeps it: without a new figure there is nothing to say.
        ends = {spell.ends_ms for spell in spells}
        order = sorted(
            self.told,
            key=lambda t: (t.status is not Status.FIRING, t.ends_ms not in ends, t.start_ms),
        )
        pairs, left = _matched(order, spells)
        for told, spell in pairs:
            tidings = self._changed(told, spell, now_ms, old_before_ms)
            found += [tidings] if tidings is not None else []
        severity = self.active.rule.severity.value
        for spell in left:
            fresh = Told(spell.start_ms, 0, Status.INFO, None, severity, routes, is_notified=False)
            found.append(_breach(fresh, spell, old_before_ms, None))
        self._note(found)
        return found

    def end(self, now_ms: int, reason: Cause) -> list[Tidings]:
        """Resolve what fires, for a reason beside the figures; forget how it came about."""
        self.folded = Scan()
        firing = [told for told in self.told if told.status is Status.FIRING]
        found = [_withdrawal(told, now_ms, None, reason) for told in firing]
        self._note(found)
        return found

    def _changed(
        self, told: Told, spell: Spell | None, now_ms: int, old_before_ms: int
    ) -> Tidings | None:
        """Return what is to be said of an episode that was told of before."""
        is_firing = told.status is Status.FIRING
        if spell is None:
            if told.status is Status.INFO:
                return None
            value = self.figures.get(told.start_ms)
            return _withdrawal(told, now_ms, value, Cause.LATE_DATA_CORRECTION)
        if is_firing and spell.ends_ms is None:
            return None
        if is_firing:
            return _recovery(told, spell, old_before_ms)
        if told.status is Status.RESOLVED and told.ends_ms == spell.ends_ms:
            return None
        return _breach(told, spell, old_before_ms, Cause.LATE_DATA_CORRECTION)

    def _note(self, tidings: Iterable[Tidings]) -> None:
        noted = {each.start_ms: each for each in self.told}
        noted |= {each.told.start_ms: each.told for each in tidings}
        self.told = [noted[start_ms] for start_ms in sorted(noted)]


def _matched(
    order: list[Told], spells: list[Spell]
) -> tuple[list[tuple[Told, Spell | None]], list[Spell]]:
    """Find the spell of each episode: the one with its start, else one that shares time with it.

    What fires chooses first. An episode that ended, and whose time now belongs to another one, is
    left out: it was true, and is part of that one.
    """
    left = list(spells)
    pairs: list[tuple[Told, Spell | None]] = []
    starts = {told.start_ms for told in order}
    for told in order:
        own = [s for s in left if s.start_ms == told.start_ms]
        shared = [
            s for s in left
            if s.start_ms not in starts and s.does_overlap(told.start_ms, told.ends_ms)
            and told.status is not Status.INFO
        ]  # fmt: skip
        spell = next(iter(own or shared), None)
        if spell is not None:
            left.remove(spell)
        elif told.status is not Status.FIRING and any(
            s.does_overlap(told.start_ms, told.ends_ms) for s in spells
        ):
            continue
        pairs.append((told, spell))
    return pairs, left


def _breach(told: Told, spell: Spell, old_before_ms: int, reason: Cause | None) -> Tidings:
    """Tell a breach: that it fires, or, when it is over already, only that it was."""
    is_old = spell.confirmed_ms < old_before_ms
    is_over = spell.ends_ms is not None
    status = Status.RESOLVED if is_over else Status.FIRING
    after = replace(
        told, seq=told.seq + 1, status=status, ends_ms=spell.ends_ms, is_notified=not is_over
    )
    time_ms = spell.confirmed_ms if spell.ends_ms is None else spell.ends_ms
    return Tidings(
        after, status, time_ms, spell.start_ms, spell.ends_ms, spell.value, reason,
        is_old, not is_over,
    )  # fmt: skip


def _recovery(told: Told, spell: Spell, old_before_ms: int) -> Tidings:
    assert spell.ends_ms is not None
    after = replace(told, seq=told.seq + 1, status=Status.RESOLVED, ends_ms=spell.ends_ms)
    return Tidings(
        after, Status.RESOLVED, spell.ends_ms, told.start_ms, spell.ends_ms, spell.good_value,
        None, spell.ends_ms < old_before_ms, told.is_notified,
    )  # fmt: skip


def _withdrawal(told: Told, now_ms: int, value: float | None, reason: Cause) -> Tidings:
    """Resolve what fires; of what had ended only say that it was not so."""
    is_firing = told.status is Status.FIRING
    status = Status.RESOLVED if is_firing else Status.INFO
    after = replace(told, seq=told.seq + 1, status=Status.INFO, ends_ms=told.start_ms)
    return Tidings(
        after, status, now_ms, told.start_ms, now_ms if is_firing else told.ends_ms, value, reason,
        is_notified=is_firing and told.is_notified,
    )  # fmt: skip
