"""What we demand of a writer's Avro schema, and the form of it that the block reader gets.

A schema comes from the network, so it is vetted once before any datum is decoded with it: no
recursion (it would exhaust the stack), no array items of zero bytes (five bytes on the wire could
announce a billion of them), bounded depth, width and fixed sizes (the reader allocates a fixed
before it looks for its bytes).
"""

import re
from collections.abc import Iterator
from typing import Any

from schemas.errors import Reason, Rejected

SCHEMA_MAX_DEPTH = 32
SCHEMA_MAX_FIELDS = 200
FIXED_MAX_BYTES = 4096
ENUM_MAX_SYMBOLS = 1000

PRIMITIVE_NAMES = frozenset({"boolean", "int", "long", "float", "double", "bytes", "string"})
FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

PER_MS = {"timestamp-millis": 1, "timestamp-micros": 1_000, "timestamp-nanos": 1_000_000}
"""Units of time by Avro's logical type: how many make a millisecond."""


def plain_schema(schema: Any) -> Any:
    """Return a vetted schema without names to look up, logical types, docs, defaults or maps.

    A `map<T>` has the same bytes as an `array<record{key, value: T}>`, and only the latter is
    known to the block reader. Times become plain integers; the field says in `per_ms` how many of
    them make a millisecond.

    Raises:
        Rejected: the schema is malformed, recursive, too deep, too wide, or has zero-byte array
            items.
    """
    plain = _Plainer().plain(schema, "", 0)
    if not (isinstance(plain, dict) and plain["type"] == "record"):
        raise _refused("the schema is not a record")
    return plain


def _refused(detail: str) -> Rejected:
    return Rejected(Reason.SCHEMA_REFUSED, detail)


class _Plainer:
    """One walk over a schema: remembers named types, counts fields, numbers what it names."""

    def __init__(self) -> None:
        self.named: dict[str, tuple[dict[str, Any], str]] = {}
        self.open_names: list[str] = []
        self.field_count = 0
        self.name_count = 0

    def plain(self, node: Any, namespace: str, depth: int) -> Any:
        if depth > SCHEMA_MAX_DEPTH:
            raise _refused(f"deeper than {SCHEMA_MAX_DEPTH}")
        if isinstance(node, str):
            is_own = node in PRIMITIVE_NAMES or node == "null"
            return node if is_own else self.look_up(node, namespace, depth)
        if isinstance(node, list):
            return self.plain_union([self.plain(branch, namespace, depth + 1) for branch in node])
        if isinstance(node, dict):
            return self.plain_complex(node, namespace, depth)
        raise _refused("a type is neither a name, a union nor an object")

    def plain_complex(self, node: dict[str, Any], namespace: str, depth: int) -> Any:
        kind = node.get("type")
        if kind in ("record", "fixed", "enum"):
            return self.define(node, namespace, depth)
        if kind == "array":
            return self.plain_array(self.plain(node.get("items"), namespace, depth + 1))
        if kind == "map":
            value = self.plain(node.get("values"), namespace, depth + 1)
            entry = [{"name": "key", "type": "string"}, {"name": "value", "type": value}]
            return {"type": "array", "items": self.record(entry)}
        return self.plain(kind, namespace, depth + 1)  # {"type": "long", "logicalType": ...}

    def define(self, node: dict[str, Any], namespace: str, depth: int) -> Any:
        name, inner_namespace = _full_name(node, namespace)
        known, _ = self.named.get(name, (node, ""))
        if known is not node:  # the same node comes again when a type around it is used again
            raise _refused("a named type is defined twice")
        self.named[name] = (node, inner_namespace)
        return self.plain_named(name, depth)

    def look_up(self, name: str, namespace: str, depth: int) -> Any:
        full = name if "." in name or not namespace else f"{namespace}.{name}"
        if full in self.open_names:
            raise _refused("the schema is recursive")
        if full not in self.named:
            raise _refused("a named type is not defined")
        # Written out anew: every use counts its depth and fields, and gets a name of its own.
        return self.plain_named(full, depth)

    def plain_named(self, name: str, depth: int) -> Any:
        node, namespace = self.named[name]
        if node["type"] == "record":
            self.open_names.append(name)
            fields = list(self.plain_fields(node, namespace, depth))
            self.open_names.pop()
            return self.record(fields)
        if node["type"] == "fixed":
            return self.fixed(node.get("size"))
        return self.enum(node.get("symbols"))

    def plain_fields(
        self, node: dict[str, Any], namespace: str, depth: int
    ) -> Iterator[dict[str, Any]]:
        seen = set()
        for field in _listed_fields(node):
            self.field_count += 1
            if self.field_count > SCHEMA_MAX_FIELDS:
                raise _refused(f"more than {SCHEMA_MAX_FIELDS} fields")
            name = field["name"]
            if name in seen or not FIELD_NAME.fullmatch(name):
                raise _refused("a field's name is taken or not a name")
            seen.add(name)
            kind = field.get("type")
            plain = {"name": name, "type": self.plain(kind, namespace, depth + 1)}
            yield plain | {"per_ms": per_ms} if (per_ms := _per_ms(kind)) else plain

    def plain_union(self, branches: list[Any]) -> Any:
        if any(isinstance(branch, list) for branch in branches):
            raise _refused("a union is in a union")
        return branches

    def plain_array(self, items: Any) -> Any:
        if least_bytes(items) == 0:
            raise _refused("array items may take zero bytes")
        return {"type": "array", "items": items}

    def record(self, fields: list[dict[str, Any]]) -> dict[str, Any]:
        return {"type": "record", "name": self.new_name(), "fields": fields}

    def fixed(self, size: Any) -> dict[str, Any]:
        if type(size) is not int or not 1 <= size <= FIXED_MAX_BYTES:
            raise _refused(f"a fixed is not of 1 to {FIXED_MAX_BYTES} bytes")
        return {"type": "fixed", "name": self.new_name(), "size": size}

    def enum(self, symbols: Any) -> dict[str, Any]:
        is_listed = isinstance(symbols, list) and all(isinstance(text, str) for text in symbols)
        if not is_listed or not 1 <= len(set(symbols)) == len(symbols) <= ENUM_MAX_SYMBOLS:
            raise _refused(f"an enum has not 1 to {ENUM_MAX_SYMBOLS} different symbols")
        return {"type": "enum", "name": self.new_name(), "symbols": symbols}

    def new_name(self) -> str:
        self.name_count += 1
        return f"R{self.name_count}"


