"""The deployment files use names that exist: settings, metrics, modules, secrets."""

import json
import re
from pathlib import Path

import pytest
import yaml

from jobs.flink_cluster import MODULE_OPTIONS
from jobs.settings import Settings
from schemas.metrics import ENGINE_METRICS, LOADER_METRICS
from tests.tidy.source_tree import ROOT

DOCKER = ROOT / "docker"
FILES = sorted(
    path
    for path in DOCKER.rglob("*")
    if path.suffix in {".yaml", ".json", ".md"} or path.name == "Dockerfile"
)
NOT_GROUPS = {"FLEETPULSE_SETTINGS_FILE", "FLEETPULSE_GROUP__NAME", "FLEETPULSE_REST_PORT"}


def words(path: Path, pattern: str) -> set[str]:
    if "secrets" in path.parts:
        return set()
    return set(re.findall(pattern, path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", [pytest.param(path, id=path.name) for path in FILES])
def test_every_setting_and_metric_that_is_named_exists(path):
    for variable in words(path, r"FLEETPULSE_[A-Z_]*[A-Z]") - NOT_GROUPS:
        group, _, name = variable.removeprefix("FLEETPULSE_").lower().partition("__")
        assert group in Settings.model_fields, variable
        assert name in Settings.model_fields[group].annotation.model_fields, variable
    metrics = {metric.name for metric in (*LOADER_METRICS, *ENGINE_METRICS)}
    assert words(path, r"\b[a-z_]*fleetpulse_[a-z_]+") - {"fleetpulse_"} <= metrics


@pytest.mark.parametrize("path", sorted(DOCKER.rglob("*.yaml")), ids=lambda path: path.name)
def test_every_file_of_the_deployment_is_yaml(path):
    assert all(document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")))


def test_the_search_for_names_finds_some():
    assert len(words(DOCKER / "compose.yaml", r"FLEETPULSE_[A-Z_]*[A-Z]")) > 5
    assert len(words(DOCKER / "prometheus" / "rules.yaml", r"\bfleetpulse_[a-z_]+")) > 3


def test_the_settings_of_the_containers_are_accepted():
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))["services"]
    given: dict[str, dict[str, str]] = {}
    for variable, value in services["loader"]["environment"].items():
        if variable not in NOT_GROUPS:
            group, _, name = variable.removeprefix("FLEETPULSE_").lower().partition("__")
            given.setdefault(group, {})[name] = value
    settings = Settings(**given)
    assert settings.clickhouse.interface == "http"
    assert settings.kafka.bootstrap_servers == "kafka:9092"


def test_every_service_has_a_limit_restarts_and_is_published_on_loopback_only():
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))["services"]
    one_shot = {"topics", "submit"}
    for name, service in services.items():
        assert "mem_limit" in service, name
        assert service["restart"] == ("no" if name in one_shot else "unless-stopped"), name
        assert ("healthcheck" in service) == (name not in one_shot), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name


def test_every_volume_and_secret_that_is_used_is_declared():
    compose = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
    services = compose["services"].values()
    secrets = {name for service in services for name in service.get("secrets", [])}
    assert secrets == set(compose["secrets"])
    mounts = {each.partition(":")[0] for service in services for each in service.get("volumes", [])}
    assert {mount for mount in mounts if not mount.startswith(".")} == set(compose["volumes"])


def test_every_module_and_command_that_is_started_exists():
    text = (DOCKER / "compose.yaml").read_text() + (DOCKER / "flinkdeployment.yaml").read_text()
    started = re.findall(r"python, -m, ([a-z_.]+)", text)
    assert len(started) >= 4
    for module in started:
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), module
    command_line = (ROOT / "jobs" / "cli.py").read_text()
    for command in re.findall(r"\[fleetpulse, ([a-z]+)\]", text):
        assert f"\ndef {command}(" in command_line, command


def test_the_two_configurations_of_flink_open_the_same_parts_of_java():
    container = yaml.safe_load((DOCKER / "flink" / "container.yaml").read_text(encoding="utf-8"))
    assert container["env.java.opts.all"].split() == list(MODULE_OPTIONS)


def test_the_panels_of_the_dashboard_do_not_overlap_and_use_the_provisioned_source():
    board = json.loads((DOCKER / "grafana" / "dashboards" / "fleetpulse.json").read_text())
    places = {(p["gridPos"]["x"], p["gridPos"]["y"]) for p in board["panels"]}
    assert len(places) == len(board["panels"])
    source = yaml.safe_load(
        (DOCKER / "grafana" / "provisioning" / "datasources" / "prometheus.yaml").read_text()
    )["datasources"][0]
    for panel in board["panels"]:
        assert panel["datasource"]["uid"] == source["uid"]
        assert all(target["expr"] for target in panel["targets"])
