"""An Avro schema as flat facts about each of its fields: what the lint compares."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from schemas.records import Schema

NO_DEFAULT = "no default"
"""Not JSON, so that no default looks like it: defaults are kept as JSON text."""

KINDS: dict[str, tuple[type, ...]] = {
    "null": (type(None),),
    "boolean": (bool,),
    "int": (int,),
    "long": (int,),
    "float": (float, int),
    "double": (float, int),
    "bytes": (str,),
    "string": (str,),
    "fixed": (str,),
    "array": (list,),
    "map": (dict,),
    "record": (dict,),
}
"""How JSON writes a default of each Avro type."""


@dataclass(frozen=True)
class FieldFacts:
    """One field of a schema, at any depth.

    Args:
        path: dotted, `points.value`; items of arrays and maps add nothing.
        branches: its types, written out; one unless it is a union.
        shape: its type as text: names of records, but neither their fields, nor symbols, nor docs.
        logical: the logical types in it, as text.
        symbols: of the enum in it; empty without.
        enum_default: the enum's own default; None without.
        default: as JSON text, or `NO_DEFAULT`.
        docs: of the field and of the named types in it.
        has_aliases: whether it or a named type in it has aliases.
    """

    path: str
    branches: tuple[Any, ...]
    shape: str
    logical: str
    symbols: frozenset[str]
    enum_default: str | None
    default: str
    docs: str
    has_aliases: bool

    @property
    def has_fitting_default(self) -> bool:
        """Return whether the default is one of the first branch; true when there is none."""
        return self.default == NO_DEFAULT or _fits(self.branches[0], json.loads(self.default))


def schema_fields(schema: Schema) -> dict[str, FieldFacts]:
    """Return the facts of every field by its path; the record itself has the empty path."""
    root = {"name": "", "type": _written_out(schema, {}, ())}
    return {facts.path: facts for facts in _walk(root, "")}


def _written_out(node: Any, named: dict[str, Any], path: tuple[str, ...]) -> Any:
    """Put the definition of a named type wherever its name is used."""
    if isinstance(node, str) and node in named:
        return named[node]
    if isinstance(node, list):
        return [_written_out(branch, named, path) for branch in node]
    if not isinstance(node, dict):
        return node
    inner = {
        key: _written_out(value, named, path) if key in ("type", "items", "values") else value
        for key, value in node.items()
    }
    if "fields" in node:
        inner["fields"] = [
            field | {"type": _written_out(field["type"], named, path)} for field in node["fields"]
        ]
    if node.get("type") in ("record", "enum", "fixed"):
        named[node["name"]] = inner
        named[f"{node.get('namespace', '')}.{node['name']}"] = inner
    return inner


def _walk(field: dict[str, Any], prefix: str) -> Iterator[FieldFacts]:
    path = f"{prefix}{field['name']}"
    nodes = list(_nodes(field["type"]))
    enum = next((node for node in nodes if node.get("type") == "enum"), {})
    declared = field["type"]
    yield FieldFacts(
        path=path,
        branches=tuple(declared) if isinstance(declared, list) else (declared,),
        shape=json.dumps(_shape(declared)),
        logical=json.dumps([each for node in nodes if (each := _logical(node))]),
        symbols=frozenset(enum.get("symbols", ())),
        enum_default=enum.get("default"),
        default=json.dumps(field["default"]) if "default" in field else NO_DEFAULT,
        docs=" ".join(node.get("doc", "") for node in (field, *nodes)),
        has_aliases=any("aliases" in node for node in (field, *nodes)),
    )
    for node in nodes:
        for inner in node.get("fields", ()):
            yield from _walk(inner, f"{path}." if path else "")


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    """Yield the objects of a type, but not those of the fields of its records."""
    if isinstance(node, list):
        for branch in node:
            yield from _nodes(branch)
    if isinstance(node, dict):
        yield node
        for key in ("type", "items", "values"):
            yield from _nodes(node.get(key))


def _logical(node: dict[str, Any]) -> dict[str, Any]:
    return {key: node[key] for key in ("logicalType", "precision", "scale") if key in node}


def _shape(node: Any) -> Any:
    if isinstance(node, list):
        return [_shape(branch) for branch in node]
    if not isinstance(node, dict):
        return node
    if isinstance(node.get("type"), dict | list):
        return _shape(node["type"])
    kept = ("type", "name", "namespace", "size")
    shape = {key: node[key] for key in kept if key in node}
    shape |= {key: _shape(node[key]) for key in ("items", "values") if key in node}
    return node["type"] if set(shape) == {"type"} else shape


def _fits(node: Any, default: Any) -> bool:
    """Tell whether a default, as JSON has it, is a value of a type."""
    if isinstance(node, list):
        return _fits(node[0], default)
    kind = node["type"] if isinstance(node, dict) else node
    if isinstance(kind, dict | list):
        return _fits(kind, default)
    if kind == "enum":
        return default in node["symbols"]
    return type(default) in KINDS[kind] and all(
        _fits(inner, part) for inner, part in _parts(kind, node, default)
    )


def _parts(kind: str, node: Any, default: Any) -> list[tuple[Any, Any]]:
    """Return the parts of a default, each with its type."""
    if kind == "array":
        return [(node["items"], item) for item in default]
    if kind == "map":
        return [(node["values"], item) for item in default.values()]
    if kind == "record":
        # A field that neither the default nor its own default fills is null, which fits no type.
        return [(f["type"], default.get(f["name"], f.get("default"))) for f in node["fields"]]
    return []
