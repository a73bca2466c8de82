"""The keyed step of the aggregate job without Flink, and a restart between any two blocks."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from udfs.dedup_state import dedup_from_bytes
from udfs.duplicates import SeenState
from udfs.point_dedup import Bucket, Place
from udfs.shard_blocks import mark_part
from udfs.shards import Section, SectionKind


def restored(state: SeenState) -> SeenState:
    """Return a shard's state after it was stored and read again."""
    points = {
        Place.of_key(place.key): Bucket.from_bytes(bucket.to_bytes())
        for place, bucket in state.points.items()
    }
    return SeenState(dedup_from_bytes(state.sequences.to_bytes()), points)


@dataclass
class Shards:
    """What all shards have seen."""

    states: dict[int, SeenState] = field(default_factory=dict)

    def judged(self, sections: Iterable[Section]) -> list[Section]:
        """Return the sections as the keyed operator sends them on."""
        return [
            self._marked(section) if section.kind is SectionKind.BATCHES else section
            for section in sections
        ]

    def restart(self) -> None:
        """Store everything and read it again."""
        self.states = {shard: restored(state) for shard, state in self.states.items()}

    def _marked(self, section: Section) -> Section:
        state = self.states.get(section.shard, SeenState.empty())
        step, payload = mark_part(state, section.payload)
        self.states[section.shard] = step.state
        return replace(section, payload=payload)
