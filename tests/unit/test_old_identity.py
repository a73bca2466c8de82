"""Whose an old message is: the key says it, and the limits judge it as everybody's."""

import numpy as np
import pytest

from schemas.errors import Reason
from tests.old_formats import avro_message, decode_old, json_message
from tests.schema_versions import schema_of_id
from tests.strategies import NOON_MS
from udfs.frame_bytes import unpack_frames
from udfs.telemetry_blocks import RawBlock, batch_sections, contact_sections, decode_telemetry

CPU = {"name": "cpu", "value": 0.5, "tags": {"core": "1"}, "timestamp": NOON_MS}


def metric_json(**changes):
    return json_message(CPU | changes)


def rejected(block):
    return [(message.row, message.reason) for message in block.rejected]


KEYS = {
    (b"t/d", None): ("t", "d"),
    (b"t/d/1", None): ("t", "d/1"),
    (b"d", "t"): ("t", "d"),
    (b"t/d", "t"): ("t", "d"),
    ("ü/設備".encode(), None): ("ü", "設備"),
    (b"other/d", "t"): ("other", "d"),  # the limits reject it: tenant_mismatch
    (None, None): None,
    (b"", "t"): None,
    (b"d", None): None,
    (b"/d", None): None,
    (b"/d", "t"): None,
    (b"t/", None): None,
    (b"\xff/d", None): None,
}


@pytest.mark.parametrize(("key", "tenant"), KEYS)
@pytest.mark.parametrize("message", [json_message(CPU), avro_message(CPU)])
def test_identity_comes_from_the_key_and_without_it_the_message_is_rejected(key, tenant, message):
    block = decode_old([message, message], [key, b"a/b"], [tenant, None])
    expected = KEYS[key, tenant]
    assert rejected(block) == ([(0, Reason.IDENTITY_INVALID)] if expected is None else [])
    found = block.messages.select("tenant_id", "device_id").rows()
    assert found == ([("a", "b")] if expected is None else [expected, ("a", "b")])
    assert block.items["row"].to_list() == ([1] if expected is None else [0, 1])


def test_limits_and_tenancy_are_judged_as_for_todays_firmware():
    messages = {
        "x.telemetry.t": [(b"d", metric_json()), (b"other/d", metric_json())],
        "x.telemetry": [
            (b"t/d", metric_json(name="")),
            (b"t/d", metric_json(tags={f"k{i}": "" for i in range(17)})),
            (b"t/" + b"d" * 257, metric_json()),
        ],
    }
    sent = [(topic, *each) for topic, pairs in messages.items() for each in pairs]
    topics, keys, values = (list(column) for column in zip(*sent, strict=True))
    raw = RawBlock(
        topics=topics,
        keys=keys,
        values=values,
        append_time_ms=np.full(len(sent), NOON_MS),
        partitions=np.zeros(len(sent), np.int32),
        offsets=np.arange(len(sent)),
    )
    block = decode_telemetry(raw, "x.", schema_of_id)
    assert block.messages.select("row", "tenant_id", "device_id").rows() == [(0, "t", "d")]
    assert rejected(block) == [
        (1, Reason.TENANT_MISMATCH),
        (2, Reason.LIMIT_EXCEEDED),
        (3, Reason.LIMIT_EXCEEDED),
        (4, Reason.IDENTITY_INVALID),
    ]
    assert batch_sections(raw, block, 4), "the device's shard gets its batch"
    (contacts,) = [
        frame
        for section in contact_sections(raw, block, 4, "x.")
        if (frame := unpack_frames(section.payload)["contacts"]).height
    ]
    assert contacts.select("device_id", "newest_point_ms").rows() == [("d", NOON_MS)]
