"""The states of liveness and of the fleet stage: small, versioned, and restorable for good.

The fixtures were written by the first release with these layouts. They are never written again: a
new layout gets a new version and a new fixture, and these must still restore.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from jobs.backtest import Backtest, BacktestPlan
from jobs.backtest_blocks import numbered_lines
from tests.alert_logs import AlertLog, at, every
from udfs.fleet import FleetState
from udfs.liveness import CONTACT_SCHEMA, LivenessBlock, LivenessShard, on_block
from udfs.offline_policy import OfflinePolicy
from udfs.partition_clocks import STRETCH_SCHEMA, restored_partitions
from udfs.state_bytes import StateLayoutError, pack_state

FIXTURES = Path(__file__).parent.parent / "fixtures" / "state"
POLICY = OfflinePolicy()
STATE_MAX_BYTES_A_DEVICE = 64


def half_told_story() -> Backtest:
    """Return a backtest cut in the middle: open episodes, an emergency, a pending change."""
    log = AlertLog(until="12:20:00").register("a", "b", "c", "d", site="s1", deployment_group="g")
    log.contact("a", "12:00:00", boot_id="x", sequence=3, model_version="v8")
    log.contact("b", "12:00:01").contact("c", "12:00:02")
    log.contact("d", *every(60, "12:00:00", "12:20:00"))
    log.register("d", when="12:20:00", status="maintenance").remove("a", "12:20:00")
    backtest = Backtest(POLICY, BacktestPlan(fine_ms=None))
    backtest.take(list(numbered_lines(log.records())))
    return backtest


def rest_of(shard: LivenessShard) -> list[tuple[str, str, int]]:
    """Return what comes of a state when the log goes on for 20 minutes."""
    clocks = pl.DataFrame(
        {
            "partition": [0] * 240,
            "first_ms": [at("12:20:00") + 5000 * tick for tick in range(1, 241)],
            "last_ms": [at("12:20:00") + 5000 * tick for tick in range(1, 241)],
            "first_offset": list(range(1000, 1240)),
            "last_offset": list(range(1000, 1240)),
            "heard_ms": [at("12:20:00") + 5000 * tick for tick in range(1, 241)],
            "log": ["0"] * 240,
        },
        schema=STRETCH_SCHEMA,
    )
    offset = int(shard.partitions["next_offset"][0])
    moved = clocks.with_columns(pl.col("first_offset", "last_offset") - 1000 + offset)
    rows = on_block(shard, LivenessBlock(clocks=moved), POLICY).transitions
    return rows.select("device_id", "kind", "time_ms").rows()


def test_a_restored_state_goes_on_as_if_nothing_had_happened() -> None:
    shard = half_told_story().shards[0]
    rest = rest_of(LivenessShard.from_bytes(shard.to_bytes()))
    assert rest == rest_of(shard)
    assert {kind for _, kind, _ in rest} == {"removed", "registered", "critical"}


def planned_story() -> Backtest:
    """Return the same with what operators said: planned, acting, over; and an episode taken on."""
    log = AlertLog(until="12:20:00").register("a", "b", "c", "d", site="s1", deployment_group="g")
    log.contact("a", "12:00:00", boot_id="x", sequence=3, model_version="v8")
    log.contact("b", "12:00:01").contact("c", "12:00:02")
    log.contact("d", *every(60, "12:00:00", "12:20:00"))
    span = {"from": "12:18:00", "until": "12:30:00"}
    log.control("12:17:00", "maintenance", **span, scope={"deployment_group": "g"})
    log.control("12:04:00", "mute", **{"from": "12:04:00", "until": "12:10:00"})
    log.control("12:12:00", "mute", **{"from": "12:12:00", "until": "12:25:00"})
    log.control("12:13:00", "goodbye", expected_back="12:40:00", scope={"device_id": "d"})
    log.control("12:14:00", "ack", episode_id="01234567-89ab-5def-8123-456789abcdef")
    backtest = Backtest(POLICY, BacktestPlan(fine_ms=None))
    backtest.take(list(numbered_lines(log.records())))
    return backtest


def test_what_operators_said_is_restored_from_version_2() -> None:
    shard, fleet = planned_story().shards[0], planned_story().fleet
    stored = LivenessShard.from_bytes((FIXTURES / "liveness_v2.bin").read_bytes())
    assert len(stored.book.planned) == 4
    assert rest_of(stored) == rest_of(shard) == rest_of(LivenessShard.from_bytes(shard.to_bytes()))
    assert "mute_ended" in {kind for _, kind, _ in rest_of(stored)}
    stored_fleet = FleetState.from_bytes((FIXTURES / "fleet_v2.bin").read_bytes())
    assert stored_fleet.hushes == fleet.hushes == FleetState.from_bytes(fleet.to_bytes()).hushes
    assert len(stored_fleet.hushes.mutes) == 2
    assert len(stored_fleet.hushes.acks) == 1


def flapping_story() -> Backtest:
    """Return a backtest cut while a device flaps, and another did in its open episode."""
    log = AlertLog(until="14:00:00").register("a", "b")
    log.contact("a", *every(360, "12:30:00", "14:00:00"))
    log.contact("b", *every(360, "12:30:00", "13:00:00"))
    backtest = Backtest(POLICY, BacktestPlan(fine_ms=None))
    backtest.take(list(numbered_lines(log.records())))
    return backtest


def test_what_flaps_is_restored_and_states_without_it_have_none() -> None:
    shard = flapping_story().shards[0]
    restored = LivenessShard.from_bytes(shard.to_bytes())
    assert len(shard.flaps.rows) == 2
    assert (restored.flaps.rows == shard.flaps.rows).all()
    for name in ("liveness_v1.bin", "liveness_v2.bin"):
        assert len(LivenessShard.from_bytes((FIXTURES / name).read_bytes()).flaps.rows) == 0


def test_bytes_of_a_restored_state_are_the_same_bytes() -> None:
    backtest = half_told_story()
    shard, fleet = backtest.shards[0].to_bytes(), backtest.fleet.to_bytes()
    assert LivenessShard.from_bytes(shard).to_bytes() == shard
    assert FleetState.from_bytes(fleet).to_bytes() == fleet


def test_liveness_state_of_version_1_restores() -> None:
    stored = LivenessShard.from_bytes((FIXTURES / "liveness_v1.bin").read_bytes())
    assert rest_of(stored) == rest_of(half_told_story().shards[0])


def test_fleet_state_of_version_1_restores() -> None:
    stored = FleetState.from_bytes((FIXTURES / "fleet_v1.bin").read_bytes())
    fleet = half_told_story().fleet
    # The first layout did not know which partitions the devices were last heard on.
    without_homes = {id_: replace(t, homes={}) for id_, t in stored.tenants.items()}
    assert without_homes == {id_: replace(t, homes={}) for id_, t in fleet.tenants.items()}
    assert stored.tenants["acme"].emergency is not None
    assert stored.clocks_ms == fleet.clocks_ms
    assert stored.waiting.equals(fleet.waiting)


@pytest.mark.parametrize("kind", [LivenessShard, FleetState])
def test_a_version_of_the_future_is_refused(kind: type[LivenessShard | FleetState]) -> None:
    with pytest.raises(StateLayoutError, match="version 99"):
        kind.from_bytes(pack_state(99, {}, {}))


def test_a_device_takes_at_most_64_bytes_beyond_its_id() -> None:
    count = 10_000
    ids = [f"camera-{number:07d}" for number in range(count)]
    time_ms = at("12:00:00")
    filled = {"device_id": ids, "offset": np.arange(count), "sequence": np.arange(count)}
    contacts = pl.DataFrame(filled).with_columns(
        tenant_id=pl.lit("acme"),
        boot_id=pl.lit("boot"),
        append_time_ms=pl.lit(time_ms),
        clock_ms=pl.lit(time_ms),
        partition=pl.lit(0),
        model_version=pl.lit("v8"),
    )
    missing = [
        pl.lit(None, kind).alias(n) for n, kind in CONTACT_SCHEMA.items() if n not in contacts
    ]
    contacts = contacts.with_columns(missing).select(
        pl.col(name).cast(kind) for name, kind in CONTACT_SCHEMA.items()
    )
    clocks = pl.DataFrame(
        [(0, time_ms, time_ms, 0, count, time_ms, "0")], schema=STRETCH_SCHEMA, orient="row"
    )
    state = on_block(LivenessShard.empty(0), LivenessBlock(contacts, clocks), POLICY).state
    id_bytes = sum(len(f"acme/{device_id}") for device_id in ids)
    beyond_ids = (len(state.to_bytes()) - id_bytes) / count
    assert 40 < beyond_ids <= STATE_MAX_BYTES_A_DEVICE


def test_a_step_leaves_the_state_it_began_with_as_it_was() -> None:
    shard = half_told_story().shards[0]
    before = shard.to_bytes()
    rest_of(shard)
    assert shard.to_bytes() == before


def test_a_partition_of_an_earlier_state_came_last_at_its_own_clock() -> None:
    (partition,) = restored_partitions([[7, 3, 5, 0, 0, False]])
    assert (partition["clock_ms"], partition["heard_ms"]) == (7, 7)
