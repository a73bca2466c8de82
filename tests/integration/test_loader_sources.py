"""What the loader reads: the points of every telemetry topic, and each partition to its end."""

import contextlib

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic

from jobs.load_source import LoadSource
from jobs.topic_admin import admin_client
from schemas.records import encode_record
from schemas.topics import Topic, topic_name
from tests.integration.loader_bench import stop, wait_for
from tests.loader_input import START_MS, WindowInput

pytestmark = pytest.mark.integration
SEED = 7

POINTS = "SELECT tenant_id, device_id, count() FROM telemetry_points GROUP BY ALL ORDER BY ALL"


def telemetry(tenant_id, device_id, point_count):
    point = {"name": "cpu", "value": 1.5, "timestamp": START_MS, "tags": {}}
    batch = {"tenant_id": tenant_id, "device_id": device_id, "sent_at": START_MS}
    return batch | {"points": [point] * point_count}


def test_points_are_loaded_once_from_the_shared_topic_and_from_those_of_tenants(bench):
    kafka = bench.settings.kafka
    name = f"{topic_name(Topic.TELEMETRY, kafka.topic_prefix)}.acme"
    bench.produce(Topic.TELEMETRY, [telemetry("demo", "d1", 3)])
    bench.produce_values(Topic.TELEMETRY, [(b"key", b"junk")], partition=1)
    loader = bench.start_loader()
    bench.wait_for_rows(POINTS, [("demo", "d1", 3)])
    # A topic that comes while the loader runs is noticed; what a stranger wrote into it is no row.
    schema_id = bench.schema_ids[Topic.TELEMETRY]
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    admin = admin_client(kafka)
    admin.create_topics([NewTopic(name, 1)])[name].result(30)
    for tenant_id, device_id in (("acme", "d2"), ("demo", "d3")):
        record = telemetry(tenant_id, device_id, 2)
        producer.produce(name, encode_record(Topic.TELEMETRY, record, schema_id))
    assert producer.flush(30) == 0
    bench.wait_for_rows(POINTS, [("acme", "d2", 2), ("demo", "d1", 3)])
    stop(loader)
    assert bench.ask("SELECT count() FROM dead_letters") == [(0,)]
    stop(bench.start_loader())
    assert bench.ask(POINTS) == [("acme", "d2", 2), ("demo", "d1", 3)]
    # The same point again is a copy, wherever it stands.
    assert bench.ask("SELECT count() FROM v_points") == [(2,)]


def test_points_of_a_tenant_are_not_taken_for_loaded_because_those_of_others_are(bench):
    """The batches of each topic have numbers of their own, and all points lie in one table.

    telemetry        1 done  2 done
    telemetry.acme                   1 begun ✗ killed: has it landed?
    """
    kafka = bench.settings.kafka
    name = f"{topic_name(Topic.TELEMETRY, kafka.topic_prefix)}.acme"
    loader = bench.start_loader()
    for number in (1, 2):
        bench.produce(Topic.TELEMETRY, [telemetry("demo", "d1", 1)])
        bench.wait_for_rows(POINTS, [("demo", "d1", number)])
    stop(loader)
    admin = admin_client(kafka)
    admin.create_topics([NewTopic(name, 1)])[name].result(30)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    record = telemetry("acme", "d2", 3)
    producer.produce(
        name, encode_record(Topic.TELEMETRY, record, bench.schema_ids[Topic.TELEMETRY])
    )
    assert producer.flush(30) == 0
    bench.kill_loader("load:begun")
    stop(bench.start_loader())
    assert bench.ask(POINTS) == [("acme", "d2", 3), ("demo", "d1", 2)]


def test_the_source_knows_when_all_that_is_committed_was_read(bench):
    settings, windows = bench.settings, WindowInput(SEED)
    name = topic_name(Topic.WINDOWS, settings.kafka.topic_prefix)
    source = LoadSource(settings.kafka.bootstrap_servers, "all-read")
    with contextlib.closing(source):
        source.assign({name: {0: 0, 1: 0}})
        assert not source.is_all_read(name), "nobody has looked yet"
        wait_for(lambda: read_on(source, name) == 0 and source.is_all_read(name), "an empty topic")
        bench.produce(Topic.WINDOWS, [{"rows": windows.deltas(2)}], transaction="committed")
        wait_for(lambda: read_on(source, name) == 1, "one message")
        wait_for(lambda: read_on(source, name) == 0 and source.is_all_read(name), "its end")
        bench.produce(Topic.WINDOWS, [{"rows": windows.deltas(2)}], transaction="aborted")
        wait_for(lambda: read_on(source, name) == 0 and source.is_all_read(name), "still its end")


def read_on(source, name):
    return len(source.poll(1, 0.2).get(name, []))
