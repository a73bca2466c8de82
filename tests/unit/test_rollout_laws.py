"""What is said of rollouts is a function of the log: of no cut, shard, restart or late message."""

import random

from hypothesis import given, note, settings
from hypothesis import strategies as st

from schemas.records import Record
from tests.alert_logs import Event, at
from tests.drift_chain import DriftChain
from tests.rollout_logs import Rollout, policy, rollout_log, shuffled
from tests.rules_chain import Aggregate, Written, controls_of
from tests.unit.test_rules_laws import blocks_of, muted
from udfs.drift.findings import DriftFinding

BEGIN_MS = at("12:00:00")
HARMFUL_SEED, MUTE_SEED = 0, 3
MINUTES = 105


def random_rollout(seed: int) -> tuple[Rollout, list[Written]]:
    """Return a rollout that may do harm, may be taken back, may send less; and its log."""
    chance = random.Random(seed)
    rollout = Rollout(
        harm_ms=chance.choice([0.0, 8.0, 40.0, 40.0]),
        devices=20,
        update_minute=chance.choice([15, 25, 30]),
        back_minute=chance.choice([None, 50, 75]),
        is_mute=chance.random() < 0.2,
    )
    log = shuffled(rollout_log(BEGIN_MS, rollout, MINUTES, seed), seed)
    aggregate = Aggregate(60_000, telemetry_count=3, windows_count=2, is_gathered=True)
    return rollout, aggregate.windows(log, BEGIN_MS + (MINUTES + 10) * 60_000)


def said(chain: DriftChain) -> tuple[list[Record], list[DriftFinding], list[Event]]:
    return chain.verdicts, chain.findings, chain.alerts


@settings(max_examples=2, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1, 2, 4]), st.booleans())
def test_verdicts_findings_and_alerts_depend_on_no_cut_shard_or_restart(
    seed: int,
    shard_count: int,
    is_restarted: bool,  # noqa: FBT001 - drawn
) -> None:
    rollout, written = random_rollout(seed)
    note(f"seed {seed}: {rollout}")
    controls = controls_of(
        (at("13:10:00"), muted(at("13:10:00"), at("13:45:00"), deployment_group="g"))
    )
    whole, cut = DriftChain(policy=policy()), DriftChain(shard_count, policy(), is_restarted)
    for chain in (whole, cut):
        chain.control(controls)
    whole.windows(written)
    for block in blocks_of(written, random.Random(seed), 12):
        cut.windows(block)
    assert said(cut) == said(whole)
    assert whole.verdicts[0]["reason"] == "noticed"


def test_the_random_logs_end_in_several_verdicts() -> None:
    found = set()
    for seed in (HARMFUL_SEED, MUTE_SEED):
        chain = DriftChain(policy=policy())
        chain.windows(random_rollout(seed)[1])
        found |= {verdict["verdict"] for verdict in chain.verdicts if verdict["is_final"]}
    assert found == {"ROLLBACK", "NODATA"}
