"""Threshold rules against the oracle, and their laws, on random logs with late and odd points."""

import random
from typing import Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from tests.alert_logs import Event, at
from tests.oracle.threshold_oracle import Heard, Said, Wanted, events_of
from tests.threshold_logs import Batch, Chain, ThresholdLog, rule

START_MS = at("12:00:00")
UNTIL_MS = at("17:00:00")
MINUTE_MS = 60_000
AGGREGATES = ["mean", "min", "max", "sum", "count", "p50", "p90", "p95", "p99"]
WRITTEN: dict[str, Any] = {"when": at("10:00:00")}


def random_log(seed: int) -> list[Heard]:
    """Return three devices over 2 hours: on time, late by up to 70 min, silent, in any order."""
    chance = random.Random(seed)
    log = []
    for number in range(3):
        level = chance.choice([60, 79, 80])
        for minute in range(0, 120, chance.choice([1, 2, 7])):
            if chance.random() < 0.05:
                level = chance.choice([60, 79, 80, 81, 100])
            time_ms = START_MS + minute * MINUTE_MS + chance.randrange(0, 60_000)
            late_min = chance.choice([0] * 12 + [1, 3, 8, 17, 40, 70])
            spread = chance.choice([0, 1, 25])
            points = tuple(
                (chance.choice(["temp"] * 5 + ["other"]), time_ms - 20_000 * back,
                 float(level + chance.randint(-spread, spread)))
                for back in range(chance.randrange(1, 4))
            )  # fmt: skip
            # Append times meet at whole seconds, so that messages share one.
            at_ms = (time_ms + late_min * MINUTE_MS) // 1000 * 1000 + 1000
            log.append(Heard(at_ms, f"d{number}", f"g{number % 2}", points))
    return log


def random_wanted(seed: int) -> Wanted:
    chance = random.Random(seed)
    aggregate, operator = chance.choice(AGGREGATES), chance.choice([">", ">=", "<", "<="])
    threshold = float({"count": 3, "sum": 400}.get(aggregate, 80))
    slack = chance.choice([0, 0, 2])
    clear = threshold - slack if operator[0] == ">" else threshold + slack
    per = chance.choice(["device", "device", "group"])
    return Wanted(per, "temp", aggregate, operator, threshold, clear, chance.choice([1, 1, 2, 3]))


def threshold_log(log: list[Heard], wanted: Wanted) -> ThresholdLog:
    written = ThresholdLog().rule(
        rule(
            per=wanted.per, aggregate=wanted.aggregate, operator=wanted.operator,
            threshold=wanted.threshold, clear_threshold=wanted.clear,
            for_windows=wanted.for_windows,
        ),
        **WRITTEN,
    )  # fmt: skip
    for each in log:
        written.add(Batch(each.at_ms, each.device_id, each.points, group=each.group))
    return written


def as_said(event: Event) -> Said:
    name = event["subject"].partition("/")[2]
    start_ms = int(event["dedup_key"].rpartition("/")[2])
    return Said(
        event["input_clock"], name, event["seq"], event["status"], start_ms, event["ends_at"],
        event["value"], event["reason"], event["backfilled"], event["notify"],
    )  # fmt: skip


def in_order(said: list[Said]) -> list[tuple[Any, ...]]:
    return sorted((tuple(each)[:-1] for each in said), key=lambda s: (s[1], s[0], s[4], s[2]))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_every_event_is_the_oracle_s(seed: int) -> None:
    note(f"seed {seed}")
    log, wanted = random_log(seed), random_wanted(seed)
    found = threshold_log(log, wanted).events(UNTIL_MS)
    expected = events_of(log, wanted, UNTIL_MS)
    assert in_order([as_said(event) for event in found]) == in_order(expected)


def by_subject(events: list[Event]) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = {}
    for event in events:
        found.setdefault(event["subject"], []).append(event)
    return found


@settings(max_examples=8, deadline=None)
@given(
    st.integers(0, 2**32), st.sampled_from([1, 2, 5]), st.sets(st.integers(0, 17_999), max_size=6),
    st.booleans(),
)  # fmt: skip
def test_events_depend_on_no_cut_order_shard_or_restart(
    seed: int,
    shard_count: int,
    cuts: set[int],
    is_restarted: bool,  # noqa: FBT001 - drawn
) -> None:
    note(f"seed {seed}")
    log = threshold_log(random_log(seed), random_wanted(seed))
    log.rule(rule("max", aggregate="max", threshold=90.0), START_MS + 31 * MINUTE_MS)
    log.rule(rule("max", aggregate="max", threshold=85.0), START_MS + 63 * MINUTE_MS)
    log.rule(rule("odd", metric="other", aggregate="p90", threshold=80.0), START_MS)
    log.delete("odd", START_MS + 80 * MINUTE_MS)
    whole = by_subject(log.events(UNTIL_MS))
    cuts_ms = tuple(START_MS + 1000 * cut for cut in cuts)
    chain = Chain(shard_count, cuts_ms, is_restarted, shuffle_seed=seed)
    assert by_subject(log.events(UNTIL_MS, chain)) == whole


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32))
def test_no_id_is_used_twice_and_every_notified_firing_is_resolved_at_most_once(seed: int) -> None:
    note(f"seed {seed}")
    events = threshold_log(random_log(seed), random_wanted(seed)).events(UNTIL_MS)
    ids = [event["id"] for event in events]
    assert len(set(ids)) == len(ids)
    episodes: dict[str, list[Event]] = {}
    for event in events:
        episodes.setdefault(event["episode_id"], []).append(event)
    for story in episodes.values():
        assert [event["seq"] for event in story] == list(range(1, len(story) + 1))
        told = [event["status"] for event in story if event["notify"]]
        expected = ["firing", "resolved"] * len(told)
        assert told == expected[: len(told)]


@pytest.mark.parametrize("aggregate", ["mean", "count", "p99"])
def test_the_random_logs_breach_and_correct(aggregate: str) -> None:
    reasons, statuses = set(), set()
    for seed in range(6):
        limit = {"count": 3.0, "sum": 400.0}.get(aggregate, 80.0)
        wanted = Wanted("device", "temp", aggregate, ">", limit, limit, 1)
        for said in events_of(random_log(seed), wanted, UNTIL_MS):
            reasons.add(said.reason)
            statuses.add((said.status, said.is_backfilled))
    assert {None, "late_data_correction"} <= reasons
    assert {("firing", False), ("resolved", True), ("resolved", False)} <= statuses
