"""The registry client against the real registry: known, no such id, and no answer."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from jobs.local_stack import LocalStack, Part
from jobs.ports import free_port_settings
from schemas.errors import Reason, Rejected, SettingsError, Unavailable
from schemas.records import SCHEMA_FILES, schema_of
from schemas.registry import SchemaRegistry
from schemas.topics import Topic
from tests.schema_versions import base_schema, field_named, with_more_fields

pytestmark = pytest.mark.integration

UNKNOWN_ID = 999_999
TIMEOUT_S = 5.0
PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    settings = free_port_settings(tmp_path_factory.mktemp("registry"))
    with LocalStack(settings, parts=(Part.REGISTRY,)) as stack:
        yield stack


@pytest.fixture
def registry(stack):
    registry = SchemaRegistry(stack.settings.registry.url, TIMEOUT_S, unknown_id_kept_s=0.5)
    yield registry
    registry.close()


def without_field(name):
    schema = base_schema()
    schema["fields"].remove(field_named(schema["fields"], name))
    return schema


def with_field(field):
    schema = base_schema()
    schema["fields"].append(field)
    return schema


def test_every_schema_is_registered_once_and_found_by_its_id(registry):
    ids = registry.register_all()
    assert set(ids) == set(SCHEMA_FILES)
    assert registry.register_all() == ids, "registering again changes nothing"
    for topic, schema_id in ids.items():
        assert registry.schema_by_id(schema_id) == schema_of(topic)


def test_a_compatible_change_gets_an_id_and_both_versions_stay(registry):
    old_id = registry.register(Topic.TELEMETRY)
    new = with_field({"name": "site", "type": ["null", "string"], "default": None})
    new_id = registry.register_text("telemetry-value", json.dumps(new))
    assert new_id != old_id
    assert registry.schema_by_id(new_id)["fields"][-1]["name"] == "site"
    assert registry.schema_by_id(old_id) == schema_of(Topic.TELEMETRY)


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param(without_field("points"), id="a field without default is gone"),
        pytest.param(with_field({"name": "site", "type": "string"}), id="a field has no default"),
        pytest.param(with_more_fields(), id="a point's field has no default"),
    ],
)
def test_an_incompatible_change_is_refused_with_the_registrys_reason_and_a_cure(registry, schema):
    registry.register(Topic.TELEMETRY)
    with pytest.raises(SettingsError, match=r"409.*FULL_TRANSITIVE.*cure: make the change"):
        registry.register_text("telemetry-value", json.dumps(schema))


def test_an_unknown_id_is_rejected_and_is_known_after_its_registration(registry):
    newest = registry.register_text("probe-value", json.dumps("string"))
    with pytest.raises(Rejected) as rejection:
        registry.schema_by_id(newest + 1)
    assert rejection.value.reason is Reason.SCHEMA_UNKNOWN
    assert registry.register_text("probe-2-value", json.dumps("long")) == newest + 1
    give_up_at_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_at_s:
        try:
            assert registry.schema_by_id(newest + 1) == "long"
        except Rejected:
            continue  # not asked again before `unknown_id_kept_s` is over
        return
    pytest.fail("the id stayed unknown")


@pytest.mark.parametrize("path", ["", "/apis/ccompat/v99"])
def test_a_wrong_path_is_no_answer_and_condemns_no_message(stack, path):
    port = stack.settings.stack.registry_port
    registry = SchemaRegistry(f"http://127.0.0.1:{port}{path}", TIMEOUT_S)
    with pytest.raises(Unavailable, match=r"registry.url"):
        registry.schema_by_id(1)
    registry.close()


class _Portal(BaseHTTPRequestHandler):
    """Answers everything with a page, as a proxy or the wrong service does."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>welcome</html>")

    def log_message(self, *args):
        pass


def test_a_page_instead_of_a_schema_is_no_answer():
    server = HTTPServer(("127.0.0.1", 0), _Portal)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    registry = SchemaRegistry(f"http://127.0.0.1:{server.server_port}", TIMEOUT_S)
    try:
        with pytest.raises(Unavailable):
            registry.schema_by_id(1)
    finally:
        registry.close()
        server.shutdown()
        server.server_close()


def test_while_the_registry_is_away_known_ids_go_on_and_others_wait(tmp_path):
    settings = free_port_settings(tmp_path)
    with LocalStack(settings, parts=(Part.REGISTRY,)) as stack:
        registry = SchemaRegistry(settings.registry.url, TIMEOUT_S)
        schema_id = registry.register(Topic.DEVICES)
        assert registry.schema_by_id(schema_id) == schema_of(Topic.DEVICES)
        stack.stop_process("registry")
        assert registry.schema_by_id(schema_id) == schema_of(Topic.DEVICES)
        began_s = time.monotonic()
        with pytest.raises(Unavailable, match="schema registry at"):
            registry.schema_by_id(UNKNOWN_ID)
        assert time.monotonic() - began_s < PATIENCE_S, "attempts are bounded"
        registry.close()
