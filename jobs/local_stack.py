"""The local stack: every process of Fleetpulse on this machine, on loopback, in one folder.

    kafka --> topics --+--> clock
                       +--> loader
    registry -> schemas+            (kafka, registry and flink start at the same time)
    flink -------------+--> jobs

    <data_dir>/run     stack.json, settings.toml, <name>.ready
    <data_dir>/logs    one log a process
    <data_dir>/kafka, registry, flink, clickhouse    what each part keeps

Whatever goes wrong while it starts, everything that was started is ended again.
"""

import sys
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from enum import StrEnum
from types import TracebackType
from typing import Self

from jobs.flink_cluster import (
    are_tasks_running,
    has_slots,
    job_manager_program,
    prepare_flink,
    task_manager_program,
)
from jobs.java_program import (
    is_kafka_formatted,
    is_registry_healthy,
    kafka_format_program,
    kafka_program,
    registry_program,
)
from jobs.ports import is_answering, require_free_ports
from jobs.process_group import ProcessGroup, Program
from jobs.process_records import (
    ProcessRecord,
    ProcessStatus,
    end_processes,
    read_records,
    write_records,
)
from jobs.settings import Settings
from jobs.settings_file import child_environment, write_settings_file
from jobs.stack_end import END_GRACE_S, exclusive_start, stack_processes, stop_stack
from jobs.submit import submission_program
from jobs.topic_admin import check_topics, create_topics
from schemas.errors import SettingsError
from schemas.registry import SchemaRegistry


class Part(StrEnum):
    """What the stack can start."""

    KAFKA = "kafka"
    REGISTRY = "registry"
    FLINK = "flink"
    CLOCK = "clock"
    LOADER = "loader"
    JOBS = "jobs"


INFRASTRUCTURE = (Part.KAFKA, Part.REGISTRY, Part.FLINK)


