"""Points as runs: all that windows count and nothing else, at the time that windows use."""

import math

import numpy as np
import pytest
from hypothesis import given, settings

from schemas.errors import Unavailable
from schemas.records import encode_record, schema_of
from schemas.tables import HOUR_MS
from schemas.telemetry import AHEAD_MAX_MS, EARLIEST_MS, VALUE_MAX
from schemas.topics import Topic
from sinks.messages import Message
from sinks.table_rows import rows_of
from tests.strategies import telemetry_logs

SCHEMA_ID = 7
NOON_MS = 1_790_000_100_000


def schema_of_id(_):
    return schema_of(Topic.TELEMETRY)


def message(batch, *, at_ms=NOON_MS, offset=0, key=b"t/d"):
    return Message(0, offset, at_ms, key, encode_record(Topic.TELEMETRY, batch, SCHEMA_ID))


def stored(messages, topic_tenant=None):
    """Return the points of all runs, run by run."""
    table = rows_of(Topic.TELEMETRY, messages, schema_of_id, topic_tenant).table
    firsts_ms = table["first_at"].cast("int64").to_pylist()
    return [
        (
            row["tenant_id"],
            row["device_id"],
            row["metric"],
            first_ms + after_ms,
            value,
            dict(row["tags"]),
        )
        for row, first_ms in zip(table.to_pylist(), firsts_ms, strict=True)
        for after_ms, value in zip(row["offset_ms"], row["value"], strict=True)
    ]


def in_any_order(rows):
    return sorted(rows, key=repr)


def expected(batch, append_time_ms):
    """Return the rows of a batch by plain Python."""
    for point in batch["points"]:
        at_ms = point["timestamp"]
        if at_ms > append_time_ms + AHEAD_MAX_MS or at_ms < EARLIEST_MS:
            at_ms = append_time_ms
        if math.isfinite(point["value"]) and abs(point["value"]) <= VALUE_MAX:
            tags = dict(point["tags"])
            yield (
                batch["tenant_id"],
                batch["device_id"],
                point["name"],
                at_ms,
                point["value"],
                tags,
            )


@given(telemetry_logs())
@settings(max_examples=40, deadline=None)
def test_every_point_that_windows_count_is_a_row_copies_too_and_ticks_are_not(log):
    messages = [message(entry.batch, at_ms=entry.append_time_ms) for entry in log]
    rows = [
        row
        for entry in log
        if entry.batch["tenant_id"] != "__clock__"
        for row in expected(entry.batch, entry.append_time_ms)
    ]
    assert in_any_order(stored(messages)) == in_any_order(rows)


def batch(**parts):
    point = {"name": "cpu", "value": 1.5, "timestamp": NOON_MS, "tags": {"core": "1"}}
    return {"tenant_id": "t", "device_id": "d", "sent_at": 0, "points": [point]} | parts


def test_what_cannot_be_read_or_is_of_another_tenant_is_no_row_and_no_second_dead_letter():
    messages = [
        message(batch()),
        Message(0, 1, NOON_MS, b"t/d", b"junk"),
        Message(0, 2, NOON_MS, b"t/d", None),
        message(batch(tenant_id="other"), offset=3),
    ]
    rows = rows_of(Topic.TELEMETRY, messages, schema_of_id, "t")
    assert rows.table["tenant_id"].to_pylist() == ["t"]
    assert rows.rejected == ()


def test_a_clock_that_is_wrong_is_flagged():
    wrong = [NOON_MS + AHEAD_MAX_MS + 1, EARLIEST_MS - 1]
    right = [NOON_MS + AHEAD_MAX_MS, EARLIEST_MS]
    point = batch()["points"][0]
    sent = batch(points=[point | {"timestamp": at_ms} for at_ms in wrong + right])
    table = rows_of(Topic.TELEMETRY, [message(sent)], schema_of_id).table
    found = zip(
        table["is_skewed"].to_pylist(), table["first_at"].cast("int64").to_pylist(), strict=True
    )
    assert set(found) == {(True, NOON_MS), *((False, at_ms) for at_ms in right)}
    assert [len(values) for values in table["value"].to_pylist()] in ([2, 1, 1], [1, 1, 2])


def test_old_firmware_is_stored_under_the_device_of_its_key():
    value = b'{"metrics": [{"name": "temperature_c", "value": 41.5, "timestamp": 1790000100.25}]}'
    old = Message(0, 0, NOON_MS, b"acme/cam-7", value)
    found = ("acme", "cam-7", "temperature_c", NOON_MS + 250, 41.5, {})
    assert stored([old]) == [found]


def test_an_absent_registry_is_waited_for():
    def away(_):
        raise Unavailable("registry")

    with pytest.raises(Unavailable):
        rows_of(Topic.TELEMETRY, [message(batch())], away)


def test_rows_are_those_of_their_own_batches_when_some_are_refused():
    draw = np.random.default_rng(7)
    batches = [
        batch(device_id=f"d{n}", points=[batch()["points"][0]] * int(draw.integers(4)))
        for n in range(50)
    ]
    broken = set(draw.choice(50, 20, replace=False).tolist())
    messages = [
        message(b | ({"tenant_id": "a/b"} if n in broken else {}), offset=n)
        for n, b in enumerate(batches)
    ]
    found = sorted(row[1] for row in stored(messages))
    good = [f"d{n}" for n, b in enumerate(batches) if n not in broken for _ in b["points"]]
    assert found == sorted(good)


def test_a_run_is_of_one_message_metric_set_of_tags_and_hour_and_begins_with_its_earliest_point():
    """Two hours, two metrics, two sets of tags, out of order; and the same message again."""
    hour_ms = NOON_MS // HOUR_MS * HOUR_MS

    def point(after_ms, name="cpu", tags=(("core", "1"),)):
        value = float(after_ms)
        return {"name": name, "value": value, "timestamp": hour_ms + after_ms, "tags": dict(tags)}

    points = [
        point(7), point(9, "ram", ()), point(3), point(5, tags=(("core", "2"),)), point(-1),
        point(4, "ram", ()), point(8, tags=(("core", "11"),)),
    ]  # fmt: skip
    sent = message(batch(points=points))
    table = rows_of(Topic.TELEMETRY, [sent, sent], schema_of_id).table
    runs = [
        (row["metric"], tuple(row["tags"]), row["value"], row["offset_ms"])
        for row in table.to_pylist()
    ]
    core = "core"
    once = [
        ("cpu", ((core, "1"),), [7.0, 3.0], [4, 0]),
        ("cpu", ((core, "1"),), [-1.0], [0]),
        ("cpu", ((core, "2"),), [5.0], [0]),
        ("cpu", ((core, "11"),), [8.0], [0]),
        ("ram", (), [9.0, 4.0], [5, 0]),
    ]
    assert in_any_order(runs) == in_any_order(once * 2)
    firsts_ms = table["first_at"].cast("int64").to_pylist()
    assert {hour_ms + min(values) for _, _, values, _ in runs} == set(firsts_ms)


def test_sets_of_tags_that_would_read_alike_when_joined_are_two_runs():
    tags = [{"a": "1:b"}, {"a1:": "b"}, {"a": "1", "b": ""}, {"a": "1b"}, {}]
    points = [batch()["points"][0] | {"tags": each} for each in tags]
    table = rows_of(Topic.TELEMETRY, [message(batch(points=points))], schema_of_id).table
    assert in_any_order(dict(row) for row in table["tags"].to_pylist()) == in_any_order(tags)
