"""Laws that every detector of the drift job keeps, on random windows (`test_detector_laws.py`).

A detector is a table and a step. What it says may depend on the windows of a stream, in their
order, and on nothing else: not on the streams beside it, the batch, the shard, or a restart.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tests.drift_windows import WINDOW_MS, round_of
from udfs.drift.alarms import Alarms, Turns, joined
from udfs.drift.observations import Observations
from udfs.drift.row_tables import Rows, table_frame, table_of
from udfs.state_bytes import pack_state, unpack_state

STREAM_COUNT = 13
ROUND_COUNT = 120
HEALTHY_COUNT = 45
KINDS: tuple[Callable[[np.random.Generator], float], ...] = (
    lambda rng: 20 + 0.2 * rng.normal(),
    lambda rng: float(np.round(rng.normal() * 2)),
    lambda _: 5.0,
    lambda rng: rng.lognormal(),
    lambda rng: -3e9 + rng.normal(),
)


@dataclass(frozen=True)
class Detector:
    """What the laws are checked of.

    Args:
        name: for people.
        empty: makes the rows of some streams.
        update: judges one window a stream, with a policy of small numbers so that alarms come.
        keeps: changes of scale and shift (factor, offset) that leave the alarms as they are.
        kept: names of the alarms of which that is claimed; empty for all.
    """

    name: str
    empty: Callable[[int], Rows]
    update: Callable[[Rows, Observations], Turns]
    keeps: Sequence[tuple[float, float]] = ()
    kept: frozenset[str] = frozenset()


def random_rounds(seed: int) -> list[Observations]:
    """Return rounds of some of the streams in any order, healthy at first, then with faults."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, len(KINDS), STREAM_COUNT)
    fault = rng.integers(0, 6, STREAM_COUNT)
    return [_random_round(rng, kinds, fault, at) for at in range(ROUND_COUNT)]


def _random_round(rng: np.random.Generator, kinds: Any, fault: Any, at: int) -> Observations:
    values = np.array([KINDS[kind](rng) for kind in kinds])
    bad = np.where(rng.random(STREAM_COUNT) < 0.02, 5, 0)
    if at > HEALTHY_COUNT:
        values = np.where(fault == 1, values * 1000, values)
        values = np.where(fault == 2, 7.25, values)
        values = np.where(fault == 3, np.round(values), values)
        values = np.where(fault == 4, rng.choice([1e300, -1e308, 5e-324, 0.0]), values)
        bad = np.where(fault == 5, 5, bad)
    count = rng.integers(1, 9, STREAM_COUNT)
    values = np.where(rng.random(STREAM_COUNT) < 0.05, np.nan, values)
    chosen = rng.permutation(STREAM_COUNT)[: rng.choice([0, 9, 12, STREAM_COUNT])]
    columns = {
        f"{name}_count": bad * (np.arange(STREAM_COUNT) % 3 == i) for i, name in enumerate(_RATES)
    }
    return round_of(values, at, count=count, **columns).take(chosen)


_RATES = ("missing", "nan", "out_of_range")


def replay(detector: Detector, rounds: Sequence[Observations]) -> tuple[Rows, Alarms]:
    """Return the table and the ordered alarms after all rounds."""
    table = detector.empty(STREAM_COUNT)
    return table, both([detector.update(table, seen) for seen in rounds])


def both(turns: Sequence[Turns]) -> Alarms:
    """Return alarms that fired and that ended in one order; the latter are of severity info."""
    said = Turns.of(turns)
    return joined([said.fired, said.ended]).ordered()


def assert_same(one: Alarms, other: Alarms, context: str) -> None:
    """Compare alarms bit by bit."""
    for name, column in vars(one).items():
        theirs = getattr(other, name)
        same = column.tobytes() == theirs.tobytes() and column.dtype == theirs.dtype
        assert same, f"{context}: {name} {column} {theirs}"


def law_inputs_are_not_changed(detector: Detector, seed: int) -> None:
    table = detector.empty(STREAM_COUNT)
    for seen in random_rounds(seed):
        before = {name: column.copy() for name, column in vars(seen).items()}
        untouched = np.setdiff1d(np.arange(STREAM_COUNT), seen.stream)
        others = table[untouched].tobytes()
        for column in vars(seen).values():
            column.flags.writeable = False
        detector.update(table, seen)
        for name, column in before.items():
            assert column.tobytes() == getattr(seen, name).tobytes(), name
        assert table[untouched].tobytes() == others, "a stream without a window changed"


def law_the_same_windows_give_the_same_alarms(detector: Detector, seed: int) -> None:
    one, other = (replay(detector, random_rounds(seed)) for _ in range(2))
    assert one[0].tobytes() == other[0].tobytes()
    assert_same(one[1], other[1], "second run")


