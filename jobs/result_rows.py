"""The result rows of a job: (topic, key, value, headers), as both Flink APIs name their types."""

from typing import Any

from pyflink.common import Types
from pyflink.table import DataTypes, Schema


def result_type() -> Any:
    """Return the row's type for the DataStream API."""
    some_bytes = Types.PRIMITIVE_ARRAY(Types.BYTE())
    return Types.ROW_NAMED(
        ["topic", "k", "v", "headers"],
        [Types.STRING(), some_bytes, some_bytes, Types.MAP(Types.STRING(), some_bytes)],
    )


def result_schema() -> Schema:
    """Return the row's type for the Table API."""
    return (
        Schema.new_builder()
        .column("topic", DataTypes.STRING().not_null())
        .column("k", DataTypes.BYTES())
        .column("v", DataTypes.BYTES())
        .column("headers", DataTypes.MAP(DataTypes.STRING(), DataTypes.BYTES()))
        .build()
    )
