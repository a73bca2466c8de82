"""Splits a container into one element per shard."""

from collections.abc import Iterator
from typing import Any, TypeAlias

from pyflink.common import Types
from pyflink.datastream import FlatMapFunction

from udfs.shards import EVERY_SHARD, NO_SHARD, split_sections

Element: TypeAlias = tuple[int, int, bytes]
"""(shard, kind, payload) of a section."""


def element_type() -> Any:
    """Return the Flink type of (shard, kind, payload).

    Built on call: a type that lives at module level caches Java objects and breaks pickling.
    """
    return Types.TUPLE([Types.INT(), Types.INT(), Types.PRIMITIVE_ARRAY(Types.BYTE())])


def split_container(row: Any) -> Iterator[Element]:
    """Yield (shard, section kind, payload) for each section of a container."""
    for section in split_sections(bytes(row[0])):
        yield section.shard, int(section.kind), section.payload


class SpreadContainer(FlatMapFunction):
    """Splits a container that has sections for every shard: each shard gets a copy.

    Args:
        shard_count: fixed for the life of the state.
    """

    def __init__(self, shard_count: int) -> None:
        self.shard_count = shard_count

    def flat_map(self, value: Any) -> Iterator[Element]:
        """Yield (shard, section kind, payload), as often as there are shards where it is meant."""
        for shard, kind, payload in split_container(value):
            shards = range(self.shard_count) if shard == EVERY_SHARD else (shard,)
            for each in shards:
                yield each, kind, payload


def is_for_shards(element: Element) -> bool:
    """Say whether a section belongs to a shard, and not to the job as a whole."""
    return element[0] != NO_SHARD
