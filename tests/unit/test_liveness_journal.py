"""Law L2 for a shard that is kept as a whole and the blocks since, and restored from both."""

import random
from dataclasses import replace
from itertools import pairwise

from hypothesis import HealthCheck, example, given, note, settings
from hypothesis import strategies as st

from jobs.backtest_blocks import BlockWriter, numbered_lines
from tests.unit.test_liveness_laws import SEEDS, random_log
from udfs.frame_bytes import pack_frames, unpack_frames
from udfs.liveness import LivenessBlock, LivenessShard, on_block, on_end
from udfs.liveness_journal import LivenessJournal
from udfs.offline_policy import FleetKind, OfflinePolicy
from udfs.shard_journal import JournaledShard, entry_of

POLICY = OfflinePolicy()
OTHER = replace(POLICY, warning_after_ms=120_000, fleet_kinds=FleetKind.TENANT | FleetKind.SITE)


def blocks_of(seed: int, chance: random.Random) -> list[bytes]:
    """Return a random log of one shard, cut anywhere into 30 blocks."""
    numbered = list(numbered_lines(random_log(seed, partition_count=2)))
    cuts = sorted(chance.sample(range(1, len(numbered)), 29))
    writer = BlockWriter(1, POLICY.blind_after_ms)
    spans = pairwise([0, *cuts, len(numbered)])
    return [pack_frames(writer.write(numbered[a:b])[0].__dict__) for a, b in spans]


@given(SEEDS, st.integers(0, 29))
@example(seed=215, changed_at=3)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_shard_restored_from_its_blocks_tells_what_it_would_have_told(
    seed: int, changed_at: int
) -> None:
    """The settings change at a restart, at block `changed_at`; other restarts change nothing."""
    note(f"{seed=}")
    chance = random.Random(seed)
    journal, plain, whole, entries = LivenessJournal(POLICY), LivenessShard.empty(0), None, []
    kept = JournaledShard.restored(0, None, [], journal.steps)
    for number, payload in enumerate(blocks_of(seed, chance)):
        policy = POLICY if number < changed_at else OTHER
        if chance.random() < 0.3 or number == changed_at:
            journal = LivenessJournal(policy)
            kept = JournaledShard.restored(0, whole, entries, journal.steps)
        entry = entry_of(journal.judged(payload), 0)
        step = on_block(plain, LivenessBlock(**unpack_frames(payload)), policy)
        plain, told = step.state, kept.apply(entry)
        assert told.transitions.rows() == step.transitions.rows()
        assert told.clock_ms == step.clock_ms
        if kept.is_whole_due and chance.random() < 0.5:
            whole, entries = kept.whole(), []
        else:
            entries.append(entry)
    assert kept.shard.end(OTHER).transitions.rows() == on_end(plain, OTHER).transitions.rows()
