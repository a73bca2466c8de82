"""What somebody changed in a table is told by column and type."""

import pytest

from sinks.table_columns import column_faults, made_types, types_of


def columns(**changes):
    found = {"topic": "String", "partition": "Int32", "more": "Int8"} | changes
    return [("t", column, kind) for column, kind in found.items() if kind is not None]


MADE = {"t": {"topic": "LowCardinality(String)", "partition": "Int32"}}


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, None),
        ({"topic": "LowCardinality(String)"}, None),
        ({"partition": "Int8"}, "t.partition is Int8 and was made as Int32"),
        ({"topic": "FixedString(4)"}, "t.topic is FixedString(4)"),
        ({"partition": None}, "t has no column partition"),
    ],
)
def test_only_what_stores_other_values_is_a_fault(changes, fault):
    faults = column_faults(MADE, ["t"], columns(**changes))
    assert len(faults) == (fault is not None)
    assert fault is None or faults[0].startswith(fault)


def test_every_table_of_the_migrations_has_its_load_batch():
    loaded = {"windows", "windows_1h", "windows_1d", "windows_landing", "alert_events", "accounts"}
    assert loaded <= {table for table, types in made_types().items() if "load_batch" in types}
    assert types_of([]) == {}
