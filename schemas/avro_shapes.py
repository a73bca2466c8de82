"""What we demand of a writer's Avro schema, and the form of it that the block reader gets.

A schema comes from the network, so it is vetted once before any datum is decoded with it: no
recursion (it would exhaust the stack), no array items of zero bytes (five bytes on the wire could
announce a billion of them), bounded depth and width.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from schemas.errors import Reason, Rejected

SCHEMA_MAX_DEPTH = 32
SCHEMA_MAX_FIELDS = 200

NO_DEFAULT = object()

PRIMITIVES: dict[str, pl.DataType] = {
    "boolean": pl.Boolean(),
    "int": pl.Int32(),
    "long": pl.Int64(),
    "float": pl.Float32(),
    "double": pl.Float64(),
    "bytes": pl.Binary(),
    "string": pl.String(),
}


@dataclass(frozen=True)
class FieldShape:
    """One field as the reader wants it: its column type and its default."""

    name: str
    dtype: pl.DataType
    default: Any = NO_DEFAULT


@dataclass(frozen=True)
class RecordShape:
    """A record as two flat tables: its own fields, and the fields of its one array of records."""

    fields: tuple[FieldShape, ...]
    items_name: str | None
    item_fields: tuple[FieldShape, ...]


def plain_schema(schema: Any) -> Any:
    """Return a vetted schema without names to look up, logical types, docs, defaults or maps.

    A `map<T>` has the same bytes as an `array<record{key, value: T}>`, and only the latter is
    known to the block reader. Times become plain integers, UTC ms.

    Raises:
        Rejected: the schema is recursive, too deep, too wide, or has zero-byte array items.
    """
    plain = _Plainer().plain(schema, "", 0)
    if not (isinstance(plain, dict) and plain["type"] == "record"):
        raise Rejected(Reason.SCHEMA_REFUSED, "the schema is not a record")
    return plain


class _Plainer:
    """One walk over a schema: remembers named types, counts fields, numbers the records."""

    def __init__(self) -> None:
        self.named: dict[str, Any] = {}
        self.open_names: list[str] = []
        self.field_count = 0
        self.record_count = 0

    def plain(self, node: Any, namespace: str, depth: int) -> Any:
        if depth > SCHEMA_MAX_DEPTH:
            raise Rejected(Reason.SCHEMA_REFUSED, f"deeper than {SCHEMA_MAX_DEPTH}")
        if isinstance(node, str):
            return node if node in PRIMITIVES or node == "null" else self.look_up(node, namespace)
        if isinstance(node, list):
            return [self.plain(branch, namespace, depth + 1) for branch in node]
        if isinstance(node, dict):
            return self.plain_complex(node, namespace, depth)
        raise Rejected(Reason.SCHEMA_REFUSED, "a type is neither a name, a union nor an object")

    def plain_complex(self, node: dict[str, Any], namespace: str, depth: int) -> Any:
        kind = node.get("type")
        if kind in {"record", "fixed", "enum"}:
            return self.plain_named(node, namespace, depth)
        if kind == "array":
            return self.plain_array(self.plain(node.get("items"), namespace, depth + 1))
        if kind == "map":
            value = self.plain(node.get("values"), namespace, depth + 1)
            entry = [{"name": "key", "type": "string"}, {"name": "value", "type": value}]
            return {"type": "array", "items": self.record(entry)}
        return self.plain(kind, namespace, depth + 1)  # {"type": "long", "logicalType": ...}

    def plain_named(self, node: dict[str, Any], namespace: str, depth: int) -> Any:
        name, namespace = _full_name(node, namespace)
        self.open_names.append(name)
        if node["type"] == "record":
            plain = self.record(list(self.plain_fields(node, namespace, depth)))
        elif node["type"] == "fixed":
            plain = {"type": "fixed", "name": f"F{len(self.named)}", "size": node.get("size")}
        else:
            symbols = node.get("symbols")
            plain = {"type": "enum", "name": f"E{len(self.named)}", "symbols": symbols}
        self.open_names.pop()
        self.named[name] = plain
        return plain

    def plain_fields(
        self, node: dict[str, Any], namespace: str, depth: int
    ) -> Iterator[dict[str, Any]]:
        for field in node.get("fields", ()):
            self.field_count += 1
            if self.field_count > SCHEMA_MAX_FIELDS:
                raise Rejected(Reason.SCHEMA_REFUSED, f"more than {SCHEMA_MAX_FIELDS} fields")
            yield {"name": field["name"], "type": self.plain(field["type"], namespace, depth + 1)}

    def plain_array(self, items: Any) -> Any:
        if _least_bytes(items) == 0:
            raise Rejected(Reason.SCHEMA_REFUSED, "array items may take zero bytes")
        return {"type": "array", "items": items}

    def record(self, fields: list[dict[str, Any]]) -> dict[str, Any]:
        self.record_count += 1
        return {"type": "record", "name": f"R{self.record_count}", "fields": fields}

    def look_up(self, name: Any, namespace: str) -> Any:
        full = name if "." in str(name) or not namespace else f"{namespace}.{name}"
        if full in self.open_names:
            raise Rejected(Reason.SCHEMA_REFUSED, "the schema is recursive")
        if full not in self.named:
            raise Rejected(Reason.SCHEMA_REFUSED, "a named type is not defined")
        return self.named[full]


def _full_name(node: dict[str, Any], namespace: str) -> tuple[str, str]:
    name = str(node.get("name"))
    if "." in name:
        return name, name.rpartition(".")[0]
    namespace = node.get("namespace", namespace)
    return (f"{namespace}.{name}" if namespace else name), namespace


def _least_bytes(plain: Any) -> int:
    """Return a lower bound of a datum's size: 0 means that it can be free."""
    if plain == "null":
        return 0
    if isinstance(plain, dict) and plain["type"] == "record":
        return sum(_least_bytes(field["type"]) for field in plain["fields"])
    if isinstance(plain, dict) and plain["type"] == "fixed":
        return int(plain["size"] or 0)
    return 1


