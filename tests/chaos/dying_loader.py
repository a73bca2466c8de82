"""A real loader that dies (SIGKILL) at one step of its work.

A step is a phase and an event in it. All of them are passed by real code; the wrappers here only
tell of it, and strike.

    phase    load      reads and lands batches, as most of its life
             recover   finishes what an earlier process began
             share     lands a part of a batch that was refused
             follow    turns to other topics or partitions
             stop      was told to end
    event    start · ledger-read · read-again · recovered · begin · begun · letter-sent · insert ·
             inserting · landed · inserted · complete · repairing · completed · looked · finish ·
             done · flush · flushed · closing
"""

import contextlib
import functools
import os
import shutil
import signal
import struct
import time
from dataclasses import dataclass

from jobs import loader_service
from jobs.batch_landing import BatchLanding
from jobs.load_source import LoadSource
from jobs.loader import Loader
from sinks.clickhouse_writer import ClickHouseWriter
from sinks.dead_letter_writer import DeadLetterWriter
from sinks.ledger_writer import TABLE as LEDGER
from sinks.ledger_writer import LedgerWriter
from sinks.row_batch import PendingBatch

TOPICS_INTERVAL_MS = 300
"""New topics are looked for so often, so that no kill waits half a minute for it."""
REPAIR_SLASHES = 3
"""In the token of rows that are inserted anew under a token that was never used."""


@dataclass(frozen=True)
class Death:
    """How a loader dies.

    Args:
        step: `phase:event`.
        nth: at which passing of the step.
        table: passings for other tables do not count; empty: all do.
        delay_s: so long after the step; None: at once.
        loses_part: the newest part of a table is gone with the process, though its token was
            written down, as after a power cut. Which one of those that may: this number.
        notes: file into which every step is written as it is passed.
    """

    step: str
    nth: int = 1
    table: str = ""
    delay_s: float | None = None
    loses_part: int | None = None
    notes: str = os.devnull


