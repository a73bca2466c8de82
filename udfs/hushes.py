"""What operators silence: mutes by scope and time, and episodes that somebody has taken on.

A mute hides and excuses nothing; an acknowledgement keeps later severities from people for four
hours. Both are remembered after they end, because who was told of a beginning decides who is told
of the end (C6, C13).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from schemas.control import Ack, Mute, Scope, control_key
from udfs.acting_spans import ActingSpan, with_later
from udfs.offline_policy import DAY_MS

MUTES_MAX_COUNT = 1_000
ACKS_MAX_COUNT = 10_000
REMEMBERED_MS = 31 * DAY_MS
ACK_TIMEOUT_MS = 4 * 3_600_000
"""After so long an acknowledged episode that gets worse is told again."""

MUTE, ACK, MAINTENANCE = "mute", "ack", "maintenance"
"""As events say what kept them from people."""


@dataclass(frozen=True)
class Subject:
    """Whom an event is about; of a tenant's own events all but the tenant are empty."""

    tenant_id: str
    device_id: str = ""
    deployment_group: str = ""
    site: str = ""

    def is_in(self, scope: Scope) -> bool:
        """Return whether a scope covers it."""
        return scope.covers(self.tenant_id, self.device_id, self.deployment_group, self.site)


@dataclass(frozen=True)
class MuteSpan(ActingSpan):
    """One mute and whom it is about."""

    scope: Scope

    def covers(self, subject: Subject, at_ms: int) -> bool:
        """Return whether it hides what happens to a subject at an instant."""
        return self.begin_ms <= at_ms < self.end_ms and subject.is_in(self.scope)


@dataclass(frozen=True)
class Hushes:
    """All mutes and acknowledgements that may still matter.

    Args:
        mutes: oldest first; of one key at most one has not ended.
        acks: when each episode was taken on.
        hidden_ends: by episode, the ends of mutes that fell into a maintenance: told to nobody.
    """

    mutes: tuple[MuteSpan, ...] = ()
    acks: Mapping[str, int] = field(default_factory=dict)
    hidden_ends: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def with_mute(self, mute: Mute, acts_ms: int) -> "Hushes":
        """Return them with a mute that takes the place of an earlier one of its key."""
        begin_ms, end_ms = max(mute.from_ms, acts_ms), max(mute.until_ms, acts_ms)
        later = MuteSpan(control_key(mute), begin_ms, end_ms, mute.scope)
        spans = with_later(self.mutes, later, acts_ms)
        kept = [span for span in spans if span.end_ms > acts_ms - REMEMBERED_MS]
        return replace(self, mutes=tuple(kept[-MUTES_MAX_COUNT:]))

    def with_ack(self, ack: Ack, acts_ms: int) -> "Hushes":
        """Return them with an episode that somebody has taken on."""
        acks = {**self.acks, ack.episode_id: acts_ms}
        excess = list(acks)[: max(0, len(acks) - ACKS_MAX_COUNT)]
        return replace(self, acks={id_: at for id_, at in acks.items() if id_ not in excess})

    def without_episode(self, episode_id: str) -> "Hushes":
        """Return them without an episode that is over."""
        if episode_id not in self.acks and episode_id not in self.hidden_ends:
            return self
        acks = {id_: at for id_, at in self.acks.items() if id_ != episode_id}
        hidden = {id_: ends for id_, ends in self.hidden_ends.items() if id_ != episode_id}
        return replace(self, acks=acks, hidden_ends=hidden)

    def with_hidden_end(self, episode_id: str, at_ms: int) -> "Hushes":
        """Return them with the end of a mute of which nobody was told."""
        ends = *self.hidden_ends.get(episode_id, ()), at_ms
        return replace(self, hidden_ends={**self.hidden_ends, episode_id: ends})

    def is_hidden_end(self, episode_id: str, at_ms: int) -> bool:
        """Return whether nobody was told as a mute ended."""
        return at_ms in self.hidden_ends.get(episode_id, ())

    def is_muted(self, subject: Subject, at_ms: int) -> bool:
        """Return whether nobody is told of what happens to a subject at an instant."""
        return any(span.covers(subject, at_ms) for span in self.mutes)

    def is_acked(self, episode_id: str, at_ms: int) -> bool:
        """Return whether somebody had taken an episode on."""
        return self.acks.get(episode_id, at_ms + 1) <= at_ms

    def is_in_hands(self, episode_id: str, at_ms: int) -> bool:
        """Return whether an episode's severity is kept from people, as somebody works on it."""
        return self.is_acked(episode_id, at_ms) and at_ms - self.acks[episode_id] < ACK_TIMEOUT_MS

    def mute_ends(self, subject: Subject, after_ms: int, before_ms: int) -> list[int]:
        """Return the instants between two, exclusive, at which a subject is muted no longer."""
        ends = {
            span.end_ms
            for span in self.mutes
            if after_ms < span.end_ms < before_ms and subject.is_in(span.scope)
        }
        return sorted(end_ms for end_ms in ends if not self.is_muted(subject, end_ms))

    def to_values(self) -> dict[str, Any]:
        """Return everything for the state's bytes."""
        mutes = [[s.key, s.scope.model_dump(), s.begin_ms, s.end_ms] for s in self.mutes]
        return {"mutes": mutes, "acks": dict(self.acks), "hidden_ends": dict(self.hidden_ends)}

    @classmethod
    def from_values(cls, stored: Mapping[str, Any]) -> "Hushes":
        """Return what `to_values` wrote."""
        mutes: Iterable[Any] = stored["mutes"]
        spans = [MuteSpan(key, begin, end, Scope(**scope)) for key, scope, begin, end in mutes]
        hidden = {id_: tuple(ends) for id_, ends in stored.get("hidden_ends", {}).items()}
        return cls(tuple(spans), stored["acks"], hidden)
