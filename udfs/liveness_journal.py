"""A shard of liveness at work: kept as a whole now and then, and every block since.

A whole of 6,250 devices is 500 KB, what a block has for it an eighth of that. See `shard_journal`.
Each block is kept with the policy that it was judged by: other settings after a restart count for
what comes then, and must not judge again what was told before.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from udfs.frame_bytes import frame_body, join_bodies, split_bodies
from udfs.liveness import LivenessBlock, LivenessShard, Step, on_block, on_end
from udfs.offline_policy import FleetKind, OfflinePolicy
from udfs.shard_journal import ShardSteps

POLICY = "policy"
"""The frame of a kept block that is not the block's own."""


@dataclass
class LivingShard:
    """A shard's state as it stands."""

    state: LivenessShard

    def take(self, block: LivenessBlock, policy: OfflinePolicy) -> Step:
        """Apply a block."""
        return self._stepped(on_block(self.state, block, policy))

    def end(self, policy: OfflinePolicy) -> Step:
        """Settle the last instant of a log that has ended."""
        return self._stepped(on_end(self.state, policy))

    def _stepped(self, step: Step) -> Step:
        self.state = step.state
        return step


class LivenessJournal:
    """What the job does with shards and their blocks.

    Args:
        policy: by which blocks are judged from now on.
    """

    def __init__(self, policy: OfflinePolicy) -> None:
        self._policy = policy
        self._text = _policy_text(policy)
        self._body = frame_body(pl.DataFrame({"text": [self._text]}))

    @property
    def steps(self) -> ShardSteps[LivingShard, Step]:
        """Return how shards are made, kept and stepped; the wall clock decides nothing."""
        return ShardSteps(
            lambda number: LivingShard(LivenessShard.empty(number)),
            lambda packed: LivingShard(LivenessShard.from_bytes(packed)),
            lambda living: living.state.to_bytes(),
            self._apply,
        )

    def judged(self, payload: bytes) -> bytes:
        """Return a block's frames with the policy that judges them."""
        return join_bodies({**split_bodies(payload), POLICY: self._body})

    def _apply(self, living: LivingShard, frames: Mapping[str, pl.DataFrame], _now_ms: int) -> Step:
        text = frames[POLICY].item()
        policy = self._policy if text == self._text else _policy_of(text)
        block = {name: frame for name, frame in frames.items() if name != POLICY}
        return living.take(LivenessBlock(**block), policy)


def _policy_text(policy: OfflinePolicy) -> str:
    return json.dumps(asdict(policy))


def _policy_of(text: str) -> OfflinePolicy:
    said: dict[str, Any] = json.loads(text)
    lists = {name: tuple(value) for name, value in said.items() if isinstance(value, list)}
    kinds = {"fleet_kinds": FleetKind(said["fleet_kinds"])}
    return OfflinePolicy(**said | lists | kinds)