class Reaper:
    """Notes each step, and strikes at the one."""

    def __init__(self, death):
        self._death = death
        self._left = death.nth
        self._phases = ["load"]
        self._notes = os.open(death.notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._killer = start_killer()

    @contextlib.contextmanager
    def phase(self, name):
        """Count what is passed meanwhile as of another phase."""
        # To follow is to recover, too; what is under way then is known by the outer name.
        is_inner = name == "recover" and self._phases[-1] == "follow"
        self._phases.append("follow" if is_inner else name)
        try:
            yield
        finally:
            self._phases.pop()

    def passed(self, event, table="", lose=None):
        step = f"{self._phases[-1]}:{event}"
        os.write(self._notes, f"{time.monotonic():.4f} {step} {table}\n".encode())
        if step != self._death.step or self._death.table not in ("", table):
            return
        self._left -= 1
        if self._left == 0:
            self._strike(lose)

    @property
    def is_loading(self):
        """Say whether it is at its usual work, so not in recovery."""
        return self._phases == ["load"]

    @property
    def loses_part(self):
        """Say whether a part is to be lost."""
        return self._death.loses_part is not None

    def wants_stop(self):
        """Say whether the death is one of a stop."""
        return self._death.step.startswith("stop:")

    def _strike(self, lose):
        if self.loses_part:
            lose(self._death.loses_part)
        if self._death.delay_s is None:
            os.kill(os.getpid(), signal.SIGKILL)
        os.write(self._killer, struct.pack("d", self._death.delay_s))


def start_killer():
    """Start a process that kills us so many seconds after it was told; it ends with us.

    Our own threads cannot keep an appointment while the engine works.
    """
    ear, mouth = os.pipe()
    victim = os.getpid()
    if os.fork() == 0:
        os.close(mouth)
        told = os.read(ear, 8)
        if told:
            time.sleep(*struct.unpack("d", told))
        if os.getppid() == victim:
            os.kill(victim, signal.SIGKILL)
        os._exit(0)
    os.close(ear)
    return mouth


def run(death):
    """Run the loader service until it dies; return its exit code if it does not."""
    reaper = Reaper(death)
    watch_loader(reaper)
    watch_ledger(reaper)
    watch_writer(reaper)
    reaper.passed("start")
    return loader_service.main()


def around(reaper, owner, name, *, before=None, after=None, phase=None):
    """Tell of a method's beginning and of its good end."""
    real = getattr(owner, name)

    @functools.wraps(real)
    def wrapped(*args, **kwargs):
        with reaper.phase(phase) if phase else contextlib.nullcontext():
            if before:
                reaper.passed(before)
            answer = real(*args, **kwargs)
            if after:
                reaper.passed(after)
            return answer

    setattr(owner, name, wrapped)


def watch_loader(reaper):
    around(reaper, Loader, "flush", before="flush", after="flushed")
    around(reaper, Loader, "recover", after="recovered", phase="recover")
    around(reaper, Loader, "follow", phase="follow")
    around(reaper, BatchLanding, "_settle_share", phase="share")
    around(reaper, loader_service, "_flush", phase="stop")
    around(reaper, LoadSource, "read_again", after="read-again")
    around(reaper, LoadSource, "close", before="closing", phase="stop")
    around(reaper, DeadLetterWriter, "send", after="letter-sent")
    if reaper.wants_stop():
        stop_with_work(reaper)


def stop_with_work(reaper):
    """Let the service be told to stop when it has read something, and leave that to its end."""
    poll, is_due = LoadSource.poll, PendingBatch.is_due
    stopping = []

    def poll_and_stop(self, *args):
        found = poll(self, *args)
        if found and reaper.is_loading and not stopping:
            stopping.append(True)
            os.kill(os.getpid(), signal.SIGTERM)
        return found

    def is_due_before(self, *args, **kwargs):
        return not stopping and is_due(self, *args, **kwargs)

    LoadSource.poll, PendingBatch.is_due = poll_and_stop, is_due_before


def watch_ledger(reaper):
    around(reaper, LedgerWriter, "read", after="ledger-read")
    around(reaper, LedgerWriter, "begin_share", before="begin", after="begun")
    write = LedgerWriter.write

    def write_watched(self, entries, *, is_done):
        reaper.passed("finish" if is_done else "begin")
        write(self, entries, is_done=is_done)
        reaper.passed("done" if is_done else "begun")

    LedgerWriter.write = write_watched


def watch_writer(reaper):
    around(reaper, ClickHouseWriter, "has_landed", after="looked")
    for name, before, after in (("load", "insert", "inserted"), ("complete", "complete", None)):
        watch_batch(reaper, name, before, after or "completed")
    insert = ClickHouseWriter._insert

    def insert_watched(self, table, rows, token, target_count=0):
        is_watched = table != LEDGER and rows.num_rows > 0
        is_repair = token is not None and token.count("/") == REPAIR_SLASHES
        if is_watched:
            if reaper.loses_part:
                # A part that is to be lost must not be merged into others before.
                self._client.command("SYSTEM STOP MERGES")
            reaper.passed("repairing" if is_repair else "inserting", table)
        insert(self, table, rows, token, target_count)
        if is_watched:
            reaper.passed("landed", table)

    ClickHouseWriter._insert = insert_watched


def watch_batch(reaper, name, before, after):
    real = getattr(ClickHouseWriter, name)

    def wrapped(self, spec, entry, rows):
        reaper.passed(before, spec.name)
        answer = real(self, spec, entry, rows)
        reaper.passed(after, spec.name, lambda number: lose_part(self._client, spec, entry, number))
        return answer

    setattr(ClickHouseWriter, name, wrapped)


def lose_part(client, spec, entry, number):
    """Remove from the disk a part that holds rows of a batch and of none before it."""
    names = (spec.name, *(rollup.name for rollup in spec.rollups))
    sql = "SELECT _part FROM {} GROUP BY _part HAVING min(load_batch) >= {} ORDER BY _part"
    parts = [
        (name, part)
        for name in names
        for (part,) in client.query(sql.format(name, entry.batch_number)).result_rows
    ]
    name, part = parts[number % len(parts)]
    ((path,),) = client.query(
        "SELECT path FROM system.parts WHERE active AND database = currentDatabase() "
        f"AND table = '{name}' AND name = '{part}'"
    ).result_rows
    shutil.rmtree(path)
