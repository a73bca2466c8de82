"""A real loader that kills itself (SIGKILL) at one step of its first batch; run as a process.

    python -m tests.integration.dying_loader STEP

STEP is where it dies: before-insert, after-insert, after-done.
"""

import os
import signal
import sys
import threading
import time

from jobs.loader_service import open_loader
from jobs.settings import load_settings
from sinks.clickhouse_writer import ClickHouseWriter
from sinks.ledger_writer import LedgerWriter

STEPS = ("before-insert", "after-insert", "after-done")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def arm(step):
    """Let the real writer and ledger do their work up to the step, then die."""
    load, write = ClickHouseWriter.load, LedgerWriter.write

    def load_and_die(self, *args):
        if step == "before-insert":
            die()
        load(self, *args)
        if step == "after-insert":
            die()

    def write_and_die(self, entries, *, is_done):
        write(self, entries, is_done=is_done)
        if is_done and step == "after-done":
            die()

    ClickHouseWriter.load = load_and_die
    LedgerWriter.write = write_and_die


def main():
    stop = threading.Event()
    with open_loader(load_settings(), stop) as loader:
        loader.recover()
        arm(sys.argv[1])
        while True:
            loader.step(time.monotonic_ns() // 1_000_000, 0.1)


if __name__ == "__main__":
    main()
