"""Settings: which source wins, and one line, without a secret, for whatever is refused."""

import os

import pytest

from jobs.demo_settings import DEMO_DEFAULTS, DemoSettings
from jobs.settings import Settings, load_settings
from schemas.errors import SettingsError


@pytest.fixture(autouse=True)
def no_settings_of_our_own(monkeypatch):
    for name in [name for name in os.environ if name.startswith("FLEETPULSE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def toml_file(tmp_path, monkeypatch):
    """Write a settings file and let it be read."""

    def write(text):
        path = tmp_path / "settings.toml"
        path.write_text(text, encoding="utf-8")
        monkeypatch.setenv("FLEETPULSE_SETTINGS_FILE", str(path))

    return write


def refusal(**flags) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(**flags)
    line = str(caught.value)
    assert "\n" not in line
    assert "allowed: " in line
    assert "cure: " in line
    return line


def test_the_defaults_are_those_of_the_mission():
    offline = load_settings().offline
    assert (offline.warning_after_s, offline.critical_after_s) == (300, 1800)
    assert offline.emergency_ratio == 0.1


def test_a_flag_wins_over_the_environment_which_wins_over_the_file(toml_file, monkeypatch):
    toml_file("[kafka]\npartition_count = 5\ntick_interval_s = 1\ntopic_prefix = 'file.'\n")
    monkeypatch.setenv("FLEETPULSE_KAFKA__PARTITION_COUNT", "6")
    monkeypatch.setenv("FLEETPULSE_KAFKA__TICK_INTERVAL_S", "2")
    kafka = load_settings(kafka={"partition_count": "7"}).kafka
    assert (kafka.partition_count, kafka.tick_interval_s, kafka.topic_prefix) == (7, 2.0, "file.")


def test_the_demos_defaults_lose_against_every_other_source(toml_file):
    toml_file("[offline]\nwarning_after_s = 11\n")
    demo = load_settings(DemoSettings)
    assert demo.offline.warning_after_s == 11
    assert demo.offline.critical_after_s == DEMO_DEFAULTS["offline"]["critical_after_s"]


def test_addresses_that_nobody_set_follow_the_ports_of_the_stack():
    settings = load_settings(
        stack={"kafka_port": "5001", "registry_port": 5002, "flink_port": 5003},
        registry={"url": "http://elsewhere/x"},
    )
    assert settings.kafka.bootstrap_servers == "127.0.0.1:5001"
    assert settings.registry.url == "http://elsewhere/x"
    assert settings.flink.rest_port == 5003


def test_an_unknown_setting_of_the_file_is_refused_with_those_that_exist(toml_file):
    toml_file("[kafka]\npartiton_count = 5\n")
    line = refusal()
    assert line.startswith("kafka.partiton_count = '***'")
    assert "partition_count" in line


@pytest.mark.parametrize(
    ("variable", "named"),
    [
        ("FLEETPULSE_KAFKA__PARTITON_COUNT", "kafka.partiton_count"),
        ("FLEETPULSE_KAFAK__PARTITION_COUNT", "FLEETPULSE_KAFAK__PARTITION_COUNT"),
        ("FLEETPULSE_KAFKA_PARTITION_COUNT", "FLEETPULSE_KAFKA_PARTITION_COUNT"),
        ("FLEETPULSE_SETTINGS", "FLEETPULSE_SETTINGS"),
    ],
)
def test_a_misspelt_variable_is_refused_by_its_name(variable, named, monkeypatch):
    monkeypatch.setenv(variable, "8")
    assert refusal().startswith(named)


@pytest.mark.parametrize(
    ("group", "name", "value"),
    [
        ("kafka", "partition_count", "0"),
        ("kafka", "partition_count", "many"),
        ("kafka", "topic_prefix", "no spaces"),
        ("kafka", "clock", "device"),
        ("flink", "rest_port", "65536"),
        ("flink", "shard_count", "0"),
        ("offline", "emergency_ratio", "0"),
        ("offline", "emergency_ratio", "1.01"),
        ("clickhouse", "database", "a; DROP"),
        ("stack", "kafka_port", "0"),
        ("drift", "budget", "often"),
        ("drift", "budget", "0/10k_device_days"),
        ("rollouts", "alpha", "0"),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_name_and_the_variable_to_set(group, name, value):
    line = refusal(**{group: {name: value}})
    assert line.startswith(f"{group}.{name} = {value!r}")
    assert f"FLEETPULSE_{group.upper()}__{name.upper()}" in line


def test_a_budget_is_refused_in_one_line_that_says_how_to_write_it():
    line = refusal(drift={"budget": "1 a day"})
    assert "allowed: a number of false pages per device-days, such as 1/10k_device_days;" in line


def test_critical_before_warning_and_fewer_shards_than_subtasks_are_refused():
    assert "critical_after_s" in refusal(offline={"critical_after_s": 300})
    assert "shard_count" in refusal(flink={"shard_count": 3, "parallelism": 4})


@pytest.mark.parametrize("text", ["[kafka\n", "kafka = 3\n", "[kafka]\n[kafka]\n", "stack = 3\n"])
def test_a_broken_file_is_refused_in_one_line(text, toml_file):
    toml_file(text)
    refusal()


def test_a_file_that_is_not_there_is_refused_by_its_path(monkeypatch, tmp_path):
    monkeypatch.setenv("FLEETPULSE_SETTINGS_FILE", str(tmp_path / "nowhere.toml"))
    assert "nowhere.toml" in refusal()


SECRET = "hunter2-secret"


def test_a_password_is_shown_by_no_text_of_the_settings(monkeypatch):
    monkeypatch.setenv("FLEETPULSE_CLICKHOUSE__PASSWORD", SECRET)
    settings = load_settings()
    assert settings.clickhouse.password.get_secret_value() == SECRET
    for text in (str(settings), repr(settings), settings.model_dump_json()):
        assert SECRET not in text


@pytest.mark.parametrize(
    "variable",
    [
        "FLEETPULSE_CLICKHOUSE",
        "FLEETPULSE_CLICKHOUSE__PASSWORD__X",
        "FLEETPULSE_CLICKHOUSE__PASSWORT",
        "FLEETPULSE_CLICKHOSE__PASSWORD",
    ],
)
def test_a_password_in_the_wrong_place_is_refused_without_being_shown(variable, monkeypatch):
    for value in (SECRET, f'["{SECRET}"]', f'{{"password": "{SECRET}"'):
        monkeypatch.setenv(variable, value)
        assert SECRET not in refusal()


@pytest.mark.parametrize(
    "text", [f"clickhouse = '{SECRET}'", f"[clickhouse]\npassword=['{SECRET}']"]
)
def test_a_password_in_a_wrong_file_is_refused_without_being_shown(text, toml_file):
    toml_file(text)
    assert SECRET not in refusal()


def test_settings_cannot_be_changed_after_they_were_read():
    with pytest.raises(ValueError, match="frozen"):
        Settings().kafka.partition_count = 9
