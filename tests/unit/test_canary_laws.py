"""However the log is cut, spread, copied or restarted, verdicts on rollouts are the same."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.canary_rows import LOOK, POLICY, announced, arm, both, due_ms, noise, policy_of, run
from udfs.drift.canary import absorb, decide, on_windows
from udfs.drift.canary_policy import CanaryMetric, Harm
from udfs.drift.canary_state import (
    empty_state,
    merge_states,
    pack_canary,
    restore_canary,
)
from udfs.shards import device_hashes, shard_of
from udfs.state_bytes import StateLayoutError

FIXTURE = Path(__file__).parents[1] / "fixtures" / "state" / "canary_v1.bin"
TWO = policy_of(
    CanaryMetric("latency", Harm.UP),
    CanaryMetric("power", is_mandatory=False),
    alpha=0.2,  # so that a few devices are enough for every verdict
    promote_alpha=0.2,
    tolerance_sigma=2.0,
    min_devices=5,
    promote_after_looks=2,
)


def random_log(seed):
    """Two rollouts, two metrics, two strata; gaps, NaN, copies, late windows, a move."""
    print(f"seed {seed}")
    chance = np.random.default_rng(seed)
    parts = []
    for rollout, shift in (("r", 0.0), ("q", 3.0)):
        for metric in ("latency", "power"):
            for stratum in ("a", "b"):
                values = chance.standard_normal((2, 6, 3 * LOOK))
                values[0] += shift
                values[chance.random(values.shape) < 0.02] = np.nan
                rows = both(*values, metric=metric, stratum=stratum)
                name = pl.concat_str(pl.lit(f"{rollout}{stratum}"), "device_id")
                parts.append(rows.with_columns(rollout_id=pl.lit(rollout), device_id=name))
    parts.append(arm(np.full((1, 3), 5.0), is_treatment=True, name="rac0", first=4))
    rows = pl.concat(parts)
    rows = rows.filter(pl.Series(chance.random(len(rows)) > 0.03))
    late = pl.Series(chance.choice([0, 1, 2, 30], len(rows), p=[0.6, 0.2, 0.18, 0.02]) * 60_000)
    rows = rows.with_columns(arrived_ms=pl.col("arrived_ms") + late)
    copies = rows.sample(60, seed=seed).with_columns(value=pl.col("value") + 1)
    rows = pl.concat([rows, copies])
    order = pl.Series(chance.random(len(rows)))
    return rows.with_columns(order=order).sort("arrived_ms", "order").drop("order")


def started(policy=TWO):
    rollouts = pl.concat([announced(0.5, "r"), announced(None, "q")])
    return empty_state(policy).with_rollouts(rollouts)


def verdicts_of(rows, ends, *, policy=TWO, state=None, is_restarted=False):
    """Run over blocks that end at these rows; each block's clock is that of its last row."""
    state = started(policy) if state is None else state
    told, start = [], 0
    for end in [*sorted(ends), len(rows)]:
        block = rows[start:end]
        start = end
        if block.is_empty():
            continue
        step = on_windows(state, block, int(block["arrived_ms"].max()), policy)
        told.append(step.verdicts)
        state = step.state
        if is_restarted:
            state = restore_canary(pack_canary(state, policy), policy)
    step = on_windows(state, rows.clear(), due_ms(2, policy), policy)
    return pl.concat([*told, step.verdicts])


def same(left, right):
    order = ["decided_at_ms", "rollout_id"]
    left, right = (t.sort(order, maintain_order=True) for t in (left, right))
    return left.equals(right)


def test_the_random_logs_have_verdicts_of_all_kinds():
    told = pl.concat([verdicts_of(random_log(seed), []) for seed in (1, 3)])
    assert set(told["verdict"]) == {"CONTINUE", "NODATA", "PROMOTE", "ROLLBACK"}


@settings(max_examples=8)
@given(st.integers(0, 10_000), st.lists(st.integers(0, 2000), max_size=8), st.booleans())
def test_cuts_and_restarts_change_nothing(seed, cuts, is_restarted):
    rows = random_log(seed)
    whole = verdicts_of(rows, range(0, len(rows), 200))
    assert same(
        verdicts_of(rows, [c for c in cuts if c < len(rows)], is_restarted=is_restarted), whole
    )
    assert len(whole) > 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_order_within_the_wait_for_late_windows_changes_nothing(seed):
    rows = random_log(seed).unique(
        ["rollout_id", "device_id", "metric", "window_start_ms"], keep="none"
    )
    expected = verdicts_of(rows.sort("arrived_ms", "device_id", "metric"), [])
    shuffled = rows.sample(fraction=1, shuffle=True, seed=seed).sort("arrived_ms")
    step = absorb(started(), shuffled, TWO)[0]
    assert same(decide(step, due_ms(2, TWO), TWO).verdicts, expected)


