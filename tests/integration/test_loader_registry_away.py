"""The loader while the schema registry is away: what is known flows on, what is not waits.

registry   up ──────────┐ gone                                    ┌ back
known id   lands        │  lands                                  │
other id                │  waits, and is not sent to dead letters │ lands once
"""

import contextlib
import json
import time

import pytest

from jobs.java_program import is_registry_healthy, registry_program
from jobs.loader_status import loader_status
from jobs.local_stack import LocalStack, Part
from jobs.ports import free_port_settings
from jobs.process_group import ProcessGroup
from schemas.records import encode_record, schema_of
from schemas.registry import SchemaRegistry
from schemas.topics import Topic, subject_name
from tests.integration.loader_bench import stop, wait_for
from tests.loader_input import alert, device_status

pytestmark = pytest.mark.integration

ALERTS_SQL = "SELECT id, count() FROM alert_events GROUP BY id ORDER BY id"
LETTERS_SQL = "SELECT count() FROM dead_letters"


class Registry:
    """A registry that can go and come back, on the port it had."""

    def __init__(self, stack):
        self._stack = stack
        self._settings = stack.settings
        self._group = ProcessGroup(stack.run_dir, stack.log_dir)

    def vanish(self):
        self._stack.stop_process("registry")
        self._group.reap()

    def come_back(self):
        log = self._stack.log_dir / "registry.log"
        log.replace(log.with_suffix(f".{time.monotonic_ns()}"))
        self._group.start(registry_program(self._settings))
        wait_for(lambda: is_registry_healthy(self._settings), "the registry")

    def close(self):
        self.vanish()

    def register_newer_alerts(self):
        """Register the schema of alerts with one field more and return its id."""
        schema = json.loads(json.dumps(schema_of(Topic.ALERTS)))
        field = {"name": "since_restart", "type": ["null", "long"], "default": None}
        schema["fields"].append(field)
        registry = SchemaRegistry(self._settings.registry.url, self._settings.registry.timeout_s)
        try:
            subject = subject_name(Topic.ALERTS, "")
            return registry.register_text(subject, json.dumps(schema))
        finally:
            registry.close()


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    settings = free_port_settings(tmp_path_factory.mktemp("stack"), kafka={"partition_count": 2})
    with LocalStack(settings, parts=(Part.KAFKA, Part.REGISTRY)) as stack:
        yield stack


@pytest.fixture(scope="module")
def one_registry(stack):
    with contextlib.closing(Registry(stack)) as registry:
        yield registry


@pytest.fixture
def registry(stack, one_registry):
    yield one_registry
    if not is_registry_healthy(stack.settings):
        one_registry.come_back()


def newer_alert(episode, schema_id):
    """Return the bytes of an alert of the newer schema; its last field is null."""
    return encode_record(Topic.ALERTS, alert(episode), schema_id) + b"\0"


def test_ids_that_are_known_flow_on_and_another_waits_for_the_registry_and_lands_once(
    bench, registry
):
    newer_id = registry.register_newer_alerts()
    bench.produce(Topic.ALERTS, [alert("before")])
    loader = bench.start_loader()
    bench.wait_for_rows(ALERTS_SQL, [("before-1", 1)])
    registry.vanish()
    bench.produce(Topic.ALERTS, [alert("known")])
    bench.wait_for_rows(ALERTS_SQL, [("before-1", 1), ("known-1", 1)])
    bench.produce_values(Topic.ALERTS, [(b"key", newer_alert("newer", newer_id))])
    wait_for(lambda: loader_status(bench.settings.stack).last_error is not None, "a failed look")
    assert bench.ask(LETTERS_SQL) == [(0,)]
    registry.come_back()
    bench.wait_for_rows(ALERTS_SQL, [("before-1", 1), ("known-1", 1), ("newer-1", 1)])
    stop(loader)
    assert bench.ask(LETTERS_SQL) == [(0,)]


def test_a_loader_that_is_killed_while_a_message_waits_for_the_registry_loses_nothing(
    bench, registry
):
    newer_id = registry.register_newer_alerts()
    loader = bench.start_loader()
    registry.vanish()
    bench.produce_values(Topic.ALERTS, [(b"key", newer_alert("newer", newer_id))])
    wait_for(lambda: loader_status(bench.settings.stack).last_error is not None, "a failed look")
    loader.kill()
    loader.communicate()
    registry.come_back()
    bench.start_loader()
    bench.wait_for_rows(ALERTS_SQL, [("newer-1", 1)])
    assert bench.ask(LETTERS_SQL) == [(0,)]


def test_a_message_that_waits_for_the_registry_does_not_keep_other_topics_waiting(bench, registry):
    newer_id = registry.register_newer_alerts()
    bench.produce(Topic.DEVICE_STATUS, [device_status("d1")])
    loader = bench.start_loader()
    devices = "SELECT device_id FROM v_device_now ORDER BY device_id"
    bench.wait_for_rows(devices, [("d1",)])
    registry.vanish()
    bench.produce_values(Topic.ALERTS, [(b"key", newer_alert("newer", newer_id))])
    wait_for(lambda: loader_status(bench.settings.stack).last_error is not None, "a failed look")
    bench.produce(Topic.DEVICE_STATUS, [device_status("d2")])
    bench.wait_for_rows(devices, [("d1",), ("d2",)])
    registry.come_back()
    bench.wait_for_rows(ALERTS_SQL, [("newer-1", 1)])
    stop(loader)
    assert bench.ask(LETTERS_SQL) == [(0,)]
