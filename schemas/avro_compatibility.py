"""Whether a reader's Avro schema reads what a writer's wrote, by Avro's own library.

For the check of a changed schema, not for the running system: the library is installed for
development.
"""

import json
from collections.abc import Iterator

from avro.compatibility import (
    ReaderWriterCompatibilityChecker,
    SchemaCompatibilityResult,
    SchemaCompatibilityType,
)
from avro.errors import SchemaParseException
from avro.schema import ArraySchema, MapSchema, RecordSchema, UnionSchema, parse
from avro.schema import Schema as AvroSchema

from schemas.records import Schema


def schema_fault(schema: Schema) -> str | None:
    """Return why this is no Avro schema at all; None when it is one.

    >>> schema_fault({"type": "record", "name": "R", "fields": [{"name": "a", "type": "intt"}]})
    'Type property "intt" not a valid Avro schema: Could not make an Avro Schema object from intt'
    """
    try:
        parse(json.dumps(schema))
    except SchemaParseException as error:
        return " ".join(str(error).split())
    return None


def unreadable_fields(reader: Schema, writer: Schema) -> list[tuple[str, str]]:
    """Return what the reader cannot read of the writer's data: (path of the field, why).

    The path is dotted, `points.value`; it is empty when the record itself is at fault.

    >>> old = {"type": "record", "name": "R", "fields": [{"name": "a", "type": "long"}]}
    >>> new = {"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}]}
    >>> unreadable_fields(new, old)
    [('a', 'reader type: int not compatible with writer type: long')]
    >>> unreadable_fields(old, new)
    []
    """
    wanted, written = parse(json.dumps(reader)), parse(json.dumps(writer))
    verdict = _verdict(wanted, written)
    if verdict.compatibility is not SchemaCompatibilityType.incompatible:
        return []
    # The library loses its place inside unions, so the field is found by asking field by field.
    found = list(_unreadable(wanted, written, ""))
    return found or [("", _words(verdict))]


def _verdict(reader: AvroSchema, writer: AvroSchema) -> SchemaCompatibilityResult:
    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]  # not annotated
    return checker.get_compatibility(reader, writer)


def _words(verdict: SchemaCompatibilityResult) -> str:
    return ", ".join(sorted(verdict.messages))


def _unreadable(reader: AvroSchema, writer: AvroSchema, path: str) -> Iterator[tuple[str, str]]:
    if not isinstance(reader, RecordSchema) or not isinstance(writer, RecordSchema):
        return
    for field in reader.fields:
        place = f"{path}{field.name}"
        written = writer.fields_dict.get(field.name)
        if written is None:
            if not field.has_default:
                yield place, "the writer does not have it and the reader has no default"
            continue
        verdict = _verdict(field.type, written.type)
        if verdict.compatibility is SchemaCompatibilityType.incompatible:
            inner = list(_unreadable(_item(field.type), _item(written.type), f"{place}."))
            yield from inner or [(place, _words(verdict))]


def _item(schema: AvroSchema) -> AvroSchema:
    """Return what an array, a map or a nullable type is about."""
    if isinstance(schema, ArraySchema):
        return _item(schema.items)
    if isinstance(schema, MapSchema):
        return _item(schema.values)
    if isinstance(schema, UnionSchema):
        others = [branch for branch in schema.schemas if branch.type != "null"]
        return _item(others[0]) if len(others) == 1 else schema
    return schema
