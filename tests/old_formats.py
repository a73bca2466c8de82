"""Messages of old firmware, and blocks of them, for tests."""

import io
from typing import Any

import fastavro
import numpy as np
import orjson

from schemas.codec import DecodedBlock
from schemas.old_firmware import Arrivals, decode_firmware
from schemas.records import Schema, wire_header
from tests.schema_versions import schema_of_id
from tests.strategies import NOON_MS, Record

KEY = b"t/d"
OLD_SCHEMA_ID = 40

OLD_SCHEMA: Schema = {
    "type": "record",
    "name": "Metrics",
    "fields": [
        {
            "name": "metrics",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "Metric",
                    "fields": [
                        {"name": "name", "type": "string"},
                        {"name": "value", "type": "double"},
                        {"name": "tags", "type": ["null", {"type": "map", "values": "string"}]},
                        {"name": "timestamp", "type": ["null", "double"]},
                    ],
                },
            },
        }
    ],
}


def json_message(*metrics: Record, **more: Any) -> bytes:
    return orjson.dumps({"metrics": metrics} | more)


def avro_message(
    *metrics: Record, schema: Schema = OLD_SCHEMA, schema_id: int = OLD_SCHEMA_ID
) -> bytes:
    out = io.BytesIO()
    out.write(wire_header(schema_id))
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), {"metrics": metrics})
    return out.getvalue()


def with_field(name: str, type_: Any) -> Schema:
    """Return the old schema with another type of one of the metric's fields; None removes it."""
    (metrics,) = OLD_SCHEMA["fields"]
    metric = metrics["type"]["items"]
    fields = [field for field in metric["fields"] if field["name"] != name]
    if type_ is not None:
        fields.append({"name": name, "type": type_})
    items = metric | {"fields": fields}
    return OLD_SCHEMA | {"fields": [metrics | {"type": metrics["type"] | {"items": items}}]}


def decode_old(
    values: list[bytes | None],
    keys: list[bytes | None] | None = None,
    tenants: list[str | None] | None = None,
    schema: Schema = OLD_SCHEMA,
) -> DecodedBlock:
    """Decode values, appended a second apart from noon, all of one device unless told."""
    arrivals = Arrivals(
        keys=keys if keys is not None else [KEY] * len(values),
        tenants=tenants if tenants is not None else [None] * len(values),
        append_time_ms=NOON_MS + 1000 * np.arange(len(values), dtype=np.int64),
    )
    return decode_firmware(
        values, arrivals, lambda id_: schema if id_ == OLD_SCHEMA_ID else schema_of_id(id_)
    )
