"""Messages of known shapes: the same runs as through the codec, whatever is among them."""

import random

import numpy as np
import pytest

from schemas import point_shapes
from schemas.avro_shapes import plain_schema
from schemas.heartbeats import Heartbeats, may_have_points
from schemas.point_shapes import PointShape, ShapeBook, ShapeReader
from schemas.records import encode_record, schema_of
from schemas.shaped_points import has_shapes, reader_of_text, shaped_reader
from schemas.telemetry import AHEAD_MAX_MS, EARLIEST_MS
from schemas.topics import CLOCK_TENANT_ID, Topic
from sinks.messages import Message
from sinks.point_runs import decoded_runs, run_frame
from tests.strategies import NOON_MS

SCHEMA_ID = 7
NAMES = ("cpu", "ram", "disk", "é", "a_longer_name_of_a_metric")
TAGS = ({}, {}, {}, {"core": "1"}, {"b": "", "core": "ü"})
HEAD_BYTES = 5


def schema_of_id(schema_id):
    return schema_of(Topic.TELEMETRY)


def firmware(draw):
    """Draw what a firmware sends again and again: names and tags in an order."""
    return [(draw.choice(NAMES), draw.choice(TAGS)) for _ in range(draw.choice([1, 2, 5, 12]))]


def batch_of(draw, kinds, device):
    """Draw one batch; now and then something about it is unusual."""
    is_odd = draw.random() < 0.1
    odd_times = [NOON_MS + AHEAD_MAX_MS + 1, EARLIEST_MS - 1, 0, -(2**63), 2**63 - 1]
    points = []
    for name, tags in kinds:
        value = draw.gauss(50, 20)
        time_ms = NOON_MS - draw.randrange(5_400_000)  # of two hours
        if is_odd and draw.random() < 0.3:
            value = draw.choice([float("nan"), float("inf"), -1e300, 1e12, -0.0])
        if is_odd and draw.random() < 0.3:
            time_ms = draw.choice([*odd_times, NOON_MS + AHEAD_MAX_MS, EARLIEST_MS])
        points.append({"name": name, "value": value, "timestamp": time_ms, "tags": tags})
    text = draw.choice([None, "", "g1", "g2"])
    tenant = draw.choice(["t", "t", "t", "t", "other", CLOCK_TENANT_ID, "a/b", ""])
    return {
        "tenant_id": tenant,
        "device_id": device,
        "sent_at": NOON_MS,
        "boot_id": draw.choice([None, "b"]),
        "deployment_group": text,
        "points": points if draw.random() < 0.6 else [],
    }


def mutilated(draw, value):
    """Return the bytes with one thing wrong, or another number in them."""
    at = draw.randrange(HEAD_BYTES, len(value))
    octet = bytes([draw.randrange(256)])
    return draw.choice(
        [
            value[:at],
            value[:at] + octet + value[at + 1 :],
            value[:at] + octet + value[at:],
            value + octet,
            value[:-1] + b"\x80\x00",
            value[:-2] + b"\x80\x80\x00" + value[-1:],
        ]
    )


def log_of(draw, count):
    firmwares = [firmware(draw) for _ in range(draw.choice([1, 2, 6]))]
    messages = []
    for offset in range(count):
        device = f"d{draw.randrange(30)}"
        batch = batch_of(draw, draw.choice(firmwares), device)
        value = encode_record(Topic.TELEMETRY, batch, SCHEMA_ID)
        if draw.random() < 0.15:
            value = mutilated(draw, value)
        if draw.random() < 0.03:
            value = draw.choice([None, b"", b"junk", b'{"metrics": []}'])
        messages.append(Message(0, offset, NOON_MS + draw.randrange(1000), b"t/d", value))
    return messages


def in_any_order(frame):
    return sorted(map(repr, frame.rows()))


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("topic_tenant", [None, "t"])
def test_runs_are_those_of_the_codec_whatever_the_bytes(seed, topic_tenant, monkeypatch):
    print("seed", seed)
    draw = random.Random(seed)
    monkeypatch.setattr(point_shapes, "LIKE_MIN_COUNT", draw.choice([2, 5, 16]))
    reader_of_text.cache_clear()
    for _ in range(3):  # the shapes of one block are known to the next
        messages = log_of(draw, draw.choice([1, 40, 150]))
        expected = decoded_runs(messages, topic_tenant, schema_of_id)
        found = run_frame(messages, topic_tenant, schema_of_id)
        assert in_any_order(found) == in_any_order(expected)