def is_block_readable(plain: Any) -> bool:
    """Tell whether the block reader knows every type; others go record by record.

    Polars reads unions of null and one other type only.
    """
    if isinstance(plain, list):
        others = [branch for branch in plain if branch != "null"]
        return len(plain) == 2 and len(others) == 1 and is_block_readable(others[0])  # noqa: PLR2004
    if isinstance(plain, str):
        return plain in PRIMITIVES
    if plain["type"] == "fixed":
        return True
    if plain["type"] == "record":
        return bool(plain["fields"]) and all(
            is_block_readable(field["type"]) for field in plain["fields"]
        )
    return plain["type"] == "array" and is_block_readable(plain["items"])


def record_shape(schema: Any) -> RecordShape:
    """Return how the reader wants a record: flat columns, and one array of records apart."""
    plain = plain_schema(schema)
    defaults = {f["name"]: f["default"] for f in schema["fields"] if "default" in f}
    items = next((f for f in plain["fields"] if _is_array_of_records(f["type"])), None)
    fields = tuple(
        FieldShape(f["name"], column_type(f["type"]), defaults.get(f["name"], NO_DEFAULT))
        for f in plain["fields"]
        if f is not items
    )
    if items is None:
        return RecordShape(fields, None, ())
    source = next(f for f in schema["fields"] if f["name"] == items["name"])["type"]["items"]
    item_defaults = {f["name"]: f["default"] for f in source["fields"] if "default" in f}
    item_fields = tuple(
        FieldShape(f["name"], column_type(f["type"]), item_defaults.get(f["name"], NO_DEFAULT))
        for f in items["type"]["items"]["fields"]
    )
    return RecordShape(fields, items["name"], item_fields)


def _is_array_of_records(plain: Any) -> bool:
    # A rewritten map is an array of records too, but of those named key and value.
    return (
        isinstance(plain, dict)
        and plain["type"] == "array"
        and isinstance(plain["items"], dict)
        and plain["items"]["type"] == "record"
        and [field["name"] for field in plain["items"]["fields"]] != ["key", "value"]
    )


def column_type(plain: Any) -> pl.DataType:
    """Return the Polars type of a plain Avro type; a union with null is its other type."""
    if isinstance(plain, list):
        return column_type(next(branch for branch in plain if branch != "null"))
    if isinstance(plain, str):
        return PRIMITIVES[plain]
    if plain["type"] == "record":
        return pl.Struct({f["name"]: column_type(f["type"]) for f in plain["fields"]})
    if plain["type"] == "array":
        return pl.List(column_type(plain["items"]))
    return pl.Binary() if plain["type"] == "fixed" else pl.String()