def law_order_within_a_round_does_not_matter(detector: Detector, seed: int) -> None:
    chance = np.random.default_rng(seed)
    rounds = random_rounds(seed)
    table, alarms = replay(detector, rounds)
    mixed = [seen.take(chance.permutation(len(seen))) for seen in rounds]
    theirs = replay(detector, mixed)
    assert theirs[0].tobytes() == table.tobytes()
    assert_same(alarms, theirs[1], "other order")


def law_a_round_may_come_in_pieces(detector: Detector, seed: int) -> None:
    chance = random.Random(seed)
    rounds = random_rounds(seed)
    table, alarms = replay(detector, rounds)
    pieces = []
    for seen in rounds:
        cut = chance.randrange(len(seen) + 1)
        pieces += [seen.take(np.arange(cut)), seen.take(np.arange(cut, len(seen)))]
    theirs = replay(detector, pieces)
    assert theirs[0].tobytes() == table.tobytes()
    assert_same(alarms, theirs[1], "in pieces")


def law_shards_do_not_matter(detector: Detector, seed: int) -> None:
    rounds = random_rounds(seed)
    table, alarms = replay(detector, rounds)
    for shard_count in (2, 8):
        parts, found = [], []
        for shard in range(shard_count):
            part = detector.empty(len(range(shard, STREAM_COUNT, shard_count)))
            for seen in rounds:
                mine = seen.take(seen.stream % shard_count == shard)
                told = detector.update(part, replace(mine, stream=mine.stream // shard_count))
                found.append(_moved(told, shard, shard_count))
            parts.append(part)
        for shard, part in enumerate(parts):
            assert part.tobytes() == table[shard::shard_count].tobytes(), shard_count
        assert_same(alarms, both(found), f"{shard_count} shards")


def _moved(turns: Turns, shard: int, shard_count: int) -> Turns:
    both = turns.fired, turns.ended
    return Turns(*(replace(it, stream=it.stream * shard_count + shard) for it in both))


def law_a_restart_anywhere_changes_nothing(detector: Detector, seed: int) -> None:
    rounds = random_rounds(seed)
    expected, alarms = replay(detector, rounds)
    stops = {random.Random(seed).randrange(ROUND_COUNT) for _ in range(3)}
    table, found = detector.empty(STREAM_COUNT), []
    for at, seen in enumerate(rounds):
        if at in stops:
            packed = pack_state(1, {"rows": table_frame(table)}, {})
            table = table_of(unpack_state(packed).frames["rows"], table.dtype)
        found.append(detector.update(table, seen))
    assert table.tobytes() == expected.tobytes()
    assert_same(alarms, both(found), "restarted")


def law_streams_that_come_later_change_nothing(detector: Detector, seed: int) -> None:
    rounds = [seen.take(seen.stream < STREAM_COUNT - 3) for seen in random_rounds(seed)]
    expected, alarms = replay(detector, rounds)
    table, found = detector.empty(STREAM_COUNT - 3), []
    for at, seen in enumerate(rounds):
        if at == ROUND_COUNT // 3:
            table = np.concatenate([table, detector.empty(3)])
        found.append(detector.update(table, seen))
    assert table.tobytes() == expected.tobytes()
    assert_same(alarms, both(found), "streams came later")


def law_claimed_scales_and_shifts_change_nothing(detector: Detector, seed: int) -> None:
    limit = 1e250  # beyond it a change of scale leaves the floats
    rounds = [seen.take(~(np.abs(seen.value) > limit)) for seen in random_rounds(seed)]
    alarms = _of_claim(detector, replay(detector, rounds)[1])
    for factor, offset in detector.keeps:
        changed = [replace(seen, value=seen.value * factor + offset) for seen in rounds]
        theirs = _of_claim(detector, replay(detector, changed)[1])
        for name in ("stream", "detector", "first_seen_ms", "detected_at_ms", "severity"):
            same = np.array_equal(getattr(alarms, name), getattr(theirs, name))
            assert same, f"x {factor} + {offset}: {name}"


def _of_claim(detector: Detector, alarms: Alarms) -> Alarms:
    return alarms.take(np.isin(alarms.detector, sorted(detector.kept))) if detector.kept else alarms


def law_odd_values_raise_nothing_and_alarms_are_whole(detector: Detector, seed: int) -> None:
    rng = np.random.default_rng(seed)
    odd = np.array([0.0, -0.0, 5e-324, -1e-310, 1e300, -1.7e308, 1e-8, np.nan, 1e15, 7.0])
    table = detector.empty(len(odd))
    found = [detector.update(table, round_of(np.zeros(0), 0))]
    for at in range(ROUND_COUNT):
        values = odd if at < ROUND_COUNT // 2 else rng.permutation(odd)
        none = values * 0 == 1
        found.append(detector.update(table, round_of(values, at, count=none.astype(np.int64))))
    alarms = both(found)
    assert np.isfinite(alarms.log10_e).all()
    assert (alarms.first_seen_ms <= alarms.detected_at_ms - WINDOW_MS).all()
    assert (alarms.detector != "").all()


LAWS = tuple(law for name, law in sorted(globals().items()) if name.startswith("law_"))
