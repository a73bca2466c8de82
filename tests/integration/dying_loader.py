"""A real loader that kills itself (SIGKILL) at one step of its first batch; run as a process.

    python -m tests.integration.dying_loader STEP

STEP is where it dies: before-insert, after-insert, after-done; or, while it cuts a batch that is
refused, at the fifth share: share-begun, share-inserted, share-done; or at a letter: letter-sent.
"""

import os
import signal
import sys
import threading
import time

from jobs.loader_service import open_loader
from jobs.settings import load_settings
from sinks.clickhouse_writer import ClickHouseWriter
from sinks.dead_letter_writer import DeadLetterWriter
from sinks.ledger_writer import LedgerWriter

STEPS = ("before-insert", "after-insert", "after-done")
SHARE_STEPS = ("share-begun", "share-inserted", "share-done", "letter-sent")
FATAL_SHARE = 5


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


def arm_share(step):
    """Let the real parts work up to the step of a share, then die."""
    begin, load, write = LedgerWriter.begin_share, ClickHouseWriter.load, LedgerWriter.write
    send = DeadLetterWriter.send
    begun = []

    def begin_and_die(self, *args):
        begin(self, *args)
        begun.append(1)
        if step == "share-begun" and len(begun) == FATAL_SHARE:
            die()

    def load_and_die(self, *args):
        load(self, *args)
        if step == "share-inserted" and len(begun) >= FATAL_SHARE:
            die()

    def write_and_die(self, entries, *, is_done):
        write(self, entries, is_done=is_done)
        if step == "share-done" and is_done and len(begun) >= FATAL_SHARE:
            die()

    def send_and_die(self, letters):
        send(self, letters)
        if step == "letter-sent":
            die()

    LedgerWriter.begin_share, ClickHouseWriter.load = begin_and_die, load_and_die
    LedgerWriter.write, DeadLetterWriter.send = write_and_die, send_and_die


def main():
    stop = threading.Event()
    with open_loader(load_settings(), stop) as loader:
        loader.recover()
        arm_share(sys.argv[1]) if sys.argv[1] in SHARE_STEPS else arm(sys.argv[1])
        while True:
            loader.step(time.monotonic_ns() // 1_000_000, 0.1)


if __name__ == "__main__":
    main()
