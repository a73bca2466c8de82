"""Those who sum the same log side by side: how each is started, measured and read.

    peer           a small program in benchmarks/peers, one process, marks on its standard output
    Flink SQL      a bounded job on a fresh cluster that a smaller log has warmed up
    Fleetpulse     the real aggregate job on a fresh cluster; its account tells how far it is

Each writes its windows to a topic. Nobody is timed while he starts.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.cost_sampler import CostSampler, one_process, processes_named
from benchmarks.drain_tap import DrainTap
from benchmarks.fleet_values import POINTS_PER_BATCH
from benchmarks.machine import load_1_min
from benchmarks.peers.task import Task
from benchmarks.prepared_log import WINDOW_MS, PreparedLog
from benchmarks.result_reading import create_topic, empty_topics
from benchmarks.submit_chosen import submit_chosen
from jobs.aggregate_job import JOB_NAME
from jobs.flink_cluster import ENDED_STATES, ask_flink, flink_dir, flink_environment
from jobs.jar_fetch import fetch_missing
from jobs.jars import PROJECT_ROOT, read_lock
from jobs.local_stack import LocalStack, Part
from jobs.ports import free_port_settings
from jobs.process_records import ProcessRecord, birth_s
from jobs.settings import Settings
from jobs.settings_file import write_settings_file
from schemas.topics import Topic

PEERS_DIR = PROJECT_ROOT / "benchmarks" / "peers"
PEERS_PYTHON = PROJECT_ROOT / "benchmarks" / "out" / "peers" / "bin" / "python"
SCHEMA = PROJECT_ROOT / "schemas" / "avro" / "telemetry_batch.avsc"
POLL_INTERVAL_S = 0.1
RUN_MAX_S = 240.0
"""A contender that takes longer gets a smaller log."""


@dataclass(frozen=True)
class Cost:
    """What a measured part of a run cost.

    Args:
        points: handled in it.
        wall_s: its length.
        cpu_s: user and system, of all processes of the contender; the broker apart.
        peak_mb: most memory of these processes, from their start.
        load: of the machine, mean of the last minute.
    """

    points: int
    wall_s: float
    cpu_s: float
    peak_mb: float
    load: float

    @property
    def per_s(self) -> float:
        """Return points a second of wall time."""
        return self.points / self.wall_s

    @property
    def per_cpu_s(self) -> float:
        """Return points a CPU-second."""
        return self.points / self.cpu_s


class Mark(NamedTuple):
    """A line of a peer."""

    mark: str
    at_s: float
    cpu_s: float
    messages: int


def task_of(log: PreparedLog, run: str, warm_ratio: float, folder: Path) -> Task:
    """Return a task on a log, with a topic of results of its own."""
    kafka = log.settings.kafka
    results = f"{kafka.topic_prefix}results-{run}"
    create_topic(kafka, results)
    return Task(
        servers=kafka.bootstrap_servers,
        topic=log.topic,
        results=results,
        group=f"bench-{run}",
        schema=str(SCHEMA),
        message_count=log.message_count,
        warm_count=max(1, round(log.message_count * warm_ratio)),
        window_ms=WINDOW_MS,
        folder=str(folder),
        registry=log.settings.registry.url,
    )


def run_peer(python: Path, module: str, log: PreparedLog, task: Task) -> Cost:
    """Run a peer's program to its end.

    Raises:
        AssertionError: it failed or took too long.
    """
    argv = [str(python), "-m", f"benchmarks.peers.{module}", json.dumps(asdict(task))]
    errors = Path(task.folder) / "errors.txt"
    with errors.open("wb") as file:
        child = subprocess.Popen(
            argv, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, stderr=file, start_new_session=True
        )
        record = ProcessRecord(module, child.pid, birth_s(child.pid))
        try:
            with CostSampler(one_process(record)) as costs:
                told, _ = child.communicate(timeout=RUN_MAX_S)
        finally:
            child.kill()
    assert child.returncode == 0, f"{module}: {errors.read_text(errors='replace')[-2000:]}"
    lines = [line for line in told.splitlines() if line.startswith(b"{")]
    warm, done = (Mark(**json.loads(line)) for line in lines)
    points = log.point_count - warm.messages * POINTS_PER_BATCH
    assert points > 0, f"{module}: the whole log was warm-up: a larger one is needed"
    return Cost(
        points=points,
        wall_s=done.at_s - warm.at_s,
        cpu_s=done.cpu_s - warm.cpu_s,
        peak_mb=costs.peak_mb,
        load=load_1_min(),
    )


@contextmanager
def fresh_cluster(settings: Settings) -> Iterator[Settings]:
    """Run a Flink cluster of its own beside a broker while the block runs; yield its settings."""
    with tempfile.TemporaryDirectory(prefix="bench-flink-") as folder:
        own = free_port_settings(
            Path(folder),
            kafka=settings.kafka.model_dump(),
            registry=settings.registry.model_dump(),
            flink=settings.flink.model_dump(exclude={"rest_port"}),
        )
        with LocalStack(own, parts=(Part.FLINK,)):
            yield own


def flink_sql_jar(settings: Settings) -> Path:
    """Return Flink's own reader of Avro with a registry, fetched when it is missing."""
    lock = read_lock(PEERS_DIR / "jars.lock")
    fetch_missing(settings.stack.cache_dir, lambda _: None, lock)
    (jar,) = (locked.path(settings.stack.cache_dir) for locked in lock)
    return jar


