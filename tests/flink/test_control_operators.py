"""Control events in a real Flink cluster: every shard hears of each once, and acts on it."""

from collections import Counter
from typing import Any

import numpy as np
from pyflink.common import Row, Types
from pyflink.datastream import DataStream, KeyedProcessFunction

from jobs.result_rows import result_type
from schemas.control import control_key, parse_control
from schemas.records import decode_record
from schemas.topics import Topic
from tests.control_messages import EVENTS, encoded, schema_of_id
from tests.flink.test_operators import (
    NOON_MS,
    SHARD_COUNT,
    batch,
    by_shard,
    containers_of,
    log_of,
    pytestmark,  # noqa: F401 - the same marks
    rows_of,
    tick,
)
from udfs.control_blocks import control_sections
from udfs.fleet_operator import WatchFleet
from udfs.frame_bytes import unpack_frames
from udfs.liveness_operator import WatchShards, transition_type
from udfs.offline_policy import OfflinePolicy
from udfs.result_operator import SendLetters
from udfs.shards import SectionKind, pack_sections
from udfs.split_operator import SpreadContainer, is_for_shards
from udfs.telemetry_blocks import RawBlock, contact_sections

MUTE = EVENTS["mute"]
POISON = (b"k", b"junk")


def container_of(messages: list[tuple[int, bytes, bytes | None]]) -> bytes:
    """Pack messages (after noon ms, key, value) of one partition as the job's decode step does."""
    raw = RawBlock(
        topics=["control"] * len(messages),
        keys=[key for _, key, _ in messages],
        values=[value for *_, value in messages],
        append_time_ms=np.array([NOON_MS + at_ms for at_ms, *_ in messages]),
        partitions=np.zeros(len(messages), np.int32),
        offsets=np.arange(len(messages)),
    )
    return pack_sections(control_sections(raw, schema_of_id))


def said(at_ms: int, fields: dict[str, Any]) -> tuple[int, bytes, bytes]:
    return at_ms, control_key(parse_control(fields)).encode(), encoded(fields)


class TellControls(KeyedProcessFunction):
    """Sends one row for each control event: its shard as the topic, its JSON as the value."""

    def process_element(self, value: Any, ctx: Any) -> Any:
        assert SectionKind(value[1]) is SectionKind.CONTROLS
        for text in unpack_frames(bytes(value[2]))["controls"]["event"]:
            yield Row(str(value[0]), None, text.encode(), {}, None)


def test_each_control_event_reaches_every_shard_once_and_poison_the_letters_once():
    messages = [said(0, MUTE), (1, *POISON), said(2, EVENTS["ack"])]
    containers = [container_of(messages), container_of([said(9, EVENTS["threshold rule"])])]

    def sent(elements: DataStream) -> DataStream:
        letters = elements.flat_map(SendLetters("letters", "job"), output_type=result_type())
        mine = by_shard(elements.filter(is_for_shards))
        return mine.process(TellControls(), output_type=result_type()).union(letters)

    rows = rows_of(containers, sent, SpreadContainer(SHARD_COUNT))
    (letter,) = [row for row in rows if row.topic == "letters"]
    assert (letter.key, letter.value) == POISON
    heard = Counter((row.topic, row.value) for row in rows if row.topic != "letters")
    texts = {text for _, text in heard}
    assert len(texts) == 3
    assert heard == Counter((str(shard), text) for shard in range(SHARD_COUNT) for text in texts)


def watched(elements: DataStream) -> DataStream:
    """Run the offline job's stages over a log of the past."""
    topics = {Topic.ALERTS: ("alerts", 1), Topic.DEVICE_STATUS: ("device-status", 2)}
    shards = by_shard(elements).process(WatchShards(OfflinePolicy()), output_type=transition_type())
    fleet = WatchFleet(OfflinePolicy(), SHARD_COUNT, topics, is_live=False)
    by_one = shards.key_by(lambda _: 0, key_type=Types.INT())
    return by_one.process(fleet, output_type=result_type())


def test_maintenance_of_a_device_excuses_until_its_tombstone_and_no_longer():
    # d0, d2  x--[ maintenance of d0 )-------W d2-------------W d0     x = contact, W = warning
    #         0                      200 s   300 s            500 s
    sent = [(NOON_MS, batch(device, 0, NOON_MS)) for device in (0, 2)]
    for i in range(1, 131):
        at_ms = NOON_MS + 5_000 * i
        sent += [(at_ms, batch(1, i, at_ms)), (at_ms, tick())]
    span = {"from": NOON_MS, "until": NOON_MS + 3_600_000}
    scope = {"tenant_id": "t", "device_id": "d0"}
    maintenance = {"type": "maintenance", "scope": scope} | span
    plan = container_of([said(0, maintenance), (200_000, b"t/device_id/d0/maintenance", None)])
    log = containers_of(
        log_of(sent), lambda raw, decoded: contact_sections(raw, decoded, SHARD_COUNT, "")
    )
    rows = rows_of([plan, *log], watched, SpreadContainer(SHARD_COUNT))
    alerts = [decode_record(Topic.ALERTS, row.value) for row in rows if row.topic == "alerts"]
    told = [
        (alert["subject"], alert["status"], alert["time"] - NOON_MS)
        for alert in alerts
        if alert["type"] == "fleetpulse.alert.device-offline"
    ]
    assert told == [("device/d2", "firing", 300_000), ("device/d0", "firing", 500_000)]
