"""The state of the rules job as bytes: a whole, and the blocks since.

The fixtures were written by the first release with this layout. They are never written again: a new
layout gets a new version and new fixtures, and these must still restore.
"""

import struct
from pathlib import Path
from typing import Any

import pytest

from tests.alert_logs import TENANT, Event, at
from tests.oracle.threshold_oracle import Heard
from tests.rules_chain import Aggregate, RulesChain, Written, controls_of
from tests.threshold_logs import rule
from tests.unit.test_rules_laws import muted
from udfs.frame_bytes import join_bodies, split_bodies
from udfs.rules_shard import RulesPolicy, RulesShard, rules_steps
from udfs.shard_journal import BLOCKS_MAX_COUNT, JournaledShard
from udfs.state_bytes import StateLayoutError, pack_state, unpack_state

STATE = Path(__file__).parent.parent / "fixtures" / "state"
WHOLE, BLOCKS = STATE / "rules_v1.bin", STATE / "rule_blocks_v1.bin"
CUT_MS, UNTIL_MS = at("12:12:00"), at("13:00:00")
POLICY = RulesPolicy(partition_count=2)


def windows() -> list[Written]:
    """Return two hot devices, of which one is good again after 10 min."""
    log = [
        Heard(time_ms, device, "g", (("temp", time_ms, value),))
        for device, last_hot in (("d0", 10), ("d1", 99))
        for minute in range(25)
        if (time_ms := at("12:00:30") + minute * 60_000)
        for value in [90.0 if minute < last_hot else 60.0]
    ]
    return Aggregate().windows(log, UNTIL_MS)


def half_told_story() -> RulesChain:
    """Return a chain in the middle: a breach was told, one is muted; some blocks are apart."""
    chain = RulesChain(policy=POLICY)
    mute = muted(at("12:00:00"), at("12:20:00"), device_id="d1")
    chain.control(controls_of((at("11:00:00"), rule()), (at("11:10:00"), mute)))
    written = [w for w in windows() if w.at_ms < CUT_MS]
    for begin in range(0, len(written), 3):
        chain.windows(written[begin : begin + 3])
    assert chain.entries[0]
    return chain


def rest_of(chain: RulesChain) -> list[Event]:
    return chain.windows([w for w in windows() if w.at_ms >= CUT_MS])


def contents(shard: RulesShard) -> tuple[bytes, dict[str, Any], dict[str, Any]]:
    """Return what a shard's bytes say: between the columns there are some that nobody wrote."""
    bodies = split_bodies(shard.to_bytes())
    stored = unpack_state(bytes(bodies["thresholds"]))
    frames = {name: sorted(frame.rows(), key=str) for name, frame in stored.frames.items()}
    return bytes(bodies["rest"]), stored.meta, frames


def packed_blocks(entries: list[bytes]) -> bytes:
    """Return blocks as one file: each after its size, u32 little-endian."""
    return b"".join(struct.pack("<I", len(entry)) + entry for entry in entries)


def read_blocks(packed: bytes) -> list[bytes]:
    found = []
    while packed:
        (size,) = struct.unpack_from("<I", packed)
        found.append(packed[4 : 4 + size])
        packed = packed[4 + size :]
    return found


def test_a_state_of_the_first_release_restores_and_goes_on() -> None:
    restored = RulesChain(
        policy=POLICY,
        is_restarted=True,
        wholes={0: WHOLE.read_bytes()},
        entries={0: read_blocks(BLOCKS.read_bytes())},
    )
    kept = JournaledShard.restored(0, restored.wholes[0], restored.entries[0], rules_steps(POLICY))
    story = half_told_story()
    assert contents(kept.shard) == contents(story.shards[0].shard)
    events = rest_of(restored)
    assert events == rest_of(story)
    assert [(e["subject"], e["status"], e["seq"], e["reason"]) for e in events] == [
        ("device/d0", "resolved", 2, None),
        ("device/d1", "firing", 2, "mute_ended"),
    ]
    assert {e["tenant_id"] for e in events} == {TENANT}


def test_state_of_an_unknown_version_is_refused() -> None:
    bodies = dict(split_bodies(RulesShard().to_bytes()))
    packed = join_bodies(bodies | {"rest": pack_state(99, {}, {})})
    with pytest.raises(StateLayoutError, match="version 99"):
        RulesShard.from_bytes(packed)


@pytest.mark.parametrize("number", [0, 5, 31, 32])
def test_a_whole_is_written_when_the_blocks_outweigh_it_or_are_many(number: int) -> None:
    kept = JournaledShard(number, rules_steps(POLICY), RulesShard(), whole_size_bytes=1_000)
    kept.size_bytes = 1_001
    assert kept.is_whole_due
    kept.size_bytes, kept.block_count = 1_000, 32
    assert not kept.is_whole_due
    kept.block_count = BLOCKS_MAX_COUNT
    assert kept.is_whole_due
    size = len(kept.whole())
    assert (kept.whole_size_bytes, kept.block_count, kept.size_bytes) == (size, 0, 0)
