"""Laws of flapping on random logs: the simplest reference, cuts, shards, who is told (C6)."""

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from tests.alert_logs import Event
from tests.alert_reference import comparable, reference_events
from tests.flapping_logs import flapping_log
from tests.unit.test_liveness_laws import facts, run, run_in_blocks

SEEDS = st.integers(0, 2**32)
SLOW = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(SEEDS, st.sampled_from([1, 2]))
@SLOW
def test_flapping_is_that_of_the_simplest_reference(seed: int, partition_count: int) -> None:
    note(f"{seed=} {partition_count=}")
    lines = flapping_log(seed, partition_count)
    events = [e for e in run(lines) if not e["subject"].startswith("partition/")]
    expected = reference_events(lines)
    assert [e["id"] for e in events] == [e["id"] for e in expected]
    assert [comparable(e, like) for e, like in zip(events, expected, strict=True)] == expected


@given(SEEDS, st.lists(st.integers(0, 2**16), max_size=12), st.sampled_from([1, 2, 4]))
@SLOW
def test_blocks_shards_and_restarts_do_not_change_flapping(
    seed: int, cuts: list[int], shard_count: int
) -> None:
    note(f"{seed=}")
    lines = flapping_log(seed, partition_count=2, has_words=True)
    assert facts(run_in_blocks(lines, cuts, shard_count)) == facts(run(lines))


#  d0 decommissioned  registered anew, on no partition   a mute ends   heard | a block ends
def test_what_is_said_of_a_device_on_no_partition_is_settled_when_it_is_heard() -> None:
    lines = flapping_log(801387, partition_count=2, has_words=True)
    assert facts(run_in_blocks(lines, [3125], 1)) == facts(run(lines))


#  a mute ends   | a block ends   another mute of the device: the first must not end again
def test_a_mute_that_has_ended_does_not_end_again_when_the_next_one_is_said() -> None:
    lines = flapping_log(63179669, partition_count=2, has_words=True)
    assert facts(run_in_blocks(lines, [773], 1)) == facts(run(lines))


def ends_owed(events: list[Event]) -> dict[tuple[str, str], int]:
    """Return by episode and channel how many ends its firings call for, less those told."""
    owed: dict[tuple[str, str], int] = {}
    over = {e["episode_id"] for e in events if e["status"] == "resolved"}
    for event in events:
        for channel in event["channels"]:
            key = event["episode_id"], channel
            if not event["notify"] or event["episode_id"] not in over:
                continue
            if event["status"] == "firing":
                owed[key] = 1
            else:
                owed[key] = owed.get(key, 0) - 1
    return owed


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(2392855, id="maintenance hides a critical, the flapping's end tells it"),
        pytest.param(2611050, id="maintenance hides the end of a mute"),
    ],
)
def test_who_is_told_of_an_end_is_who_was_told_through_maintenance(seed: int) -> None:
    events = run(flapping_log(seed, partition_count=2, has_words=True))
    assert set(ends_owed(events).values()) == {0}


@given(SEEDS)
@SLOW
def test_whoever_was_told_of_a_begin_is_told_of_its_end_once_and_nobody_else(seed: int) -> None:
    note(f"{seed=}")
    events = run(flapping_log(seed, partition_count=2, has_words=True))
    assert set(ends_owed(events).values()) <= {0}


@given(SEEDS)
@SLOW
def test_while_a_device_flaps_nobody_is_told_that_it_falls_silent(seed: int) -> None:
    note(f"{seed=}")
    flapping: dict[str, Event] = {}
    for event in run(flapping_log(seed, partition_count=1, has_words=True)):
        subject, is_firing = event["subject"], event["status"] == "firing"
        if event["type"].endswith(".flapping"):
            if event["seq"] == 1:
                flapping[subject] = event
            elif not is_firing:
                del flapping[subject]
        elif subject in flapping and is_firing:
            assert not event["notify"]
            assert flapping[subject]["id"] in event["suppressed_by"]


@pytest.mark.parametrize("seed", [1, 2])
def test_the_finest_blocks_do_not_change_flapping(seed: int) -> None:
    lines = flapping_log(seed, partition_count=2, has_words=True)[:1500]
    each = list(range(1, len(lines), 3))
    assert facts(run_in_blocks(lines, each, 2)) == facts(run(lines))


def test_random_logs_flap_in_every_way() -> None:
    kinds = {
        (event["type"].rpartition(".")[2], event["reason"], event["notify"])
        for seed in range(20)
        for event in run(flapping_log(seed, partition_count=2, has_words=True))
    }
    for reason in (None, "mute_ended", "decommissioned"):
        assert ("flapping", reason, True) in kinds
    for notify in (True, False):
        assert ("device-offline", "flapping_ended", notify) in kinds


def test_a_mute_that_ends_while_nobody_can_hear_says_how_long_nobody_could_however_cut() -> None:
    lines = flapping_log(6009, partition_count=2, has_words=True)
    assert facts(run_in_blocks(lines, [2438], 1)) == facts(run(lines))
