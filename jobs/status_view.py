"""Prints what a running stack is doing."""

import time
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobs.engine_progress import engine_progress
from jobs.job_failures import JobState, job_states
from jobs.loader_status import loader_status
from jobs.process_records import ProcessStatus
from jobs.settings import Settings
from jobs.stack_end import stack_processes
from jobs.stack_status import group_lags, port_states, topic_ends
from schemas.errors import Unavailable

MEBIBYTE = 1024 * 1024


def print_status(settings: Settings) -> bool:
    """Print the state of every part; say whether every process is alive and no job has failed."""
    console = Console()
    processes = stack_processes(settings)
    if not processes:
        console.print(f"no stack is running in {settings.stack.data_dir.resolve()}")
        return True
    console.print(process_table(processes))
    console.print(_ports_table(settings))
    jobs = _jobs(settings)
    console.print(_jobs_table(jobs))
    for job in jobs:
        if job.is_failed:
            # Not in the table: a line that names the cure must not be cut.
            console.print(Text(f"{job.name} has failed: {job.cause}", "red"), soft_wrap=True)
    for table in _kafka_tables(settings):
        console.print(table)
    console.print(_progress_line(settings), soft_wrap=True)
    console.print(_loader_line(settings), soft_wrap=True)
    return all(process.is_alive for process in processes) and not any(job.is_failed for job in jobs)


def process_table(processes: Iterable[ProcessStatus]) -> Table:
    """Return the processes with what they use."""
    table = _table("process", "pid", "state", "memory MiB", "CPU s")
    for process in processes:
        state = "[green]alive[/]" if process.is_alive else "[red]ended[/]"
        memory, cpu = f"{process.rss_bytes / MEBIBYTE:.0f}", f"{process.cpu_seconds:.1f}"
        table.add_row(process.name, str(process.pid), state, memory, cpu)
    return table


def _ports_table(settings: Settings) -> Table:
    table = _table("setting", "port on 127.0.0.1", "state")
    for port in port_states(settings.stack):
        state = "[green]answers[/]" if port.is_answering else "[dim]silent[/]"
        table.add_row(port.setting, str(port.port), state)
    return table


def _jobs(settings: Settings) -> list[JobState]:
    try:
        return job_states(settings)
    except Unavailable as error:
        return [JobState(str(error), "unknown")]


def _jobs_table(jobs: Iterable[JobState]) -> Table:
    table = _table("job", "state")
    for job in jobs:
        color = "green" if job.state == "RUNNING" else "red"
        table.add_row(job.name, f"[{color}]{job.state}[/]")
    return table


def _progress_line(settings: Settings) -> Text:
    try:
        progress = engine_progress(settings)
    except Unavailable as error:
        return Text(str(error), "dim")
    if progress is None:
        return Text("offline job: tells nothing yet", "dim")
    return Text(progress.line(time.time()), "green")


def _loader_line(settings: Settings) -> Text:
    try:
        status = loader_status(settings.stack)
    except Unavailable as error:
        return Text(str(error), "dim")
    return Text(str(status), "green" if status.breaker == "closed" else "red")


def _kafka_tables(settings: Settings) -> list[Table]:
    ends = _table("topic", "partitions", "end offset")
    lags = _table("reader", "topic", "messages behind")
    try:
        for end in topic_ends(settings.kafka):
            ends.add_row(end.name, str(end.partition_count), str(end.end_offset))
        for lag in group_lags(settings.kafka):
            lags.add_row(lag.group, lag.topic, str(lag.lag))
    except Unavailable as error:
        ends.add_row(str(error), "", "")
    return [ends, lags]


def _table(*columns: str) -> Table:
    table = Table()
    for column in columns:
        table.add_column(column)
    return table
