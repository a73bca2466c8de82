"""`fleetpulse control` on a real Kafka and registry: sent, listed, ended, compacted by key."""

import contextlib
import itertools
import json
import os
import subprocess
import sys
import time

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, ConfigEntry, ConfigResource, ResourceType
from confluent_kafka.admin import AlterConfigOpType as Change

from jobs.control_list import State, list_controls
from jobs.control_sender import send_end, send_events
from jobs.settings import SETTINGS_FILE_VARIABLE, load_settings
from jobs.settings_file import write_settings_file
from jobs.topic_admin import create_topics, topic_partition_counts
from schemas.control import control_fields, parse_control
from schemas.control_records import ControlMessage, control_frame
from schemas.errors import SettingsError, Unavailable
from schemas.instants import parse_instant_ms
from schemas.registry import SchemaRegistry
from schemas.topics import Topic, topic_name
from tests.control_messages import ACME, EPISODE, EVENTS, HOT, KEYS, SLOW
from tests.integration.topic_reading import read_topic

pytestmark = pytest.mark.integration

PATIENCE_S = 60.0
COMPACTION_PATIENCE_S = 150.0
"""The broker's cleaner looks every 15 s."""
numbers = itertools.count()


@pytest.fixture
def settings(stack, tmp_path):
    base, prefix = stack.settings, f"control{next(numbers)}."
    settings = load_settings(
        kafka=base.kafka.model_dump() | {"topic_prefix": prefix},
        registry=base.registry.model_dump(),
        stack=base.stack.model_dump() | {"data_dir": tmp_path / "data"},
    )
    create_topics(settings.kafka)
    give_up_at_s = time.monotonic() + PATIENCE_S
    # A broker may know a topic a moment after it was created.
    while topic_name(Topic.CONTROL, prefix) not in topic_partition_counts(settings.kafka):
        assert time.monotonic() < give_up_at_s, "the topics do not appear"
    return settings


