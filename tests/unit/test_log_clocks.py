"""Partitions of two topics have the same numbers, but each has a clock of its own."""

import pytest

from schemas.records import encode_record
from schemas.topics import Topic
from tests.simulation.long_log import OWN, SCHEMA_ID, SHARED, Message
from tests.simulation.pure_engine import PureEngine

NOON_MS = 1_790_000_100_000
HOUR_MS = 3_600_000


def message(topic: str, at_ms: int, sequence: int | None) -> Message:
    batch = {
        "tenant_id": "own", "device_id": topic, "boot_id": None, "sequence": sequence, "sent_at": 0,
        "points": [{"name": "m", "value": 1.0, "timestamp": NOON_MS, "tags": {}}],
    }  # fmt: skip
    return Message(topic, 0, at_ms, 0, encode_record(Topic.TELEMETRY, batch, SCHEMA_ID), batch)


@pytest.mark.parametrize("sequence", [3, None])
@pytest.mark.parametrize("is_one_block", [False, True])
def test_a_copy_is_told_while_another_topic_is_read_days_ahead(sequence, is_one_block):
    #  telemetry      partition 0                     noon + 2 days
    #  telemetry.own  partition 0   noon                              noon + 1 h, a copy
    log = [
        message(OWN, NOON_MS, sequence),
        message(SHARED, NOON_MS + 48 * HOUR_MS, sequence),
        message(OWN, NOON_MS + HOUR_MS, sequence),
    ]
    engine = PureEngine(shard_count=1)
    for block in [log] if is_one_block else [[each] for each in log]:
        engine.feed(block)
        engine.commit()
    assert engine.account[OWN, 0, "point", "accepted", ""] == 1
    assert engine.account[OWN, 0, "point", "duplicate", ""] == 1


def test_a_topic_that_is_read_days_ahead_makes_no_copy_of_a_point_that_came_a_day_later():
    log = [
        message(SHARED, NOON_MS + 48 * HOUR_MS, None),
        message(OWN, NOON_MS, None),
        message(OWN, NOON_MS + 25 * HOUR_MS, None),
    ]
    engine = PureEngine(shard_count=1)
    engine.feed(log[:2])
    engine.feed(log[2:])
    engine.commit()
    assert engine.account[OWN, 0, "point", "accepted", ""] == 2
