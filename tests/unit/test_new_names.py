"""Names of metrics that were never seen are told once, however windows come in blocks."""

import random

import polars as pl
from hypothesis import given, note, settings
from hypothesis import strategies as st

from udfs.drift.new_names import NAME_SCHEMA, new_names, no_names

QUIET_MS = 5_000


def rows(*names):
    return pl.DataFrame(list(names), NAME_SCHEMA, orient="row")


def told_of(blocks):
    known, told = no_names(), []
    for block in blocks:
        known, news = new_names(known, block, QUIET_MS)
        told += news.rows()
    return known, told


def test_the_names_of_a_new_tenant_are_no_news_and_a_later_one_is_told_once():
    first = rows(("a", "temp", "", 0), ("a", "power", "", 4_000))
    later = rows(("a", "temp", "", 9_000), ("a", "tmep", "", 9_000), ("b", "temp", "", 9_000))
    assert told_of([first, later, later])[1] == [("a", "tmep", "", 9_000)]


def test_a_known_metric_of_another_type_is_told():
    first, later = rows(("a", "temp", "double", 0)), rows(("a", "temp", "string", 9_000))
    assert told_of([first, later])[1] == [("a", "temp", "string", 9_000)]


@settings(max_examples=30)
@given(st.integers(0, 2**32))
def test_what_is_told_does_not_depend_on_blocks(seed):
    note(f"seed {seed}")
    chance = random.Random(seed)
    windows = [
        (chance.choice("ab"), f"m{chance.randrange(9)}", chance.choice(["", "x"]), 1_000 * at)
        for at in range(40)
    ]
    cut = sorted(chance.randrange(41) for _ in range(4))
    bounds = zip([0, *cut], [*cut, 40], strict=True)
    whole = told_of([rows(*windows)])
    parts = told_of([rows(*windows[start:end]) for start, end in bounds])
    assert parts[0].equals(whole[0])
    assert parts[1] == whole[1]
    assert len(whole[1]) > 0