class LocalStack:
    """The processes of one local stack, started on entry and ended on exit.

    Args:
        settings: name the folder and the ports.
        parts: what to start; everything by default.
        report: gets one line for each step that is done.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        parts: Collection[Part] = tuple(Part),
        report: Callable[[str], None] = lambda line: None,  # noqa: ARG005 - nobody listens
    ) -> None:
        self.settings = settings
        self.data_dir = settings.stack.data_dir.resolve()
        self.run_dir = self.data_dir / "run"
        self.log_dir = self.data_dir / "logs"
        self._parts = frozenset(parts)
        self._report = report
        self._group = ProcessGroup(self.run_dir, self.log_dir)
        self._started_at_s = time.monotonic()

    def __enter__(self) -> Self:
        """Start the stack; see `start`."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the stack."""
        self.stop()

    def start(self) -> None:
        """Start every part and return when all are ready.

        Raises:
            SettingsError: a port is taken, Java or a jar is missing, a schema or topic is refused.
            Unavailable: a process ended or was not ready in time.
        """
        self._started_at_s = time.monotonic()
        with exclusive_start(self.run_dir):
            self._refuse_if_running()
            require_free_ports(self.settings.stack)
            write_settings_file(self.settings)
            write_records(self.run_dir, [])
            self._start_parts()

    def _refuse_if_running(self) -> None:
        alive = [record for record in read_records(self.run_dir) if record.process() is not None]
        if alive:
            names = ", ".join(f"{record.name} ({record.pid})" for record in alive)
            raise SettingsError(
                "stack.data_dir",
                value=str(self.data_dir),
                allowed=f"a folder without a running stack; running there: {names}",
                cure="end it with `fleetpulse down`, or set another data_dir",
            )

    def _start_parts(self) -> None:
        with ThreadPoolExecutor(max_workers=len(Part)) as pool:
            try:
                messaging = [
                    pool.submit(self._start_kafka),
                    pool.submit(self._start_registry),
                ]
                flink = pool.submit(self._start_flink)
                _finish([*messaging, flink], until=messaging)
                services = [
                    pool.submit(self._start_service, Part.CLOCK, "jobs.clock_service"),
                    pool.submit(self._start_service, Part.LOADER, "jobs.loader_service"),
                ]
                _finish([flink, *services], until=[flink])
                _finish([*services, pool.submit(self._submit_jobs)])
            except BaseException:
                # The pool is left when the other starts have given up their waits.
                self.stop()
                raise

    def _start_kafka(self) -> None:
        if Part.KAFKA not in self._parts:
            return
        if not is_kafka_formatted(self.settings):
            self._group.start(kafka_format_program(self.settings))
            self._group.wait_for_exit("kafka-format", timeout_s=self._time_left_s())
        self._group.start(kafka_program(self.settings))
        port = self.settings.stack.kafka_port
        self._wait_until("kafka", lambda: is_answering(port), what=f"answer at port {port}")
        create_topics(self.settings.kafka)
        check_topics(self.settings.kafka)
        self._done("kafka", "topics are there")

    def _start_registry(self) -> None:
        if Part.REGISTRY not in self._parts:
            return
        self._group.start(registry_program(self.settings))
        self._wait_until("registry", lambda: is_registry_healthy(self.settings), what="health")
        registry = SchemaRegistry(self.settings.registry.url, self.settings.registry.timeout_s)
        ids = registry.register_all(self.settings.kafka.topic_prefix)
        registry.close()
        self._done("registry", f"{len(ids)} schemas are registered")

    def _start_flink(self) -> None:
        if Part.FLINK not in self._parts:
            return
        prepare_flink(self.settings)
        self._group.start(job_manager_program(self.settings))
        self._group.start(task_manager_program(self.settings))
        self._wait_until("taskmanager", lambda: has_slots(self.settings), what="slots")
        self._done("flink", f"http://127.0.0.1:{self.settings.stack.flink_port}")

    def _start_service(self, part: Part, module: str) -> None:
        if part not in self._parts:
            return
        self.start_module(part.value, module)
        marker = self.run_dir / f"{part}.ready"
        self._wait_until(part.value, marker.exists, what=f"marker {marker}")
        self._done(part.value, "ready")

    def _submit_jobs(self) -> None:
        if Part.JOBS not in self._parts:
            return
        self._group.start(submission_program(self.settings))
        self._group.wait_for_exit("submission", timeout_s=self._time_left_s())
        self._done("jobs", "submitted")
        # A job runs before its Python workers do: only then is it ready for input.
        self._wait_until(
            "taskmanager", lambda: are_tasks_running(self.settings), what="running tasks"
        )
        self._done("jobs", "running")

    def start_module(self, name: str, module: str, *arguments: str) -> ProcessRecord:
        """Start one of our own modules as a process of the stack.

        Args:
            name: of the process and of its log; it touches `run/<name>.ready` when it is ready.
            module: such as `benchmarks.simulator`.
            arguments: for the module.
        """
        (self.run_dir / f"{name}.ready").unlink(missing_ok=True)
        argv = [sys.executable, "-m", module, *arguments]
        return self._group.start(Program(name, argv, child_environment(self.settings)))

    def run_program(self, program: Program) -> None:
        """Run a program that does one thing, such as a submission, to its end.

        Raises:
            Unavailable: it failed or took too long; with the end of its log.
        """
        self._group.start(program)
        self._group.wait_for_exit(program.name, timeout_s=self.settings.stack.start_timeout_s)

    def wait_until_ready(self, name: str, *, timeout_s: float) -> None:
        """Wait until a process that was started with `start_module` is ready.

        Raises:
            Unavailable: it ended, or was not ready in time; with the end of its log.
        """
        marker = self.run_dir / f"{name}.ready"
        self._group.wait_until(name, marker.exists, what=f"marker {marker}", timeout_s=timeout_s)

    def processes(self) -> list[ProcessStatus]:
        """Measure every process of the stack, in the order of their start."""
        return stack_processes(self.settings)

    def stop_process(self, name: str) -> None:
        """End one process of the stack and wait until it has ended."""
        records = [r for r in read_records(self.run_dir) if r.name == name]
        end_processes(records, grace_s=END_GRACE_S)

    def stop(self) -> None:
        """End every process, the writers first; what does not end by itself is killed."""
        self._group.close()
        stop_stack(self.settings)
        self._group.reap()

    def _wait_until(self, name: str, is_ready: Callable[[], bool], *, what: str) -> None:
        self._group.wait_until(name, is_ready, what=what, timeout_s=self._time_left_s())

    def _time_left_s(self) -> float:
        limit_s = self.settings.stack.start_timeout_s
        return max(0.0, self._started_at_s + limit_s - time.monotonic())

    def _done(self, name: str, what: str) -> None:
        elapsed_s = time.monotonic() - self._started_at_s
        self._report(f"{elapsed_s:5.1f} s  {name}: {what}")


def _finish(started: Sequence[Future[None]], until: Sequence[Future[None]] | None = None) -> None:
    """Wait for starts, and raise the first failure of any of them as soon as it happens."""
    waited_for = started if until is None else until
    while not all(future.done() for future in waited_for):
        wait(started, timeout=0.1, return_when="FIRST_EXCEPTION")
        for future in started:
            if future.done():
                future.result()
    for future in waited_for:
        future.result()
