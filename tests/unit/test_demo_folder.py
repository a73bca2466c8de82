"""A demo empties only what a demo made, and settings of the user win over the demo's."""

import os
import signal

import pytest

from jobs.demo_folder import MARKER, disown_demo_folder, prepare_demo_folder
from jobs.demo_settings import DemoSettings
from jobs.directory_lock import directory_lock
from jobs.end_request import EndRequest
from jobs.process_records import ProcessRecord, birth_s, write_records
from jobs.settings import load_settings
from schemas.errors import SettingsError


def test_a_folder_of_an_earlier_demo_is_emptied(tmp_path):
    prepare_demo_folder(tmp_path)
    (tmp_path / "kafka").mkdir()
    (tmp_path / "kafka" / "log").write_text("old")
    prepare_demo_folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
    assert (tmp_path / MARKER).is_file()


def test_a_folder_that_no_demo_made_is_refused_and_kept(tmp_path):
    (tmp_path / "precious").write_text("mine")
    with pytest.raises(SettingsError, match=r"stack\.data_dir") as refused:
        prepare_demo_folder(tmp_path)
    assert "\n" not in str(refused.value)
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_folder_that_was_used_for_something_else_since_is_kept(tmp_path):
    prepare_demo_folder(tmp_path)
    (tmp_path / "clickhouse").mkdir()
    disown_demo_folder(tmp_path)
    with pytest.raises(SettingsError, match="earlier demo"):
        prepare_demo_folder(tmp_path)


def test_a_folder_in_which_a_stack_runs_is_refused(tmp_path):
    prepare_demo_folder(tmp_path)
    write_records(tmp_path / "run", [ProcessRecord("kafka", os.getpid(), birth_s(os.getpid()))])
    with pytest.raises(SettingsError, match=r"kafka .* `fleetpulse down`"):
        prepare_demo_folder(tmp_path)


def test_a_folder_whose_tables_somebody_reads_is_refused(tmp_path):
    prepare_demo_folder(tmp_path)
    with directory_lock(tmp_path), pytest.raises(SettingsError, match="open"):
        prepare_demo_folder(tmp_path)


def test_a_link_in_the_folder_is_removed_but_not_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("mine")
    folder = tmp_path / "demo"
    prepare_demo_folder(folder)
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    prepare_demo_folder(folder)
    assert (tmp_path / "elsewhere" / "file").read_text() == "mine"
    assert not (folder / "link").exists()


def test_the_demo_is_impatient_unless_the_user_says_otherwise(monkeypatch):
    monkeypatch.setenv("FLEETPULSE_OFFLINE__CRITICAL_AFTER_S", "45")
    settings = load_settings(DemoSettings, fleet={"device_count": "7"})
    assert (settings.offline.warning_after_s, settings.offline.critical_after_s) == (20.0, 45.0)
    assert (settings.fleet.device_count, settings.fleet.speed) == (7, 30.0)


def test_the_first_signal_interrupts_a_start_and_the_second_does_not_tear_the_end():
    with EndRequest().installed() as end:
        with pytest.raises(KeyboardInterrupt), end.interrupting():
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert end.asked.is_set()
        assert not end.hurried.is_set()
        end.begin_end()
        signal.raise_signal(signal.SIGINT)
        assert end.hurried.is_set()


def test_a_signal_before_the_start_keeps_it_from_beginning():
    began = []
    with EndRequest().installed() as end:
        signal.raise_signal(signal.SIGHUP)
        with pytest.raises(KeyboardInterrupt), end.interrupting():
            began.append(True)
    assert began == []


def test_the_signals_of_before_are_back_afterwards():
    before = signal.getsignal(signal.SIGTERM)
    with EndRequest().installed():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before
