"""The result rows of a job, as both Flink APIs name their types.

(topic, key, value, headers, timestamp in UTC ms or null for now)
"""

from typing import Any

from pyflink.common import Types
from pyflink.table import DataTypes, Schema


def result_type() -> Any:
    """Return the row's type for the DataStream API."""
    some_bytes = Types.PRIMITIVE_ARRAY(Types.BYTE())
    return Types.ROW_NAMED(
        ["topic", "k", "v", "headers", "timestamp_ms"],
        [
            Types.STRING(),
            some_bytes,
            some_bytes,
            Types.MAP(Types.STRING(), some_bytes),
            Types.LONG(),
        ],
    )


def result_schema() -> Schema:
    """Return the row's type for the Table API."""
    return (
        Schema.new_builder()
        .column("topic", DataTypes.STRING().not_null())
        .column("k", DataTypes.BYTES())
        .column("v", DataTypes.BYTES())
        .column("headers", DataTypes.MAP(DataTypes.STRING(), DataTypes.BYTES()))
        .column("timestamp_ms", DataTypes.BIGINT())
        .build()
    )
