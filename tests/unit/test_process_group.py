import os
import sys
import time

import psutil
import pytest

from jobs.process_group import ProcessGroup, Program
from jobs.process_records import (
    ProcessRecord,
    end_processes,
    process_statuses,
    read_records,
    write_records,
)
from schemas.errors import Unavailable

DEADLINE_S = 20.0

# A leader that ignores SIGTERM and has a child that does, too.
STUBBORN = """
import pathlib, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import signal, time;"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"],
    stdout=subprocess.PIPE)
child.stdout.readline()
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
time.sleep(600)
"""
# A leader that ends at once and leaves a child behind.
LEAVER = """
import pathlib, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
"""


@pytest.fixture
def group(tmp_path):
    group = ProcessGroup(tmp_path / "run", tmp_path / "logs")
    yield group
    group.close()
    end_processes(read_records(tmp_path / "run"), grace_s=0.1)
    group.reap()


def python(name: str, code: str, *arguments: str) -> Program:
    return Program(name, [sys.executable, "-c", code, *arguments], dict(os.environ))


def started(group: ProcessGroup, tmp_path, code: str) -> tuple[ProcessRecord, int]:
    """Start a program that writes the pid of its child, and return both."""
    marker = tmp_path / "child.pid"
    record = group.start(python("leader", code, str(marker)))
    give_up_at_s = time.monotonic() + DEADLINE_S
    while not (marker.exists() and marker.read_text()):
        assert time.monotonic() < give_up_at_s
        time.sleep(0.01)
    return record, int(marker.read_text())


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_stubborn_process_and_its_child_are_killed_after_the_grace(group, tmp_path):
    record, child_pid = started(group, tmp_path, STUBBORN)
    end_processes([record], grace_s=0.2)
    assert is_gone(record.pid)
    assert is_gone(child_pid)


def test_a_child_that_outlived_its_leader_is_ended_too(group, tmp_path):
    record, child_pid = started(group, tmp_path, LEAVER)
    group.wait_for_exit("leader", timeout_s=DEADLINE_S)
    assert not is_gone(child_pid)
    end_processes([record], grace_s=1.0)
    assert is_gone(child_pid)


def test_a_stranger_with_a_recycled_pid_is_never_touched(group):
    record = group.start(python("stranger", "import time; time.sleep(600)"))
    earlier = ProcessRecord("ours", record.pid, record.born_at_s + 3600)
    end_processes([earlier], grace_s=0.1)
    assert record.process() is not None


def test_early_death_is_told_at_once_with_the_end_of_the_log(group):
    group.start(python("server", "print('no such table'); raise SystemExit(3)"))
    with pytest.raises(Unavailable, match=r"server ended with exit code 3") as failure:
        group.wait_until("server", lambda: False, what="answer", timeout_s=DEADLINE_S)
    assert "no such table" in str(failure.value)


def test_a_process_that_is_never_ready_is_given_up(group):
    group.start(python("server", "import time; time.sleep(600)"))
    with pytest.raises(Unavailable, match=r"server shows no answer after 0 s"):
        group.wait_until("server", lambda: False, what="answer", timeout_s=0.2)


def test_failed_one_off_program_is_an_error(group):
    group.start(python("format", "raise SystemExit('disk full')"))
    with pytest.raises(Unavailable, match=r"failed with exit code 1") as failure:
        group.wait_for_exit("format", timeout_s=DEADLINE_S)
    assert "disk full" in str(failure.value)


def test_a_closed_group_starts_nothing_more_and_ends_every_wait(group):
    group.start(python("server", "import time; time.sleep(600)"))
    group.close()
    with pytest.raises(Unavailable, match="being ended"):
        group.start(python("late", "pass"))
    with pytest.raises(Unavailable, match="given up"):
        group.wait_until("server", lambda: False, what="answer", timeout_s=DEADLINE_S)


def test_a_missing_program_is_an_error(group):
    with pytest.raises(Unavailable, match="no-such-program"):
        group.start(Program("ghost", ["/no-such-program"], {}))


def test_status_has_memory_of_the_process_and_of_its_workers(group, tmp_path):
    record, _ = started(group, tmp_path, STUBBORN)
    own, workers = process_statuses([record])
    assert (own.name, workers.name) == ("leader", "leader workers")
    assert own.is_alive
    assert min(own.rss_bytes, workers.rss_bytes) > 1024 * 1024


def test_ended_process_is_shown_as_ended(group):
    record = group.start(python("short", "pass"))
    group.wait_for_exit("short", timeout_s=DEADLINE_S)
    (status,) = process_statuses([record])
    assert not status.is_alive


def test_records_are_read_as_they_were_written(tmp_path):
    records = [ProcessRecord("kafka", 12, 1.5), ProcessRecord("loader", 13, 2.5)]
    assert read_records(tmp_path) == []
    write_records(tmp_path, records)
    assert read_records(tmp_path) == records
