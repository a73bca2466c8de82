"""A process that is told to stop ends in time, whatever it waits for."""

import signal
import subprocess
import sys
import time

import pytest

from jobs import bounded_stop

STOP_MAX_S = 10.0
"""What is promised to operators."""

SCRIPT = """
import ctypes, socket, sys
from jobs import bounded_stop

bounded_stop.OVERDUE_AFTER_S, bounded_stop.END_AFTER_S = 0.4, 0.8
stop = bounded_stop.bounded_stop()
print("ready", flush=True)
ours, silent = socket.socketpair()
try:
    if sys.argv[1] == "event":
        stop.wait()
    elif sys.argv[1] == "socket":
        ours.recv(1)
    else:
        lock, c = ctypes.create_string_buffer(64), ctypes.CDLL(None)
        c.pthread_mutex_lock(lock)
        c.pthread_mutex_lock(lock)  # for ever, and no signal interrupts it
except bounded_stop.StopOverdue:
    print("overdue", flush=True)
print("end", flush=True)
"""


@pytest.mark.parametrize(
    ("waits_for", "said", "least_s"),
    [("event", "end\n", 0), ("socket", "overdue\nend\n", 0.4), ("library", "", 0.8)],
)
def test_a_process_ends_with_exit_code_0_whatever_it_waits_for(waits_for, said, least_s):
    argv = [sys.executable, "-c", SCRIPT, waits_for]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as it:
        assert it.stdout.readline() == "ready\n"
        began_s = time.monotonic()
        it.send_signal(signal.SIGTERM)
        output, complaint = it.communicate(timeout=30)
        took_s = time.monotonic() - began_s
    assert (it.returncode, output) == (0, said)
    assert took_s >= least_s
    assert ("the next start goes on" in complaint) == (waits_for == "library")


def test_the_bounds_keep_the_promise():
    assert 0 < bounded_stop.OVERDUE_AFTER_S < bounded_stop.END_AFTER_S < STOP_MAX_S
