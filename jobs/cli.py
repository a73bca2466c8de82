"""The command line: `fleetpulse COMMAND --help` says what each command does.

What a command needs is imported inside of it, so that `--help` answers at once.
"""

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from jobs.control_cli import app as control
from jobs.dead_letters_cli import app as dead_letters
from jobs.detect_cli import detect
from jobs.explain_cli import explain
from jobs.query_cli import query
from schemas.errors import FleetpulseError, SettingsError

EXIT_FAILED = 1
EXIT_REFUSED = 2
EXIT_TERMINATED = 128 + signal.SIGTERM

app = typer.Typer(
    help="Telemetry and alerting engine for fleets of edge-AI devices.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
app.add_typer(control, name="control")
app.add_typer(dead_letters, name="dead-letters")


@app.callback()
def choose_settings(
    context: typer.Context,
    settings_file: Annotated[
        Path | None, typer.Option("--settings", help="TOML file with settings.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="One setting, such as kafka.partition_count=8; repeatable."),
    ] = None,
) -> None:
    """Telemetry and alerting engine for fleets of edge-AI devices.

    Settings come from defaults, a TOML file, the environment (FLEETPULSE_KAFKA__PARTITION_COUNT=8)
    and --set; the later wins. Exit code: 0 done, 1 failed, 2 refused because of a setting.
    """
    if settings_file is not None:
        from jobs.settings import choose_settings_file

        choose_settings_file(settings_file)
    context.obj = parse_changes(changes or [])


def parse_changes(changes: list[str]) -> dict[str, dict[str, str]]:
    """Read settings given as `group.name=value`.

    >>> parse_changes(["kafka.partition_count=8", "fleet.seed=2"])
    {'kafka': {'partition_count': '8'}, 'fleet': {'seed': '2'}}

    Raises:
        SettingsError: one is not of this form.
    """
    groups: dict[str, dict[str, str]] = {}
    for change in changes:
        name, equals, value = change.partition("=")
        group, dot, field = name.partition(".")
        if not (equals and dot):
            raise SettingsError(
                "--set", value=change, allowed="group.name=value", cure="see jobs/settings.py"
            )
        groups.setdefault(group, {})[field] = value
    return groups


def _settings(context: typer.Context) -> Any:
    from jobs.settings import load_settings

    return load_settings(**context.obj)


@app.command()
def up(context: typer.Context) -> None:
    """Start the local stack: Kafka, schema registry, Flink, clock, loader and the jobs.

    Returns when all of it is ready; the processes go on in the background until `fleetpulse down`.
    If anything fails, everything that was started is ended again.

    Example: fleetpulse --set stack.data_dir=/tmp/fleet up
    """
    from jobs.demo_folder import disown_demo_folder
    from jobs.local_stack import LocalStack

    settings = _settings(context)
    LocalStack(settings, report=typer.echo).start()
    # What is stored from now on is no demo's to remove.
    disown_demo_folder(settings.stack.data_dir)
    typer.echo(f"up; Flink's page: http://127.0.0.1:{settings.stack.flink_port}")


@app.command()
def down(context: typer.Context) -> None:
    """End the local stack; what it stored stays in its folder.

    Example: fleetpulse down
    """
    from jobs.stack_end import stop_stack

    count = stop_stack(_settings(context), typer.echo)
    typer.echo(f"ended {count} processes" if count else "nothing was running")


@app.command()
def status(context: typer.Context) -> None:
    """Show the stack's processes, ports, jobs, topics and how far their readers are behind.

    Exit code 1 when a process of the stack has ended or a job has failed; the job's cause is told.

    Example: fleetpulse status
    """
    from jobs.status_view import print_status

    if not print_status(_settings(context)):
        raise typer.Exit(EXIT_FAILED)


@app.command()
def topics(context: typer.Context) -> None:
    """Create the topics that are missing, check those that exist, register the schemas.

    `fleetpulse up` does this already; use it where Kafka and the registry are run by others.

    Example: fleetpulse --set kafka.bootstrap_servers=kafka:9092 topics
    """
    from jobs.topic_setup import prepare_topics

    for line in prepare_topics(_settings(context)):
        typer.echo(line)


@app.command()
def simulate(
    context: typer.Context,
    duration_s: Annotated[
        float | None, typer.Option(min=0.1, help="Seconds; until Ctrl-C when not given.")
    ] = None,
) -> None:
    """Send the telemetry of a simulated fleet to Kafka, with faults, from a seed.

    Example: fleetpulse --set fleet.device_count=5000 simulate --duration-s 60
    """
    from benchmarks.simulator import run_simulation

    counts = run_simulation(_settings(context), duration_s=duration_s)
    typer.echo(f"acknowledged by Kafka: {counts}")


@app.command()
def demo(
    context: typer.Context,
    seconds: Annotated[
        float | None, typer.Option(min=1, help="End after so long; at Ctrl-C when not given.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Draw the last live view into this SVG file.")
    ] = None,
) -> None:
    """Show the whole engine live: the local stack with a simulated fleet, then what it stored.

    Silence is an alert after 20 s here, not after 5 minutes; any setting can be given. The data_dir
    is emptied at the start, but only when an earlier demo made it.

    Example: fleetpulse demo --seconds 120
    """
    from jobs.demo import DemoOptions, run_demo
    from jobs.demo_settings import DemoSettings
    from jobs.settings import load_settings

    settings = load_settings(DemoSettings, **context.obj)
    raise typer.Exit(run_demo(settings, DemoOptions(seconds, picture)))


@app.command()
def submit(context: typer.Context) -> None:
    """Submit the jobs to the Flink cluster of the settings and print their ids.

    Each goes on where it was. `fleetpulse up` does this already; use it after `fleetpulse stop`.

    Example: fleetpulse --set flink.parallelism=2 submit
    """
    from jobs.submit import submit_from_child

    raise typer.Exit(submit_from_child(_settings(context)))


@app.command()
def stop(context: typer.Context) -> None:
    """Stop the jobs, each with a savepoint from which `fleetpulse submit` goes on.

    Example: fleetpulse stop
    """
    from jobs.job_stop import stop_jobs

    for name, uri in stop_jobs(_settings(context)).items():
        typer.echo(f"{name}: {uri}")


@app.command()
def load(context: typer.Context) -> None:
    """Load results from Kafka into ClickHouse, in the foreground, until Ctrl-C.

    `fleetpulse up` runs this in the background already.

    Example: fleetpulse --set clickhouse.interface=http load
    """
    from jobs.loader_service import run

    run(_settings(context))


app.command()(query)
app.command()(detect)
app.command()(explain)


@app.command()
def backtest(
    log: Annotated[Path, typer.Option("--input", help="JSONL: the log to run the rules over.")],
    out: Annotated[Path, typer.Option(help="JSONL: the alert events, in order.")],
    settings_file: Annotated[
        Path | None, typer.Option("--settings", help="TOML file; its group `offline` counts.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="When the log ends; RFC 3339.")] = None,
    ticks: Annotated[str | None, typer.Option(help="Add clock ticks, such as 5s.")] = None,
    engine: Annotated[
        str, typer.Option(help="pure; flink: through a Kafka and the real job, a minute or two.")
    ] = "pure",
) -> None:
    """Run the offline rules over a recorded or hand-written log.

    pure needs no broker. flink starts one in a folder that is removed again, and tells the same
    events; only input_clock and detection_delay_ms say how the log was cut into blocks.

    Example: fleetpulse backtest --input log.jsonl --ticks 5s --out alerts.jsonl
    """
    from jobs.backtest import LogFile, run_backtest

    source = LogFile(log, settings_file, until=until, ticks=ticks)
    typer.echo(f"{run_backtest(source, out, engine)} events")


@app.command()
def doctor(context: typer.Context) -> None:
    """Check versions, Java, jars, ports, disk, topics, registry and ClickHouse; say the cure.

    Exit code 1 when a check fails.

    Example: fleetpulse doctor
    """
    from jobs.doctor import print_checks

    if not print_checks(_settings(context)):
        raise typer.Exit(EXIT_FAILED)


def _end_on_sigterm(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - Python's
    sys.exit(EXIT_TERMINATED)


def main() -> None:
    """Run the command line; an expected error is one line and an exit code, never a traceback."""
    # As with Ctrl-C, what a command has started is then ended on the way out.
    signal.signal(signal.SIGTERM, _end_on_sigterm)
    try:
        app()
    except FleetpulseError as error:
        typer.echo(f"fleetpulse: {error}", err=True)
        sys.exit(EXIT_REFUSED if isinstance(error, SettingsError) else EXIT_FAILED)


if __name__ == "__main__":
    main()