@pytest.mark.parametrize("seed", range(2))
def test_every_single_byte_that_is_another_is_judged_as_the_codec_judges_it(seed):
    """Of 20 messages that are alike one has one byte changed, for each place and bit."""
    print("seed", seed)
    draw = random.Random(seed)
    reader_of_text.cache_clear()
    batch = batch_of(draw, firmware(draw), "d1") | {"tenant_id": "t"}
    batch["points"] = batch["points"] or [
        {"name": "cpu", "value": 1.5, "timestamp": NOON_MS, "tags": {"core": "1"}}
    ]
    value = encode_record(Topic.TELEMETRY, batch, SCHEMA_ID)
    messages = []
    for at in range(HEAD_BYTES, len(value)):
        other = bytes([value[at] ^ (1 << draw.randrange(8))])
        messages.append(Message(0, at, NOON_MS, b"t/d", value[:at] + other + value[at + 1 :]))
    alike = [Message(0, 0, NOON_MS, b"t/d", value)] * 20
    found = run_frame([*alike, *messages], None, schema_of_id)
    assert in_any_order(found) == in_any_order(
        decoded_runs([*alike, *messages], None, schema_of_id)
    )


def test_messages_that_are_alike_are_not_left_to_the_codec():
    draw = random.Random(1)
    kinds = [("cpu", {"core": "1"}), ("ram", {}), ("cpu", {"core": "1"})]
    batches = [
        batch_of(draw, kinds, f"d{n}") | {"tenant_id": "t", "device_id": "d" * (1 + n % 7)}
        for n in range(200)
    ]
    values = [encode_record(Topic.TELEMETRY, batch, SCHEMA_ID) for batch in batches]
    reader_of_text.cache_clear()
    block = shaped_reader(schema_of_id(SCHEMA_ID)).read(values)
    with_points = [n for n, batch in enumerate(batches) if batch["points"]]
    taken = np.sort(np.concatenate([points.row for points in block.points]))
    assert len(with_points) > 50
    assert set(with_points) - set(taken.tolist()) == set(block.left.tolist())
    assert len(block.left) < len(with_points) / 4  # those with a time of another length
    assert block.messages.height == 200


def test_a_heartbeat_is_told_by_its_end_and_one_without_a_group_is_looked_at():
    def value(**fields):
        batch = {"tenant_id": "t", "device_id": "d", "sent_at": NOON_MS, "points": []} | fields
        return encode_record(Topic.TELEMETRY, batch, SCHEMA_ID)

    point = {"name": "cpu", "value": 1.5, "timestamp": NOON_MS, "tags": {}}
    values = [
        value(deployment_group="g"),
        value(),
        value(deployment_group="g", points=[point]),
        value(points=[point])[:-1] + b"\x80\x00",  # as long as a zero may be
        None,
        b"",
        b"\x00junk!",
        b'{"metrics": []}',
    ]
    assert may_have_points(values, schema_of_id) == [1, 2, 3, 5, 7]


def test_no_schema_but_one_whose_points_come_last_has_shapes():
    schema = schema_of(Topic.TELEMETRY)
    assert has_shapes(plain_schema(schema))
    *fields, points = schema["fields"]
    other_fields = [
        [points, *fields],
        fields,
        [points],
        [*fields, points | {"name": "samples"}],
        [*fields, points | {"type": {"type": "array", "items": "long"}}],
    ]
    for each in other_fields:
        assert not has_shapes(plain_schema(schema | {"fields": each}))
    item = points["type"]["items"]
    for number, field in enumerate(item["fields"]):
        changed = [*item["fields"]]
        changed[number] = {"name": field["name"], "type": "float"}
        array = {"type": "array", "items": item | {"fields": changed}}
        other = schema | {"fields": [*fields, points | {"type": array}]}
        assert not has_shapes(plain_schema(other))


def test_the_shapes_that_are_remembered_are_bounded():
    tags = plain_schema(schema_of(Topic.TELEMETRY))["fields"][-1]["type"]["items"]["fields"][-1]
    book = ShapeBook(ShapeReader(tags["type"]))
    for size in range(300):
        shape = PointShape(size, *[None] * 7)
        for _ in range(9):
            book._remember(shape)
    assert len(book._shapes) <= point_shapes.SIZES_MAX_COUNT
    assert max(map(len, book._shapes.values())) == point_shapes.SHAPES_OF_SIZE


@pytest.mark.parametrize("seed", range(4))
def test_what_is_dropped_on_arrival_has_no_rows(seed):
    print("seed", seed)
    draw = random.Random(seed)
    messages = log_of(draw, 200)
    heartbeats = Heartbeats()
    assert heartbeats.wanted([message.value for message in messages]) is None, "nothing is known"
    heartbeats.learn([message.value for message in messages], schema_of_id)
    today = [m for m in messages if m.value and m.value[:HEAD_BYTES] == bytes([0, 0, 0, 0, 7])]
    wanted = heartbeats.wanted([message.value for message in today])
    dropped = [message for index, message in enumerate(today) if index not in set(wanted)]
    assert len(dropped) > 10
    assert decoded_runs(dropped, None, schema_of_id).is_empty()
