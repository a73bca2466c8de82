"""The rules job without Flink: what it says is a function of the logs, and what the oracle says."""

import itertools
import random
from collections.abc import Sequence

from hypothesis import given, note, settings
from hypothesis import strategies as st

from schemas.control import ControlEvent, parse_control
from tests.alert_logs import TENANT, Event, at
from tests.oracle.threshold_oracle import Heard, events_of
from tests.rules_chain import Aggregate, RulesChain, Written, controls_of
from tests.threshold_logs import rule
from tests.unit.test_threshold_oracle import (
    AGGREGATES,
    as_said,
    by_subject,
    in_order,
    random_log,
    random_wanted,
)
from udfs.partition_clocks import UNKNOWN_MS
from udfs.rules_shard import RulesPolicy

TICK_MS = 120_000
LAST_MS = at("12:45:00")
UNTIL_MS = at("13:50:00")
RULE_AT_MS = at("10:00:00")


def a_log(seed: int) -> list[Heard]:
    """Return the first part of a random log, some of it very late."""
    return [heard for heard in random_log(seed) if heard.at_ms < LAST_MS]


def blocks_of(
    written: Sequence[Written], chance: random.Random, cut_count: int
) -> list[list[Written]]:
    """Cut a log into blocks; within a block each partition is in order, but not the partitions."""
    cuts = sorted({0, len(written), *(chance.randrange(len(written)) for _ in range(cut_count))})
    blocks = [list(written[a:b]) for a, b in itertools.pairwise(cuts)]
    return [sorted(b, key=lambda w: (w.partition, w.offset)) for b in blocks]


@settings(max_examples=3, deadline=None)
@given(st.integers(0, 2**32))
def test_the_job_says_what_the_oracle_says_of_the_telemetry_at_the_times_of_its_ticks(
    seed: int,
) -> None:
    note(f"seed {seed}")
    log, wanted = a_log(seed), random_wanted(seed)
    written = rule(
        per=wanted.per, aggregate=wanted.aggregate, operator=wanted.operator,
        threshold=wanted.threshold, clear_threshold=wanted.clear, for_windows=wanted.for_windows,
    )  # fmt: skip
    chain = RulesChain()
    events = chain.control(controls_of((RULE_AT_MS, written)))
    for block in blocks_of(Aggregate(TICK_MS).windows(log, UNTIL_MS), random.Random(seed), 20):
        events += chain.windows(block)
    heard = [each._replace(at_ms=each.at_ms // TICK_MS * TICK_MS) for each in sorted(log)]
    expected = events_of(heard, wanted, UNTIL_MS)
    assert in_order([as_said(event) for event in events]) == in_order(expected)


@settings(max_examples=3, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1, 2, 4]), st.booleans())
def test_events_depend_on_no_cut_shard_or_restart_nor_on_which_partition_is_read_first(
    seed: int,
    shard_count: int,
    is_restarted: bool,  # noqa: FBT001 - drawn
) -> None:
    note(f"seed {seed}")
    chance = random.Random(seed)
    written = Aggregate(TICK_MS, telemetry_count=3, windows_count=3).windows(a_log(seed), UNTIL_MS)
    rules = controls_of(
        (RULE_AT_MS, rule(aggregate=chance.choice(AGGREGATES))),
        (at("12:20:00"), rule("max", per="group", aggregate="max", threshold=85.0)),
        (at("12:05:00"), muted(at("12:10:00"), at("12:35:00"), device_id="d0")),
        (at("12:40:00"), rule("max", per="group", aggregate="max", threshold=80.0)),
    )
    policy = RulesPolicy(partition_count=3)

    def told(chain: RulesChain, blocks: list[list[Written]]) -> dict[str, list[Event]]:
        events = chain.control(rules)
        return by_subject(events + [e for block in blocks for e in chain.windows(block)])

    whole = told(RulesChain(policy=policy), [list(written)])
    blocks = blocks_of(written, chance, 40)
    # One partition is read far ahead of the others.
    ahead = [w for w in written if w.partition == 0]
    behind = [[w for w in block if w.partition != 0] for block in blocks]
    chain = RulesChain(shard_count, policy, is_restarted)
    assert told(chain, blocks) == whole
    chain = RulesChain(shard_count, policy, is_restarted)
    assert told(chain, [ahead, *behind]) == whole


def muted(begin_ms: int, end_ms: int, **narrow: str) -> ControlEvent:
    scope = {"tenant_id": TENANT} | narrow
    return parse_control({"type": "mute", "scope": scope, "from": begin_ms, "until": end_ms})


def test_the_random_logs_say_something() -> None:
    said = [len(events_of(a_log(seed), random_wanted(seed), UNTIL_MS)) for seed in range(8)]
    assert sum(count > 0 for count in said) > len(said) // 2


# telemetry   d0 .. 12:01 |  job down 12:02-13:02: nothing summed, ticks wait  | 12:02:30 d0 ...
# windows     r M12:02 ---- no marks for an hour ------------------------------- r M12:03 M12:04
def test_while_telemetry_is_not_summed_no_window_is_taken_for_complete() -> None:
    minutes = [at("12:00:30") + n * 60_000 for n in range(16)]
    log = [Heard(at_ms, "d0", "g", (("temp", at_ms, 1.0),)) for at_ms in minutes]
    scarce = rule(aggregate="count", operator="<", threshold=5.0)
    chain = RulesChain()
    events = chain.control(controls_of((RULE_AT_MS, scarce)))
    written = Aggregate(60_000).windows(log, at("12:16:00"))
    before = [w for w in written if w.at_ms < at("12:02:00")]
    after = [w for w in written if w.at_ms >= at("12:02:00")]
    # An hour passes on every clock but that of telemetry.
    events += chain.windows(before, now_ms=at("12:02:00"))
    events += chain.windows(after, now_ms=at("13:02:00"))
    assert events == []


def test_no_time_passes_before_every_partition_of_windows_is_marked() -> None:
    log = [Heard(at("12:00:30"), "d0", "g", (("temp", at("12:00:30"), 90.0),))]
    written = Aggregate(60_000).windows(log, at("12:30:00"))
    chain = RulesChain()
    events = chain.control(controls_of((RULE_AT_MS, rule())))
    events += chain.windows([w for w in written if w.partition == 0])
    assert events == []
    assert chain.shards[0].shard.thresholds.clock_ms == UNKNOWN_MS
    events += chain.windows([w for w in written if w.partition == 1])
    assert [event["status"] for event in events] == ["firing"]


def test_rows_that_stand_before_the_first_marks_are_counted_and_judged_by_nobody() -> None:
    log = [Heard(at("12:00:30"), "d0", "g", (("temp", at("12:00:30"), 90.0),))]
    written = Aggregate(60_000).windows(log, at("12:30:00"))
    unmarked = [w for w in written if w.at_ms == at("12:00:30")]
    marks = [w for w in written if w.at_ms > at("12:00:30")]
    chain = RulesChain()
    events = chain.control(controls_of((RULE_AT_MS, rule())))
    assert events + chain.windows([*unmarked, *marks]) == []
    assert chain.shards[0].shard.clocks.timeless_count == 2  # of the device and of its group
