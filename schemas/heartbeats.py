"""Which messages certainly have no points, told by their last bytes, without a decode.

    | ... | deployment_group "g7" | 0 |                          a heartbeat: no points
    | ... | name, value, timestamp, tags .. 0 | 0 |              the tags end, then the points

An array and a map end with a block of no items, so behind a point come two zeros in a row. Avro
allows a zero to be written longer (0x80 0x00). Whoever stores points need not look at the rest,
whether it can be decoded or not; a heartbeat whose last field is null ends like a point, and is
decoded like one.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from schemas.avro_shapes import plain_schema
from schemas.codec import SchemaOfId
from schemas.errors import Rejected
from schemas.records import WIRE_HEADER_BYTES, WIRE_MAGIC, Schema

POINT_ENDS = frozenset({b"\x00\x00", b"\x80\x00"})
"""The last two bytes of every message whose last point ends with an array or a map."""


HEADS_MAX_COUNT = 1_000


class Heartbeats:
    """The starts of messages whose ends tell whether they have points, as far as they are known."""

    def __init__(self) -> None:
        self._telling: set[bytes] = set()

    def learn(self, values: Iterable[bytes | None], schema_of_id: SchemaOfId) -> None:
        """Remember the starts of messages that were decoded.

        Raises:
            Unavailable: as `schema_of_id` does.
        """
        heads = {value[:WIRE_HEADER_BYTES] for value in values if value} - self._telling
        if len(self._telling) + len(heads) <= HEADS_MAX_COUNT:
            self._telling |= {head for head in heads if _is_telling(head, schema_of_id)}

    def wanted(self, values: Sequence[bytes | None]) -> list[int] | None:
        """Return the indices of the messages that may have points; None: any of them may.

        Nobody is asked for a schema.
        """
        if not {value[:WIRE_HEADER_BYTES] for value in values if value} <= self._telling:
            return None
        return [index for index, value in enumerate(values) if value and value[-2:] in POINT_ENDS]


def may_have_points(values: Sequence[bytes | None], schema_of_id: SchemaOfId) -> list[int]:
    r"""Return the indices of the messages that a decode may find points in, ascending.

    Args:
        values: as read; None is a tombstone.
        schema_of_id: of the registry.

    Raises:
        Unavailable: as `schema_of_id` does.
    """
    heads = [value[:WIRE_HEADER_BYTES] if value else b"" for value in values]
    telling = {head for head in set(heads) if _is_telling(head, schema_of_id)}
    return [
        index
        for index, (head, value) in enumerate(zip(heads, values, strict=True))
        if value is not None and (head not in telling or value[-2:] in POINT_ENDS)
    ]


def _is_telling(head: bytes, schema_of_id: SchemaOfId) -> bool:
    """Say whether the end of a message that starts like this tells that it has no points."""
    if head[:1] != WIRE_MAGIC or len(head) < WIRE_HEADER_BYTES:
        return False  # old firmware, or no message at all
    try:
        return ends_with_arrays(schema_of_id(int.from_bytes(head[1:], "big")))
    except Rejected:
        return False  # whoever decodes it says why


def ends_with_arrays(schema: Schema) -> bool:
    """Say whether a record ends with an array of records that end with an array or a map.

    Raises:
        Rejected: no message can have this schema.

    >>> tags = {"name": "tags", "type": {"type": "map", "values": "string"}}
    >>> point = {"type": "record", "name": "Point", "fields": [tags]}
    >>> points = {"name": "points", "type": {"type": "array", "items": point}}
    >>> group = {"name": "group", "type": "string"}
    >>> [ends_with_arrays({"type": "record", "name": "Batch", "fields": fields})
    ...  for fields in ([group, points], [points, group])]
    [True, False]
    """
    points = _array_at_end(plain_schema(schema))
    return points is not None and _array_at_end(points["items"]) is not None


def _array_at_end(plain: Any) -> Any:
    """Return the type of a record's last field; None when it is no array, or there is no record."""
    if not isinstance(plain, dict) or plain["type"] != "record" or not plain["fields"]:
        return None
    last = plain["fields"][-1]["type"]
    return last if isinstance(last, dict) and last["type"] == "array" else None