def run_flink_sql(kind: str, log: PreparedLog, warm_up: Task, task: Task) -> Cost:
    """Run bare Flink SQL over a smaller log, then over the log; only this is measured."""
    with fresh_cluster(log.settings) as own, CostSampler(processes_named(own)) as costs:
        _finished(own, _submit_sql(own, kind, warm_up))
        job = _finished(own, _submit_sql(own, kind, task))
        costs.sample()
        begin_s = min(vertex["start-time"] for vertex in job["vertices"]) / 1000
        end_s = job["timestamps"]["FINISHED"] / 1000
        return Cost(
            points=log.point_count,
            wall_s=end_s - begin_s,
            cpu_s=costs.cpu_s(begin_s, end_s),
            peak_mb=costs.peak_mb,
            load=load_1_min(),
        )


def _submit_sql(settings: Settings, kind: str, task: Task) -> str:
    jar = flink_sql_jar(settings)
    # The driver looks for formats in this folder; to the cluster the job brings the file itself.
    link = flink_dir(settings) / "lib" / jar.name
    if not link.exists():
        link.symlink_to(jar.resolve())
    argv = [sys.executable, "-m", "benchmarks.peers.flink_sql_job", json.dumps(asdict(task))]
    done = subprocess.run(
        [*argv, kind, str(jar)], cwd=PROJECT_ROOT, env=flink_environment(settings), check=False,
        text=True, capture_output=True, timeout=RUN_MAX_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.split()[-1]


def _finished(settings: Settings, job_id: str) -> dict[str, Any]:
    """Wait until a job has finished; return what Flink says of it."""
    give_up_at_s = time.monotonic() + RUN_MAX_S
    while (job := ask_flink(settings, f"/jobs/{job_id}"))["state"] not in ENDED_STATES:
        assert time.monotonic() < give_up_at_s, "not finished in time"
        time.sleep(POLL_INTERVAL_S)
    if job["state"] != "FINISHED":
        failure = ask_flink(settings, f"/jobs/{job_id}/exceptions")
        raise AssertionError(json.dumps(failure)[:3000])
    return job


def run_fleetpulse(log: PreparedLog, warm_ratio: float) -> Cost:
    """Let the real aggregate job drain the log; measured is what it writes after the warm-up."""
    empty_topics(log.settings, (Topic.WINDOWS, Topic.ACCOUNTS), (JOB_NAME, "tap-accounts"))
    with fresh_cluster(log.settings) as own:
        write_settings_file(own)
        with DrainTap(own) as tap, CostSampler(processes_named(own)) as costs:
            submit_chosen(own, [JOB_NAME])
            give_up_at_s = time.monotonic() + RUN_MAX_S
            while tap.settled < log.point_count:
                tap.check()
                assert time.monotonic() < give_up_at_s, f"{tap.settled} of {log.point_count}"
                time.sleep(POLL_INTERVAL_S)
            costs.sample()
            span = tap.span(warm_ratio)
            return Cost(
                points=span.points,
                wall_s=span.wall_s,
                cpu_s=costs.cpu_s(span.begin_s, span.end_s),
                peak_mb=costs.peak_mb,
                load=load_1_min(),
            )
