import pytest

from jobs.settings import Settings, choose_settings_file, load_settings
from jobs.settings_file import child_environment, settings_path, write_settings_file


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv("FLEETPULSE_SETTINGS_FILE", "")
    return Settings(
        kafka={"partition_count": 7, "topic_prefix": "a.b-"},
        clickhouse={"password": 'p"w\\\n'},
        stack={"data_dir": tmp_path / "with space"},
    )


def test_a_child_reads_the_very_same_settings(settings):
    choose_settings_file(write_settings_file(settings))
    read = load_settings()
    assert read.stack.cache_dir.is_absolute()
    changed = settings.stack.model_copy(update={"cache_dir": read.stack.cache_dir})
    assert read == settings.model_copy(update={"stack": changed})


def test_only_the_owner_may_read_the_file(settings):
    assert write_settings_file(settings).stat().st_mode & 0o077 == 0


def test_settings_of_the_parents_environment_do_not_reach_the_child(settings, monkeypatch):
    monkeypatch.setenv("FLEETPULSE_KAFKA__PARTITION_COUNT", "3")
    environment = child_environment(settings)
    ours = {name: value for name, value in environment.items() if name.startswith("FLEETPULSE_")}
    assert ours == {"FLEETPULSE_SETTINGS_FILE": str(settings_path(settings))}