def control(settings, *words):
    path = write_settings_file(settings)
    return subprocess.run(
        [sys.executable, "-m", "jobs.cli", "control", *words],
        env=os.environ | {SETTINGS_FILE_VARIABLE: str(path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def done(settings, *words):
    answer = control(settings, *words)
    assert (answer.returncode, answer.stderr) == (0, "")
    return answer.stdout.splitlines()


def listed(settings):
    lines = done(settings, "list", "--format", "json")
    return {row["key"]: row for row in map(json.loads, lines)}


def frame_of(settings):
    """Return what the offline job would make of the whole topic."""
    found = read_topic(settings, Topic.CONTROL)
    messages = [ControlMessage(m.raw_key, m.value, m.at_ms, m.partition, m.offset) for m in found]
    registry = SchemaRegistry(settings.registry.url, settings.registry.timeout_s)
    with contextlib.closing(registry):
        frame, refused = control_frame(messages, registry.schema_by_id)
    assert refused == []
    return [json.loads(text) for text in frame["event"]]


def test_what_a_person_sends_is_listed_read_by_the_engine_and_ended(settings, tmp_path):
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps([HOT, SLOW]))
    (span,) = done(settings, "maintenance", "--tenant", "acme", "--site", "paris", "--until", "+2h")
    (planned,) = done(settings, "mute", "--tenant", "acme", "--from", "+1h", "--until", "+2h")
    (back,) = done(settings, "goodbye", "--tenant", "acme", "--device", "cam-7", "--back", "+8h")
    (acked,) = done(settings, "ack", EPISODE)
    assert [line.split()[1] for line in done(settings, "rule", str(rules))] == [
        "acme/rule/hot:",
        "acme/rule/slow:",
    ]
    # The instant that is told is the broker's, from which the event acts.
    times = {message.key: message.at_ms for message in read_topic(settings, Topic.CONTROL)}
    rows = listed(settings)
    assert times.keys() == rows.keys()
    for key, line in (("acme/site/paris/maintenance", span), (KEYS["ack"], acked)):
        assert line.startswith(f"sent {key}: acts from {rows[key]['sent_at']}")
        assert parse_instant_ms(rows[key]["sent_at"]) == times[key]
    assert f"acts from {rows['acme/mute']['event']['from']} until" in planned
    assert back.endswith(f"until {rows['acme/device_id/cam-7/goodbye']['event']['expected_back']}")
    assert {key: row["state"] for key, row in rows.items()} == {
        "acme/site/paris/maintenance": "active",
        "acme/mute": "planned",
        "acme/device_id/cam-7/goodbye": "active",
        KEYS["ack"]: "active",
        "acme/rule/hot": "active",
        "acme/rule/slow": "disabled",
    }
    read = frame_of(settings)
    assert sorted(read, key=json.dumps) == sorted(
        (r["event"] for r in rows.values()), key=json.dumps
    )

    (ended,) = done(settings, "end", "acme/site/paris/maintenance")
    assert ended.startswith("ended acme/site/paris/maintenance, from ")
    assert listed(settings).keys() == rows.keys() - {"acme/site/paris/maintenance"}
    over = parse_control(frame_of(settings)[-1])
    assert (over.type, over.scope.key) == ("maintenance", "acme/site/paris")
    assert ended.endswith(f"from {control_fields(over)['until']} on")
    table = "\n".join(done(settings, "list", "--limit", "6"))
    assert "critical when p95 temp >= 81.5, 3 windows" in table


def test_a_key_that_nobody_sent_and_one_that_is_over_cannot_be_ended(settings):
    send_events(settings, [parse_control(EVENTS["ack"])])
    done(settings, "end", KEYS["ack"])
    for key in (KEYS["ack"], "acme/mute", ""):
        answer = control(settings, "end", key)
        assert (answer.returncode, answer.stdout) == (2, "")
        (line,) = answer.stderr.splitlines()
        assert line.startswith(f"fleetpulse: KEY = {key!r}; allowed: a key of what was sent")


def test_poison_is_listed_as_refused_and_hides_nobody(settings):
    send_events(settings, [parse_control(EVENTS["mute"])])
    producer = Producer({"bootstrap.servers": settings.kafka.bootstrap_servers})
    producer.produce(topic_name(Topic.CONTROL, settings.kafka.topic_prefix), b"junk", b"k\xff\x1b")
    assert producer.flush(PATIENCE_S) == 0
    now_ms = parse_control(EVENTS["mute"]).until_ms
    states = {each.key: each.state(now_ms) for each in list_controls(settings)}
    assert states == {KEYS["mute"]: State.OVER, "k\\xff\x1b": State.REFUSED}


def test_a_topic_that_is_missing_is_refused_and_a_broker_that_is_away_is_unavailable(settings):
    event = parse_control(EVENTS["ack"])
    elsewhere = settings.kafka.model_copy(update={"topic_prefix": "nowhere."})
    with pytest.raises(SettingsError, match=r"nowhere\.control.*fleetpulse topics"):
        send_events(settings.model_copy(update={"kafka": elsewhere}), [event])
    away = settings.kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:1"})
    with pytest.raises(Unavailable, match=r"^Kafka at 127\.0\.0\.1:1: "):
        send_events(settings.model_copy(update={"kafka": away}), [event])


def test_compaction_keeps_the_newest_of_each_key_and_drops_what_was_ended(settings):
    # key mute:   A  B  C            C stays
    # key ack:    E  tombstone       neither stays
    # filler:     0  1  2 ...        rolls the segments: the open one is never compacted
    _roll_often(settings)
    ack = parse_control(EVENTS["ack"])
    mutes = [parse_control(EVENTS["mute"] | {"from": number}) for number in (1, 2, 3)]
    send_events(settings, [*mutes, ack])
    send_end(settings, KEYS["ack"])
    give_up_at_s = time.monotonic() + COMPACTION_PATIENCE_S
    kept = None
    for number in itertools.count():
        filler = EVENTS["goodbye"] | {"scope": ACME | {"device_id": f"filler-{number % 8}"}}
        send_events(settings, [parse_control(filler)])
        found = read_topic(settings, Topic.CONTROL)
        kept = [message.key for message in found if "filler" not in message.key]
        if kept == [KEYS["mute"]]:
            break
        assert time.monotonic() < give_up_at_s, f"not compacted: {kept}"
    assert KEYS["mute"] in {each.key for each in list_controls(settings)}
    (mute,) = [fields for fields in frame_of(settings) if fields["type"] == "mute"]
    assert parse_control(mute) == mutes[-1]


def _roll_often(settings):
    """Let the broker compact at once what it compacts after days."""
    topic = topic_name(Topic.CONTROL, settings.kafka.topic_prefix)
    resource = ConfigResource(ResourceType.TOPIC, topic)
    for name, value in {
        "segment.ms": "100",
        "min.cleanable.dirty.ratio": "0.01",
        "delete.retention.ms": "0",
    }.items():
        entry = ConfigEntry(name, value, incremental_operation=Change.SET)
        resource.add_incremental_config(entry)
    client = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers})
    for answer in client.incremental_alter_configs([resource]).values():
        answer.result(PATIENCE_S)
