"""Avro types as Polars columns, and a writer's fields as the columns that a reader wants."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from schemas.avro_shapes import is_nullable, other_branch, plain_schema
from schemas.errors import Reason, Rejected

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

PROMOTIONS = {"int": {"long", "float", "double"}, "long": {"float", "double"}, "float": {"double"}}
"""What Avro lets a reader make of a writer's number: only wider, so that no cast can fail."""


@dataclass(frozen=True)
class FieldShape:
    """One field as the reader wants it: its plain Avro type, its default, its unit of time."""

    name: str
    plain: Any
    default: Any = NO_DEFAULT
    per_ms: int | None = None

    @property
    def dtype(self) -> pl.DataType:
        """Return the type of the field's column."""
        return column_type(self.plain)


@dataclass(frozen=True)
class RecordShape:
    """A record as two flat tables: its own fields, and the fields of its one array of records."""

    fields: tuple[FieldShape, ...]
    items_name: str | None
    item_fields: tuple[FieldShape, ...]


@dataclass(frozen=True)
class Resolution:
    """The reader's columns, out of the writer's columns of the record and of the array's items."""

    fields: list[pl.Expr]
    item_fields: list[pl.Expr]


def record_shape(schema: Any) -> RecordShape:
    """Return how the reader wants a record: flat columns, and one array of records apart."""
    plain = plain_schema(schema)
    items = next((f for f in plain["fields"] if _is_array_of_records(f["type"])), None)
    own = [field for field in plain["fields"] if field is not items]
    fields = _field_shapes(own, schema)
    if items is None:
        return RecordShape(fields, None, ())
    source = next(f for f in schema["fields"] if f["name"] == items["name"])["type"]["items"]
    return RecordShape(
        fields, items["name"], _field_shapes(items["type"]["items"]["fields"], source)
    )


def _field_shapes(plain_fields: list[Any], schema: Any) -> tuple[FieldShape, ...]:
    defaults = {f["name"]: f["default"] for f in schema["fields"] if "default" in f}
    return tuple(
        FieldShape(f["name"], f["type"], defaults.get(f["name"], NO_DEFAULT), f.get("per_ms"))
        for f in plain_fields
    )


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
    """Return the Polars type of a plain Avro type; a union with null is its other type.

    A record's fields that no column can hold are left out: see `is_column`.
    """
    if isinstance(plain, list):
        return column_type(other_branch(plain))
    if isinstance(plain, str):
        return PRIMITIVES[plain]
    if plain["type"] == "record":
        return pl.Struct({f["name"]: column_type(f["type"]) for f in columns_of(plain)})
    if plain["type"] == "array":
        return pl.List(column_type(plain["items"]))
    return pl.Binary() if plain["type"] == "fixed" else pl.String()


def columns_of(record: Any) -> list[dict[str, Any]]:
    """Return a plain record's fields that can be columns."""
    return [field for field in record["fields"] if is_column(field["type"])]


def is_column(plain: Any) -> bool:
    """Tell whether a column can hold a type: not null alone, an empty record or a wider union."""
    if isinstance(plain, list):
        return is_nullable(plain) and is_column(other_branch(plain))
    if isinstance(plain, str):
        return plain in PRIMITIVES
    if plain["type"] == "record":
        return bool(columns_of(plain))
    return plain["type"] != "array" or is_column(plain["items"])


def resolve(shape: RecordShape, writer: Any) -> Resolution:
    """Return the reader's columns from the writer's: same type, promoted, or the default.

    Args:
        shape: what the reader wants.
        writer: the writer's plain schema.

    Raises:
        Rejected: they do not resolve; known before any datum is read.
    """
    fields = _resolve_fields(shape.fields, writer)
    if shape.items_name is None:
        return Resolution(fields, [])
    array = _written(writer).get(shape.items_name)
    if array is None or not _is_array_of_records(array):
        raise Rejected(Reason.SCHEMA_REFUSED, f"it has no array of records {shape.items_name}")
    return Resolution(fields, _resolve_fields(shape.item_fields, array["items"]))


def _resolve_fields(fields: Sequence[FieldShape], writer: Any) -> list[pl.Expr]:
    written = {field["name"]: field for field in writer["fields"]}
    return [_resolve_field(shape, written.get(shape.name)) for shape in fields]


def _resolve_field(shape: FieldShape, field: Any) -> pl.Expr:
    if field is None and shape.default is NO_DEFAULT:
        raise Rejected(Reason.SCHEMA_REFUSED, f"it has no field {shape.name}, which has no default")
    if field is None:
        default = [] if isinstance(shape.default, dict) else shape.default
        return pl.lit(default, dtype=shape.dtype).alias(shape.name)
    written = field["type"]
    if is_nullable(written) and not is_nullable(shape.plain):
        raise Rejected(Reason.SCHEMA_REFUSED, f"its field {shape.name} may be null")
    value = _promoted(shape, other_branch(written))
    if shape.per_ms is None or field.get("per_ms", shape.per_ms) == shape.per_ms:
        return value
    # Down, also before 1970: a time belongs to the millisecond in which it lies.
    return value.floordiv(field["per_ms"] // shape.per_ms)


def _promoted(shape: FieldShape, found: Any) -> pl.Expr:
    value, wanted = pl.col(shape.name), other_branch(shape.plain)
    if is_column(found) and is_same_type(found, wanted):
        return value
    if isinstance(found, str) and isinstance(wanted, str) and wanted in PROMOTIONS.get(found, ()):
        return value.cast(shape.dtype)
    raise Rejected(Reason.SCHEMA_REFUSED, f"its field {shape.name} has another type")


def _written(record: Any) -> dict[str, Any]:
    return {field["name"]: field["type"] for field in record["fields"]}


def is_same_type(left: Any, right: Any) -> bool:
    """Tell whether two plain types are the same but for the names of their records.

    >>> is_same_type({"type": "fixed", "size": 4}, {"type": "fixed", "size": 8})
    False
    """
    if isinstance(left, dict) and isinstance(right, dict) and left["type"] == right["type"]:
        kind = left["type"]
        if kind == "array":
            return is_same_type(left["items"], right["items"])
        if kind == "record":
            return list(_written(left)) == list(_written(right)) and all(
                is_same_type(type_, _written(right)[name]) for name, type_ in _written(left).items()
            )
        return bool(left.get("size") == right.get("size"))
    if isinstance(left, list) and isinstance(right, list):
        return is_same_type(other_branch(left), other_branch(right))
    return bool(left == right)
