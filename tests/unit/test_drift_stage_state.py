"""The state of the stage where shards of drift meet, as bytes.

The fixture was written by the first release with this layout; it is never written again: a new
layout gets a new version and a new fixture, and this one must still restore.
"""

import pytest

from tests.alert_logs import at
from tests.drift_chain import STAGE, DriftChain, bad_log
from tests.rules_chain import Aggregate, Written
from tests.unit.test_group_incidents import BAD
from tests.unit.test_rules_state import STATE
from udfs.drift.drift_shard import DriftPolicy
from udfs.drift.drift_stage import DriftStage, stage_from_bytes, stage_to_bytes
from udfs.frame_bytes import join_bodies
from udfs.state_bytes import StateLayoutError, pack_state

WHOLE = STATE / "drift_stage_v1.bin"
CUT_MS = at("12:45:00")
POLICY = DriftPolicy(partition_count=2)


def windows() -> list[Written]:
    """Return six of eight devices that go blind together, and see again."""
    return Aggregate(60_000, is_gathered=True).windows(bad_log(BAD, 100), at("13:50:00"))


def half_told_story() -> DriftChain:
    """Return a chain in which an incident of a group fires, and stands for its devices."""
    chain = DriftChain(policy=POLICY)
    chain.windows([w for w in windows() if w.at_ms < CUT_MS])
    assert [e["subject"] for e in chain.alerts if e["notify"]] == ["group/g"]
    chain.wholes[STAGE], chain.entries[STAGE] = chain.shards.pop(STAGE).whole(), []
    return chain


def test_a_stage_of_the_first_release_restores_and_goes_on() -> None:
    chain = half_told_story()
    chain.wholes[STAGE] = WHOLE.read_bytes()
    chain.alerts = []
    chain.windows([w for w in windows() if w.at_ms >= CUT_MS])
    told = [(e["subject"], e["status"], e["seq"]) for e in chain.alerts if e["notify"]]
    assert told == [("group/g", "resolved", 2)]
    assert len(chain.alerts) == 7


def test_a_stage_of_an_unknown_version_is_refused() -> None:
    assert stage_to_bytes(DriftStage(), POLICY)
    packed = join_bodies({"rest": pack_state(99, {}, {}), "units": b""})
    with pytest.raises(StateLayoutError, match="version 99"):
        stage_from_bytes(packed, POLICY)
