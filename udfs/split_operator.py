"""Splits a container into one element per shard."""

from collections.abc import Iterator
from typing import Any, TypeAlias

from pyflink.common import Types

from udfs.shards import NO_SHARD, split_sections

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


def is_for_shards(element: Element) -> bool:
    """Say whether a section belongs to a shard, and not to the job as a whole."""
    return element[0] != NO_SHARD
