"""Kills a loader at every step of its work, again and again; then counts the rows.

    load ─> loader ─> dies ─> load ─> loader recovers ─> dies ─> ... ─> a whole loader ─> judgement

Nothing mends between two kills but the next loader. Each row of the table has topics and a
directory of its own; after its last kill a loader that is not touched brings in what is left, and
every row of every table is compared.
"""

import contextlib
import random
import signal
import subprocess
import time
from dataclasses import asdict

from confluent_kafka import Consumer, TopicPartition

from jobs.clickhouse_settings import clickhouse_address
from jobs.local_stack import LocalStack, Part
from jobs.ports import free_port_settings
from jobs.query import asking
from jobs.settings_file import write_settings_file
from jobs.topic_admin import create_topics
from schemas.registry import SchemaRegistry
from schemas.tables import migrations
from schemas.topics import Topic, topic_name
from sinks.clickhouse_endpoint import open_client
from sinks.migration_writer import migrate
from tests.chaos.dying_loader import Death
from tests.chaos.kill_judgement import NO_MERGES, REPLACING, judge
from tests.chaos.kill_load import ODD, KillLoad
from tests.chaos.kill_steps import GROUPS, INSTANT_MAX_S, LIFE_MAX_S
from tests.chaos.victims import wait_for
from tests.integration.loader_forks import LoaderForks

HEADINGS = ("the loader dies", "kills", "lost", "duplicated", "roll-ups", "longest recovery s")
STEP_DEADLINE_S = 30.0
ATTEMPTS = 3
"""A drawn instant may come too late for the next step of a chain to be there."""
REFUSE_ODD = f"ALTER TABLE alert_events ADD CONSTRAINT no_{ODD} CHECK severity != '{ODD}'"
POSITIONS_SQL = "SELECT topic, partition, last_offset + 1, is_done FROM load_ledger FINAL"


