"""D2 says the same however windows are cut, shared out, or interrupted; it changes no input."""

import random

import numpy as np
import polars as pl
from hypothesis import given, note, settings
from hypothesis import strategies as st

from tests.distribution_logs import (
    SUBJECTS,
    frame,
    in_order,
    random_windows,
    restarted,
    said,
    small_member,
)
from udfs.drift.cells import Cells
from udfs.drift.distances import stability_index
from udfs.drift.findings import DriftFinding, State
from udfs.partition_clocks import Int64s


def cut(rows: list[dict], chance: random.Random, count: int) -> list[list[dict]]:
    """Cut windows between instants, as steps of the input clock do."""
    starts = sorted({row["window_start"] for row in rows})
    ends = sorted(chance.sample(starts, count))
    parts: list[list[dict]] = [[] for _ in range(count + 1)]
    for row in rows:
        parts[sum(row["window_start"] >= end for end in ends)].append(row)
    return parts


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1, 2, 4]))
def test_findings_depend_on_no_cut_no_shard_and_no_restart(seed: int, shard_count: int) -> None:
    note(f"seed {seed}")
    rows = random_windows(seed)
    whole = said(small_member(), [rows])
    chance = random.Random(seed)
    found: list[DriftFinding] = []
    names = sorted({subject.name for subject in SUBJECTS})
    for shard in range(shard_count):
        member, own = small_member(), names[shard::shard_count]
        for part in cut([row for row in rows if row["subject"] in own], chance, 12):
            found += member.observe(frame(part), 0) if part else []
            member = restarted(member) if chance.random() < 0.5 else member
    assert in_order(found) == whole


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 2**32))
def test_windows_of_one_instant_may_come_one_by_one(seed: int) -> None:
    note(f"seed {seed}")
    rows = random_windows(seed, days=4)
    whole = said(small_member(), [rows])
    chance = random.Random(seed)
    parts = []
    for part in cut(rows, chance, 40):
        ordered = frame(part).to_dicts() if part else []
        by_stream = sorted(ordered, key=lambda r: (r["subject"], r["metric"], r["model_version"]))
        parts += [by_stream[: len(by_stream) // 2], by_stream[len(by_stream) // 2 :]]
    assert said(small_member(), parts) == whole


def test_the_random_logs_say_something() -> None:
    found = [f for seed in range(3) for f in said(small_member(), [random_windows(seed)])]
    assert {f.state for f in found} == {State.FIRING, State.RESOLVED}
    assert {f.severity.does_page for f in found} == {True, False}
    assert {f.window_ms for f in found} == {3_600_000, 86_400_000}
    assert len({f.subject for f in found}) >= 4


def test_no_incident_is_told_twice_and_none_ends_before_it_began() -> None:
    for seed in range(4):
        found = said(small_member(), [random_windows(seed)])
        assert len({f.finding_id for f in found}) == len(found)
        for incident in {f.incident_id for f in found}:
            own = [f for f in found if f.incident_id == incident]
            assert [f.state for f in own[:-1]] == [State.FIRING] * (len(own) - 1)
            assert all(f.first_seen_ms < f.detected_at_ms for f in own)


def test_windows_are_not_changed() -> None:
    rows = frame(random_windows(5))
    before = rows.clone()
    small_member().observe(rows, 0)
    assert rows.equals(before)
    assert rows.schema == before.schema


cells_strategy = st.lists(
    st.tuples(
        st.integers(0, 50), st.integers(0, 9), st.integers(-4000, 4000), st.integers(1, 2**40)
    ),
    max_size=60,
)


def _columns(cells: list[tuple[int, ...]]) -> tuple[Int64s, ...]:
    both = np.array(cells, np.int64).reshape(-1, 4)
    return tuple(both[:, i] for i in range(4))


@given(cells_strategy, st.randoms(use_true_random=False))
def test_histograms_merge_in_any_order_and_any_parts(
    cells: list[tuple[int, ...]], chance: random.Random
) -> None:
    one, other = Cells(), Cells()
    one.add(*_columns(cells))
    mixed = chance.sample(cells, len(cells))
    at = chance.randrange(len(cells) + 1)
    for part in (mixed[:at], mixed[at:]):
        other.add(*_columns(part))
        other.settle()
    assert one.to_frame().equals(other.to_frame())
    assert Cells.from_frame(one.to_frame()).to_frame().equals(one.to_frame())
    total = pl.DataFrame(cells, ["s", "p", "b", "n"], orient="row").sum()["n"].sum() if cells else 0
    assert one.points.sum() == total
    told = {(s, p, b) for s, p, b, _ in cells}
    assert set(zip(one.stream.tolist(), one.part.tolist(), one.bin.tolist(), strict=True)) == told


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=2, max_size=12))
def test_the_index_is_never_below_zero_and_alike_both_ways(counts: list[tuple[int, int]]) -> None:
    before, after = (np.array([column], np.float64) for column in zip(*counts, strict=True))
    size = np.array([len(counts)])
    there = stability_index(before, after, size)
    assert there[0] >= 0
    assert there.tobytes() == stability_index(before.copy(), after.copy(), size).tobytes()
    assert abs(there[0] - stability_index(after, before, size)[0]) <= 1e-9 * max(there[0], 1)
    many = stability_index(np.tile(before, (7, 1)), np.tile(after, (7, 1)), np.tile(size, 7))
    assert set(many.tolist()) == {float(there[0])}, "rows beside it do not matter"
