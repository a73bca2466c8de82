"""D2 a second time, for one stream, from all its windows at once: lists, loops, no state kept.

Hours that have windows are taken in order; the first ones are the baseline; each later hour, and
each day that ends with a quarter, is compared with it. Only the chance of an F-distributed ratio is
shared with the detector.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from udfs.drift.distances import log10_tail_of_f
from udfs.drift.distribution_policy import DistributionPolicy

HOUR, QUARTER, DAY = 3_600_000, 21_600_000, 86_400_000
Histogram = Counter[int]


@dataclass
class Learned:
    """Indices of blocks while all was well."""

    psi: list[float] = field(default_factory=list)
    points: list[int] = field(default_factory=list)

    def add(self, psi: float, points: int) -> None:
        usual = sum(self.points) / len(self.points) if self.points else points
        self.psi.append(psi * min(1, points / usual))
        self.points.append(points)

    def log10_chance(self, psi: float, points: int, bins: int, *, is_day: bool) -> float:
        count = len(self.psi)
        mean = sum(self.psi) / count
        variance = max(sum(p * p for p in self.psi) / count - mean * mean, 1e-12)
        lag = sum(a * b for a, b in zip(self.psi[1:], self.psi, strict=False)) / count
        correlation = min(max((lag - mean * mean) / variance, 0), 0.9)
        usual = sum(self.points) / count
        free = min(max(2 * mean * mean / variance, 0.5), bins - 1)
        free = max(free / 2, 0.5) if is_day else free
        expected = max(mean, (bins - 1) / usual) * max(1, usual / points)
        blocks = count * (1 - correlation) / (1 + correlation)
        return log10_tail_of_f(psi / expected, free, free * blocks)


@dataclass
class StreamOracle:
    """One stream: its windows, then what it tells."""

    policy: DistributionPolicy
    is_class: bool
    hours: dict[int, Histogram] = field(default_factory=dict)

    def add(self, start_ms: int, bins: list[int], counts: list[int]) -> None:
        hour = self.hours.setdefault(start_ms // HOUR, Counter())
        hour.update(dict(zip(bins, counts, strict=True)))

    def told(self) -> list[tuple[int, int, str]]:
        """Return end of the block, its length in ms, and severity or `over`, in order."""
        order = sorted(self.hours)
        until = self._baseline_hours(order)
        if until is None:
            return []
        whole = sum((self.hours[h] for h in order[:until]), Counter())
        self.cuts = _classes(whole) if self.is_class else _tenths(whole)
        self.before = self._counts(whole)
        self.laws = {HOUR: Learned(), DAY: Learned()}
        self.open: tuple[int, int] | None = None
        self.calm, self.quiet_until, self.day_from = 0, -math.inf, order[until - 1] + 1
        self.suspect: int | None = None
        self.is_partial = False
        found = []
        for hour, following in zip(order[until:], [*order[until + 1 :], None], strict=True):
            if following is None:
                break
            found += self._block(self.hours[hour], hour, (hour + 1) * HOUR, HOUR)
            if hour // 6 != following // 6:
                found += self._day(hour // 6)
        return found

    def _baseline_hours(self, order: list[int]) -> int | None:
        points = 0
        for number, hour in enumerate(order[:-1], start=1):
            points += self.hours[hour].total()
            if number >= self.policy.gather_hours and points >= self.policy.gather_points:
                return number
        return None

    def _day(self, quarter: int) -> Iterator[tuple[int, int, str]]:
        first = max((quarter - 3) * 6, self.day_from)
        mine = [h for h in self.hours if first <= h < (quarter + 1) * 6]
        if len(mine) >= 20:
            histogram = sum((self.hours[h] for h in mine), Counter())
            yield from self._block(histogram, mine[0], (quarter + 1) * QUARTER, DAY)

    def _block(
        self, after: Histogram, hour: int, end_ms: int, length: int
    ) -> Iterator[tuple[int, int, str]]:
        policy, law, points = self.policy, self.laws[length], after.total()
        bins = len(self.before)
        psi = _psi(self.before, self._counts(after))
        first = policy.first_verdict_hours if length == HOUR else policy.first_verdict_days
        wanted = policy.learn_hours if length == HOUR else policy.learn_days
        judged = bins > 1 and len(law.psi) >= first and points >= policy.points_min
        chance = 0.0
        if judged and psi >= 0.8 * policy.warn_psi:
            chance = law.log10_chance(psi, points, bins, is_day=length == DAY)
        rank = 0
        if judged and chance <= policy.log10_alpha and psi >= 1.5 * max(law.psi):
            levels = (policy.warn_psi, policy.alarm_psi, policy.major_psi, policy.critical_psi)
            rank = sum(psi >= level for level in levels)
        usual = sum(law.points) / len(law.points) if law.points else 1
        is_partial = not 0.7 <= points / max(usual, 1) <= 2
        if length == HOUR:
            self.is_partial = is_partial
            self.suspect = (
                (hour if self.suspect is None else self.suspect) if chance <= -3 else None
            )
        is_midnight = end_ms % DAY == 0 or length == HOUR
        is_young = len(law.psi) < wanted
        if is_midnight and rank < 3 and (self.open is None or self.open[1] < 2) and is_young:
            law.add(psi, points)
        lasts = length == DAY or (self.suspect is not None and self.suspect < hour)
        is_young = len(law.psi) < wanted
        may_page = not (is_partial or self.is_partial) and end_ms > self.quiet_until and lasts
        if not (may_page and (not is_young or rank >= 3)):
            rank = min(rank, 1)
        is_calm = judged and (psi < 0.8 * policy.warn_psi or chance > -4)
        yield from self._turn(rank, end_ms, length, is_calm if judged else None)

    def _turn(
        self,
        rank: int,
        end_ms: int,
        length: int,
        is_calm: bool | None,  # noqa: FBT001 - a verdict
    ) -> Iterator[tuple[int, int, str]]:
        names = ("", "watch", "minor", "major", "critical")
        if rank > (self.open[1] if self.open else 0):
            begun = self.open or (length, 0, end_ms)
            self.open, self.calm = (begun[0], rank, begun[2]), 0
            yield end_ms, length, names[rank]
        elif self.open is not None and self.open[0] == length and is_calm is not None:
            self.calm = self.calm + 1 if is_calm else 0
            if self.calm >= self.policy.clear_blocks:
                if self.open[1] > 1:
                    self.quiet_until = self.open[2] + self.policy.cooldown_ms
                self.open, self.calm = None, 0
                # What the alarm was of is no part of a later day.
                self.day_from = end_ms // HOUR
                yield end_ms, length, "over"

    def _counts(self, histogram: Histogram) -> list[int]:
        counts = [0] * (len(self.cuts) + 1)
        for index, points in histogram.items():
            place = sum(index > cut for cut in self.cuts)
            known = place < len(self.cuts) and self.cuts[place] == index
            counts[place if known or not self.is_class else -1] += points
        return counts


def _classes(whole: Histogram) -> list[int]:
    common = [b for b, n in whole.most_common(11) if n >= 0.01 * whole.total()]
    return sorted(common)


def _tenths(whole: Histogram) -> list[int]:
    ordered = sorted(whole)
    cuts = set()
    for tenth in range(1, 10):
        below = 0
        for index in ordered:
            below += whole[index]
            if below >= tenth / 10 * whole.total():
                cuts.add(index)
                break
    return sorted(cuts - {ordered[-1]})


def _psi(before: list[int], after: list[int]) -> float:
    half = len(before) / 2
    shares = [
        ((b + 0.5) / (sum(before) + half), (a + 0.5) / (sum(after) + half))
        for b, a in zip(before, after, strict=True)
    ]
    return sum((q - p) * math.log(q / p) for p, q in shares)
