import os
import socket

import pytest

from jobs.ports import (
    METRICS_PORT_COUNT,
    PORT_FIELDS,
    free_port_settings,
    is_answering,
    is_free,
    ports_of,
    require_free_ports,
)
from jobs.settings import StackSettings
from schemas.errors import SettingsError


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_taken_port_is_refused_naming_port_setting_owner_and_cure(tmp_path, listener):
    stack = free_port_settings(tmp_path, stack={"kafka_port": listener}).stack
    with pytest.raises(SettingsError) as refusal:
        require_free_ports(stack)
    line = str(refusal.value)
    assert line.startswith(f"stack.kafka_port = {listener};")
    assert f"process {os.getpid()}" in line
    assert "FLEETPULSE_STACK__KAFKA_PORT" in line
    assert "\n" not in line


def test_two_settings_with_one_port_are_refused(tmp_path):
    free = free_port_settings(tmp_path).stack
    stack = free.model_copy(update={"flink_port": free.kafka_port})
    with pytest.raises(SettingsError, match=r"stack.flink_port.*another setting"):
        require_free_ports(stack)


def test_every_port_setting_is_checked():
    declared = {name for name in StackSettings.model_fields if name.endswith("_port")}
    assert set(PORT_FIELDS) == declared


def test_free_settings_are_free_and_followed_by_the_addresses(tmp_path):
    settings = free_port_settings(tmp_path, kafka={"partition_count": 2})
    uses = list(ports_of(settings.stack))
    assert len({use.port for use in uses}) == len(PORT_FIELDS) + METRICS_PORT_COUNT - 1
    require_free_ports(settings.stack)
    assert settings.kafka.bootstrap_servers == f"127.0.0.1:{settings.stack.kafka_port}"
    assert str(settings.stack.registry_port) in settings.registry.url
    assert settings.flink.rest_port == settings.stack.flink_port
    assert settings.kafka.partition_count == 2


def test_a_listening_port_answers_and_is_not_free(listener):
    assert is_answering(listener)
    assert not is_free(listener)
