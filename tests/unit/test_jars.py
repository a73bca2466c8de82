from pathlib import Path

import pytest

from jobs.jar_fetch import fetch_missing
from jobs.jars import (
    Destination,
    LockedFile,
    is_verified,
    missing_files,
    parse_lock,
    read_lock,
    require_files,
    sha256_of,
    verify_file,
)
from schemas.errors import SettingsError, Unavailable

EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def a_file(sha256: str = EMPTY_SHA256) -> LockedFile:
    return LockedFile("org.example", "tool", "1.0", "", "jar", sha256, Destination.KAFKA)


def put(locked: LockedFile, cache_dir: Path, content: bytes) -> Path:
    path = locked.path(cache_dir)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_lock_line_names_file_and_folder():
    line = f"io.example:app:3.3.3:all:tar.gz {EMPTY_SHA256} registry  # why"
    (locked,) = parse_lock(f"# a comment\n\n{line}\n")
    assert locked.file_name == "app-3.3.3-all.tar.gz"
    assert locked.path(Path("/c")) == Path("/c/maven/io/example/app/3.3.3/app-3.3.3-all.tar.gz")
    assert locked.coordinates == "io.example:app:3.3.3:all:tar.gz"
    assert locked.destination is Destination.REGISTRY


@pytest.mark.parametrize(
    "line",
    [
        "org.example:tool:1.0 abc kafka",
        f"org.example:tool {EMPTY_SHA256} kafka",
        f"org.example:tool:1.0 {EMPTY_SHA256} nowhere",
        f"org.example:tool:1.0 {EMPTY_SHA256}",
        f"a:b:c:d:e:f {EMPTY_SHA256} kafka",
    ],
)
def test_malformed_lock_line_is_refused_with_its_number(line):
    with pytest.raises(SettingsError, match=r"docker/jars.lock line 2 = .*make lock"):
        parse_lock(f"# first\n{line}")


def test_the_projects_lock_names_broker_connector_and_one_registry():
    lock = read_lock()
    artifacts = {locked.artifact: locked.destination for locked in lock}
    assert artifacts["kafka_2.13"] is Destination.KAFKA
    assert artifacts["flink-sql-connector-kafka"] is Destination.FLINK
    assert [x.artifact for x in lock if x.destination is Destination.REGISTRY] == [
        "apicurio-registry-app"
    ]
    assert len({(locked.coordinates, locked.destination) for locked in lock}) == len(lock)


def test_right_bytes_are_verified_once_and_trusted_until_they_change(tmp_path):
    locked = a_file()
    path = put(locked, tmp_path, b"")
    assert missing_files(tmp_path, [locked]) == [locked]  # there, but nobody has looked yet
    verify_file(locked, tmp_path)
    assert is_verified(locked, tmp_path)
    path.write_bytes(b"changed")
    assert not is_verified(locked, tmp_path)


def test_wrong_bytes_are_removed_and_both_checksums_named(tmp_path):
    locked = a_file()
    path = put(locked, tmp_path, b"wrong")
    with pytest.raises(Unavailable, match=r"org\.example:tool:1\.0") as failure:
        verify_file(locked, tmp_path)
    assert EMPTY_SHA256 in str(failure.value)
    assert not path.exists()


def test_a_new_checksum_in_the_lock_does_not_trust_the_old_comparison(tmp_path):
    locked = a_file()
    path = put(locked, tmp_path, b"")
    verify_file(locked, tmp_path)
    assert sha256_of(path) == EMPTY_SHA256
    assert not is_verified(a_file("0" * 64), tmp_path)


def test_missing_files_refuse_to_start_with_one_line_and_the_cure(tmp_path):
    with pytest.raises(SettingsError, match=r"^stack.cache_dir = .*tool:1.0.*make jars`$"):
        require_files(tmp_path, [a_file()])


def test_complete_cache_fetches_nothing(tmp_path):
    locked = a_file()
    put(locked, tmp_path, b"")
    verify_file(locked, tmp_path)
    lines: list[str] = []
    assert fetch_missing(tmp_path, lines.append, [locked]) == 0
    assert lines == []


def test_a_file_that_is_there_already_is_only_checked(tmp_path):
    locked = a_file()
    put(locked, tmp_path, b"")
    assert fetch_missing(tmp_path, print, [locked]) == 1
    assert is_verified(locked, tmp_path)
