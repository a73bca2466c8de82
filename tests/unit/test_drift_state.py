"""The state of the drift job as bytes: a whole, and the blocks since.

The fixtures were written by the first release with this layout. They are never written again: a new
layout gets a new version and new fixtures, and these must still restore.
"""

import pytest

from schemas.control import AcceptNewNormal, Scope
from tests.alert_logs import TENANT, at
from tests.drift_chain import DriftChain, bad_log
from tests.rules_chain import Aggregate, Written, controls_of
from tests.unit.test_rules_laws import muted
from tests.unit.test_rules_state import STATE, read_blocks
from udfs.drift.detector_bank import DetectorBank
from udfs.drift.drift_shard import DriftPolicy, DriftShard, shard_from_bytes, shard_to_bytes
from udfs.drift.unreadable import UnreadableStreams
from udfs.frame_bytes import join_bodies, split_bodies
from udfs.state_bytes import StateLayoutError, pack_state

WHOLE, BLOCKS = STATE / "drift_v1.bin", STATE / "drift_blocks_v1.bin"
CUT_MS, UNTIL_MS = at("12:28:00"), at("13:00:00")
POLICY = DriftPolicy(partition_count=2)


def windows() -> list[Written]:
    """Return three devices of which two send nothing but NaN for a while."""
    log = bad_log({"d0": (5, 35), "d1": (10, 99), "d2": (0, 0)}, 50)
    return Aggregate(30_000, is_gathered=True).windows(log, UNTIL_MS)


def half_told_story() -> DriftChain:
    """Return a chain in the middle: one alert fires, one is muted, one is to be accepted."""
    chain = DriftChain(policy=POLICY)
    mute = muted(at("12:00:00"), at("12:40:00"), device_id="d1")
    accepted = AcceptNewNormal(scope=Scope(tenant_id=TENANT, device_id="d1"), metric="temp")
    chain.control(controls_of((at("11:00:00"), mute), (at("12:45:00"), accepted)))
    written = [w for w in windows() if w.at_ms < CUT_MS]
    for begin in range(0, len(written), 4):
        chain.windows(written[begin : begin + 4])
    assert chain.wholes[0]
    assert chain.entries[0]
    return chain


def test_a_state_of_the_first_release_restores_and_goes_on() -> None:
    restored = DriftChain(
        policy=POLICY,
        is_restarted=True,
        wholes={0: WHOLE.read_bytes()},
        entries={0: read_blocks(BLOCKS.read_bytes())},
    )
    story = half_told_story()
    story.findings, story.alerts = [], []
    rest = [w for w in windows() if w.at_ms >= CUT_MS]
    restored.windows(rest)
    story.windows(rest)
    # A later release may find more: what this one found must be among it.
    of_first = [f for f in restored.findings if f.detector == "unreadable"]
    assert of_first == [f for f in story.findings if f.detector == "unreadable"]
    assert [(f.subject, f.state, f.reason) for f in of_first] == [
        ("d0", "resolved", "readable_again"),
        ("d1", "resolved", "accepted_new_normal"),
    ]
    told = [(e["subject"], e["status"], e["seq"], e["reason"]) for e in restored.alerts]
    assert told == [
        ("device/d1", "firing", 2, "mute_ended"),
        ("device/d0", "resolved", 2, "unreadable"),
        ("device/d1", "resolved", 3, "unreadable"),
    ]


def test_state_of_an_unknown_version_is_refused() -> None:
    bodies = dict(split_bodies(shard_to_bytes(DriftShard(), POLICY)))
    packed = join_bodies(bodies | {"rest": pack_state(99, {}, {})})
    with pytest.raises(StateLayoutError, match="version 99"):
        shard_from_bytes(packed, POLICY)
    with pytest.raises(StateLayoutError, match="version 99"):
        UnreadableStreams.from_bytes(pack_state(99, {}, {}))


def test_a_new_detector_begins_blank_and_one_that_is_gone_is_left_out() -> None:
    bank = DetectorBank.from_bytes(join_bodies({"gone": b"whatever"}))
    assert bank.to_bytes() == DetectorBank().to_bytes()