class KillRun:
    """One directory, one load, many deaths.

    Args:
        settings: with a directory and topics of its own; the topics exist.
        forks: start the loaders.
        seed: of the load and of every instant.
    """

    def __init__(self, settings, forks, seed):
        self.settings, self._forks = settings, forks
        self._draw = random.Random(seed)
        for name in ("logs", "run"):
            (settings.stack.data_dir / name).mkdir(parents=True)
        self._file = write_settings_file(self.settings)
        self._log = self.settings.stack.data_dir / "logs" / "killed-loaders.log"
        self._notes = self.settings.stack.data_dir / "run" / "steps-passed"
        self._marker = self.settings.stack.data_dir / "run" / "loader.ready"
        registry = SchemaRegistry(self.settings.registry.url, self.settings.registry.timeout_s)
        with contextlib.closing(registry):
            self._load = KillLoad(self.settings, registry.register_all(), seed)
        self._died_at_s = None
        self._longest_s = 0.0
        self.kill_count = self.missed_count = self.instant_count = self.inside_count = 0

    def prepare(self):
        """Make the tables: one that refuses some rows, and none that hides a second copy."""
        address = clickhouse_address(self.settings)
        migrate(address, migrations())
        with open_client(address) as client:
            client.command(REFUSE_ODD)
            for table in REPLACING:
                client.command(NO_MERGES.format(table))
        # Points of all tenants come into one table, from a topic each.
        for _ in range(2):
            self._load.add_tenant_topic()

    def suffer(self, group):
        """Let loaders die as a group of deaths says; return how many did."""
        before = self.kill_count
        for _ in range(group.times):
            for step in group.chain:
                self._die(group, step)
        return self.kill_count - before

    def judge(self):
        """Let a whole loader bring in the rest; return what differs, and the longest recovery."""
        process = self._start_whole()
        with asking(self.settings) as ask:
            wait_for(lambda: self._is_all_loaded(ask), "all messages in the tables")
            judgement = judge(ask, self._load, self.settings)
        self._end_whole(process)
        longest_s, self._longest_s = self._longest_s, 0.0
        return judgement, longest_s

    # --- one death --------------------------------------------------------------------------------

    def _die(self, group, step):
        """Let loaders start until one has died at the step."""
        for _ in range(ATTEMPTS):
            if self._dies(group, step):
                self.kill_count += 1
                return
            self.missed_count += 1
        raise AssertionError(f"{step} was not reached by {ATTEMPTS} loaders; see {self._log}")

    def _dies(self, group, step):
        death = self._death(group, step)
        self._notes.unlink(missing_ok=True)
        # What recovers finds its load: the batch under way. Everybody else gets a fresh one.
        if not step.startswith("recover:"):
            self._load.produce(odd=group.odd)
        loader = self._forks.start(self._file, self._log, asdict(death))
        if (group.new_topic or group.new_partitions) and not step.startswith("recover:"):
            wait_for(lambda: self._has_passed("recover:recovered"), "a loader that reads")
            self._load.add_tenant_topic() if group.new_topic else self._load.add_partitions()
        is_late = False
        try:
            loader.communicate(timeout=STEP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            is_late = True
            loader.kill()
            loader.communicate()
        died_at_s = time.monotonic()
        assert loader.returncode in {0, -signal.SIGKILL}, self._log.read_text()[-2000:]
        passed = self._passed()
        self._note_recovery(passed)
        self._died_at_s = died_at_s
        if step.endswith("inserting*") and not is_late:
            self.instant_count += 1
            self.inside_count += passed[-1][1] == death.step
        return not is_late and loader.returncode != 0

    def _death(self, group, step):
        name, draw = step.rstrip("*!"), self._draw
        longest_s = LIFE_MAX_S if name == "load:start" else INSTANT_MAX_S
        return Death(
            name,
            nth=draw.randint(1, group.max_nth) if step == group.chain[0] else 1,
            # Of the windows: they have roll-ups, of which each can lose a part.
            table="windows" if step.endswith("!") else "",
            delay_s=draw.uniform(0, longest_s) if step.endswith("*") else None,
            loses_part=draw.randrange(100) if step.endswith("!") else None,
            notes=str(self._notes),
        )

    def _passed(self):
        lines = self._notes.read_text().splitlines() if self._notes.exists() else []
        return [(float(at_s), name, rest) for at_s, name, *rest in map(str.split, lines)]

    def _has_passed(self, step):
        return any(name == step for _, name, _ in self._passed())

    def _note_recovery(self, passed):
        """Measure from the last death until its successor has finished what was under way."""
        recovered = [at_s for at_s, name, _ in passed if name == "recover:recovered"]
        if recovered and self._died_at_s is not None:
            self._longest_s = max(self._longest_s, recovered[0] - self._died_at_s)

    # --- a loader that is left alone --------------------------------------------------------------

    def _start_whole(self):
        """Start a loader that nobody kills, and return when it is ready."""
        self._marker.unlink(missing_ok=True)
        loader = self._forks.start(self._file, self._log)
        wait_for(lambda: self._marker.exists() or loader.poll() is not None, "ready marker")
        assert loader.poll() is None, self._log.read_text()[-2000:]
        if self._died_at_s is not None:
            self._longest_s = max(self._longest_s, time.monotonic() - self._died_at_s)
        self._died_at_s = None
        return loader

    def _end_whole(self, loader):
        loader.send_signal(signal.SIGTERM)
        loader.communicate(timeout=STEP_DEADLINE_S)
        assert loader.returncode == 0, self._log.read_text()[-2000:]

    def _is_all_loaded(self, ask):
        rows = ask(POSITIONS_SQL).rows()
        if not all(is_done for *_, is_done in rows):
            return False
        loaded = {(topic, partition): end for topic, partition, end, _ in rows}
        return all(
            loaded.get((topic, partition), 0) >= end
            for topic, ends in (self._load.ends | self._letter_ends()).items()
            for partition, end in ends.items()
        )

    def _letter_ends(self):
        name = topic_name(Topic.DEAD_LETTERS, self.settings.kafka.topic_prefix)
        servers = self.settings.kafka.bootstrap_servers
        consumer = Consumer({"bootstrap.servers": servers, "group.id": "letter-ends"})
        with contextlib.closing(consumer):
            partitions = consumer.list_topics(name, timeout=10).topics[name].partitions
            return {
                name: {
                    p: consumer.get_watermark_offsets(TopicPartition(name, p), timeout=10)[1]
                    for p in partitions
                }
            }


def run_loader_kills(folder, seed, groups=GROUPS, report=print):
    """Run all groups and report the lines of the table; return what differed.

    Args:
        folder: of the stack.
        seed: of the load and of every instant.
        groups: rows of the table.
        report: gets the lines.
    """
    report(line(HEADINGS))
    report(line(["---"] * len(HEADINGS)))
    settings = free_port_settings(
        folder,
        kafka={"partition_count": 2},
        loader={"batch_max_age_ms": 200, "points_max_age_ms": 400},
        # The rows are of a fixed month, which gets older.
        clickhouse={"keep_days": (0, 0, 0), "keep_points_days": 0},
    )
    wrong, runs, began_s = [], [], time.monotonic()
    with LocalStack(settings, parts=(Part.KAFKA, Part.REGISTRY)), LoaderForks() as forks:
        for number, group in enumerate(groups):
            runs.append(KillRun(_own_settings(settings, number), forks, seed + number))
            runs[-1].prepare()
            kills = runs[-1].suffer(group)
            found, longest_s = runs[-1].judge()
            rollups = "equal" if found.are_rollups_equal else "differ"
            cells = group.text, kills, found.lost, found.duplicated, rollups, f"{longest_s:.1f}"
            report(line(cells))
            wrong += [f"{group.text}: {each}" for each in found.wrong]
    report(_summary(runs, time.monotonic() - began_s))
    return wrong


def _own_settings(settings, number):
    """Return settings with topics, which are created, and a directory of their own."""
    stack, kafka = settings.stack, settings.kafka
    own = settings.model_copy(
        update={
            "stack": stack.model_copy(update={"data_dir": stack.data_dir / f"kills{number}"}),
            "kafka": kafka.model_copy(update={"topic_prefix": f"kills{number}."}),
        }
    )
    create_topics(own.kafka)
    return own


def _summary(runs, took_s):
    names = ("kill_count", "instant_count", "inside_count", "missed_count")
    kills, instants, inside, missed = (sum(getattr(run, n) for run in runs) for n in names)
    return (
        f"\n{kills} kills in {took_s:.0f} s; of {instants} at an instant of an insert {inside} "
        f"came within it; {missed} loaders did not come to their step and were killed elsewhere"
    )


def line(cells):
    return f"| {' | '.join(str(cell) for cell in cells)} |"