def _full_name(node: dict[str, Any], namespace: str) -> tuple[str, str]:
    name = node.get("name")
    inner_namespace = node.get("namespace", namespace)
    if not isinstance(name, str) or not isinstance(inner_namespace, str):
        raise _refused("a named type has no name")
    if "." in name:
        return name, name.rpartition(".")[0]
    return (f"{inner_namespace}.{name}" if inner_namespace else name), inner_namespace


def _listed_fields(node: dict[str, Any]) -> list[dict[str, Any]]:
    fields = node.get("fields")
    if not isinstance(fields, list):
        raise _refused("a record has no list of fields")
    if not all(isinstance(field, dict) and isinstance(field.get("name"), str) for field in fields):
        raise _refused("a field has no name")
    return fields


def least_bytes(plain: Any) -> int:
    """Return a lower bound of a datum's size: 0 means that it can be free."""
    if plain == "null":
        return 0
    if isinstance(plain, dict) and plain["type"] == "record":
        return sum(least_bytes(field["type"]) for field in plain["fields"])
    return 1


def _per_ms(kind: Any) -> int | None:
    """Return how many of a field's units make a millisecond; None when it is no time.

    >>> _per_ms(["null", {"type": "long", "logicalType": "timestamp-micros"}])
    1000
    """
    branches = kind if isinstance(kind, list) else [kind]
    marks = [branch.get("logicalType") for branch in branches if isinstance(branch, dict)]
    return next((PER_MS[m] for m in marks if isinstance(m, str) and m in PER_MS), None)


def is_block_readable(plain: Any) -> bool:
    """Tell whether the block reader knows every type, in its widened form.

    Polars reads unions of null and one other type only, and no field of type null.
    """
    if isinstance(plain, list):
        return is_nullable(plain) and is_block_readable(other_branch(plain))
    if isinstance(plain, str):
        return plain in PRIMITIVE_NAMES
    if plain["type"] == "record":
        return bool(plain["fields"]) and all(
            is_block_readable(field["type"]) for field in plain["fields"]
        )
    return plain["type"] != "array" or is_block_readable(plain["items"])


def is_nullable(plain: Any) -> bool:
    """Tell whether a plain type is a union of null and one other type."""
    return isinstance(plain, list) and len(plain) == 2 and plain.count("null") == 1  # noqa: PLR2004 - a pair


def other_branch(plain: Any) -> Any:
    """Return the type beside null in a nullable union; any other type is itself.

    >>> other_branch(["null", "long"]), other_branch("long")
    ('long', 'long')
    """
    if is_nullable(plain):
        return next(branch for branch in plain if branch != "null")
    return plain