@pytest.mark.parametrize("seed", [4, 5])
@pytest.mark.parametrize("shards", [1, 2, 4])
def test_shards_of_devices_that_are_merged_say_what_one_says(seed, shards):
    rows = random_log(seed)
    one = absorb(started(), rows, TWO)[0]
    hashes = device_hashes(rows["tenant_id"].to_list(), rows["device_id"].to_list())
    of_shard = np.array([shard_of(int(h), shards) for h in hashes])
    parts = [
        absorb(started(), rows.filter(pl.Series(of_shard == s)), TWO)[0] for s in range(shards)
    ]
    forwards, backwards = parts[0], parts[-1]
    for part in parts[1:]:
        forwards = merge_states(forwards, part)
    for part in parts[-2::-1]:
        backwards = merge_states(backwards, part)
    assert pack_canary(forwards, TWO) == pack_canary(one, TWO) == pack_canary(backwards, TWO)
    expected = decide(one, due_ms(2, TWO), TWO).verdicts
    assert decide(forwards, due_ms(2, TWO), TWO).verdicts.equals(expected)


@pytest.mark.parametrize("seed", [6, 7])
def test_rollouts_spread_over_shards_get_the_same_verdicts(seed):
    rows = random_log(seed)
    whole = verdicts_of(rows, range(0, len(rows), 300))
    parts = [
        verdicts_of(rows.filter(pl.col("rollout_id") == name), range(0, len(rows), 300))
        for name in ("r", "q")
    ]
    parts = [part.filter(pl.col("treatment_devices") > 0) for part in parts]
    alone = whole.filter(pl.col("treatment_devices") > 0)
    order = ["decided_at_ms", "rollout_id"]
    assert (
        pl.concat(parts)
        .sort(order, maintain_order=True)
        .equals(alone.sort(order, maintain_order=True))
    )


def test_a_step_leaves_its_state_and_its_windows_as_they_were():
    rows = random_log(8)
    state = absorb(started(), rows[:500], TWO)[0]
    before, windows = pack_canary(state, TWO), rows[500:900].clone()
    on_windows(state, windows, due_ms(1, TWO), TWO)
    assert pack_canary(state, TWO) == before
    assert windows.equals(rows[500:900])


def test_copies_and_late_windows_are_counted_and_change_nothing():
    rows = both(noise(1, 150), noise(2, 150))
    copies = rows.with_columns(value=pl.col("value") + 100)
    late = rows.with_columns(value=pl.lit(1e9), arrived_ms=pl.lit(due_ms(0)))
    told, ignored = run(pl.concat([rows, copies, late]))
    assert ignored == {"late": len(rows), "duplicate": len(rows), "unknown": 0, "outside": 0}
    assert told.equals(run(rows)[0])


def test_windows_of_the_future_off_the_grid_and_of_strangers_are_left_out():
    rows = both(noise(1, 30), noise(2, 30))
    start_ms = pl.col("window_start_ms")
    strange = [
        rows.with_columns(window_start_ms=start_ms + 90 * 60_000),
        rows.with_columns(window_start_ms=start_ms + 1),
        rows.with_columns(window_start_ms=start_ms - 60 * 60_000),
        rows.with_columns(rollout_id=pl.lit("another")),
        rows.with_columns(metric=pl.lit("another")),
    ]
    told, ignored = run(pl.concat([rows, *strange]))
    assert ignored["outside"] == 3 * len(rows)
    assert ignored["unknown"] == 2 * len(rows)
    assert told.equals(run(rows)[0])


def test_a_verdict_is_told_when_it_changes_and_never_after_it_is_final():
    quiet, harm = noise(1, 60, 5 * LOOK), noise(2, 60, 5 * LOOK)
    harm[:, 2 * LOOK :] += 3
    told, _ = run(both(harm, quiet), policy_of(horizon_looks=5, promote_after_looks=5), looks=5)
    assert told["verdict"].to_list() == ["CONTINUE", "ROLLBACK"]
    assert told["look"].to_list() == [0, 2]
    assert told["decided_at_ms"].to_list() == [due_ms(0), due_ms(2)]


def test_versions_that_come_at_different_hours_are_compared_hour_by_hour():
    # The load of the day moves all devices by far more than they differ; the treatment comes late.
    day = 10 * np.sin(np.arange(3 * LOOK) / 6)
    treatment, control = noise(1, 200, 3 * LOOK) + day, noise(2, 200, 3 * LOOK) + day
    rows = pl.concat(
        [
            arm(control, is_treatment=False),
            arm(treatment[:, LOOK : 2 * LOOK], is_treatment=True, first=LOOK),
        ]
    )
    told, _ = run(rows, looks=3)
    assert told["verdict"].to_list() == ["NODATA", "PROMOTE"]


def test_looks_without_enough_devices_spend_no_alpha():
    few = both(noise(1, 10), noise(2, 10))
    many = both(noise(3, 60), noise(4, 60), first=LOOK)
    told, _ = run(pl.concat([few, many]), looks=2)
    direct, _ = run(both(noise(3, 60), noise(4, 60)))
    assert told["log10_e_needed"][-1] == direct["log10_e_needed"][0]


def test_released_state_is_restored_to_the_bit():
    state = restore_canary(FIXTURE.read_bytes(), TWO)
    assert pack_canary(state, TWO) == FIXTURE.read_bytes()
    told = decide(state, due_ms(2, TWO), TWO).verdicts
    expected = json.loads(FIXTURE.with_suffix(".json").read_text())
    assert told["verdict"].to_list() == expected


def test_a_state_with_looks_of_another_length_is_refused_with_the_cure():
    packed = pack_canary(empty_state(POLICY), POLICY)
    with pytest.raises(StateLayoutError, match="window_ms and look_windows must stay 60000 and 12"):
        restore_canary(packed, policy_of(look_windows=20))
