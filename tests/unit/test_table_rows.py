"""Messages of each topic become the columns of its table."""

import datetime as dt

import pyarrow as pa
import pytest

from schemas.errors import Reason, Unavailable
from schemas.tables import ALERT_EVENTS, LOADED_TABLES, TABLE_OF_TOPIC
from schemas.topics import Topic
from sinks.messages import Message
from sinks.table_rows import concat_rows, rows_of, with_batch_number
from tests.loader_input import (
    START_MS,
    WindowInput,
    alert,
    device_status,
    message,
    schema_of_id,
)


def rows(topic, *messages):
    return rows_of(topic, messages, schema_of_id(topic))


@pytest.mark.parametrize("spec", LOADED_TABLES, ids=lambda spec: spec.name)
def test_no_messages_give_an_empty_table_of_the_right_columns(spec):
    table = with_batch_number(rows(spec.topic).table, 1)
    assert table.num_rows == 0
    assert table.schema.equals(spec.columns)


def test_every_delta_of_a_message_is_a_row_with_its_numbers_unchanged():
    deltas = WindowInput(seed=1)
    first, second = deltas.deltas(3), deltas.deltas(2)
    table = rows(
        Topic.WINDOWS,
        message(Topic.WINDOWS, {"rows": first}, 0),
        message(Topic.WINDOWS, {"rows": second}, 1),
    ).table
    assert table.column_names == TABLE_OF_TOPIC[Topic.WINDOWS].columns.names[:-1]
    assert table["sum_fixed"].to_pylist() == [delta["sum_fixed"] for delta in first + second]
    assert table["sum_sq_fixed"].to_pylist() == [delta["sum_sq_fixed"] for delta in first + second]
    assert table["histogram"].to_pylist() == [delta["histogram"] for delta in first + second]
    assert table["device_id"].to_pylist() == [delta["device_id"] or "" for delta in first + second]


def test_an_alert_keeps_its_times_its_labels_and_its_missing_values():
    counts = {"monitored": 10, "offline": 3, "ratio": 0.3, "sample_devices": ["d1", "d2"]}
    events = [alert(), alert(seq=2, counts=counts, labels={}, ends_at=START_MS + 1)]
    first, second = rows(
        Topic.ALERTS, *(message(Topic.ALERTS, event, offset) for offset, event in enumerate(events))
    ).table.to_pylist()
    at = dt.datetime(2026, 1, 1, 0, 5, tzinfo=dt.UTC)
    assert (first["starts_at"], first["ends_at"], first["reason"]) == (at, None, None)
    assert first["labels"] == [("tenant", "t0"), ("group", "g1")]
    assert second["labels"] == []
    assert (first["monitored_count"], first["sample_devices"]) == (None, [])
    assert (second["monitored_count"], second["offline_count"]) == (10, 3)
    assert second["sample_devices"] == ["d1", "d2"]
    assert second["ends_at"] - at == dt.timedelta(milliseconds=1 - 300_000)


def test_labels_of_joined_blocks_stay_with_their_alerts():
    blocks = [
        rows(Topic.ALERTS, message(Topic.ALERTS, alert(labels={"rule": text}))) for text in "abc"
    ]
    table = concat_rows(ALERT_EVENTS, blocks).table
    assert table["labels"].to_pylist() == [[("rule", text)] for text in "abc"]


def test_a_device_state_is_ordered_by_its_offset_and_a_tombstone_means_decommissioned():
    table = rows(
        Topic.DEVICE_STATUS,
        message(Topic.DEVICE_STATUS, device_status("d1", "warning"), offset=5),
        Message(0, 6, START_MS, b"t0/d2", None),
        message(Topic.DEVICE_STATUS, device_status("d3"), offset=9),
    ).table
    found = {row["device_id"]: (row["status"], row["status_order"]) for row in table.to_pylist()}
    assert found == {"d1": ("warning", 5), "d2": ("decommissioned", 6), "d3": ("online", 9)}


def test_a_bad_message_is_refused_alone_and_named():
    good = message(Topic.ALERTS, alert(), offset=1)
    bad = Message(0, 2, START_MS, b"k", good.value + b"x")
    found = rows(Topic.ALERTS, good, bad)
    assert found.table.num_rows == 1
    ((refused, why),) = found.rejected
    assert refused is bad
    assert why.reason is Reason.AVRO_INVALID


def test_a_registry_that_is_away_refuses_nothing():
    def away(_schema_id):
        raise Unavailable("registry")

    with pytest.raises(Unavailable):
        rows_of(Topic.ALERTS, [message(Topic.ALERTS, alert())], away)


def test_the_batch_number_is_the_last_column():
    table = with_batch_number(pa.table({"x": [1, 2]}), 9)
    assert table["load_batch"].to_pylist() == [9, 9]
