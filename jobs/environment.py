"""The Flink environment of every job: configuration from settings, our code as one zip."""

import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pyflink.common import Configuration
from pyflink.datastream import DataStream, StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway
from pyflink.table import StatementSet, StreamTableEnvironment

from jobs.settings import Settings

SHIPPED_PACKAGES = ("jobs", "schemas", "udfs", "sinks")
SHIPPED_SUFFIXES = {".py", ".avsc", ".sql"}
STATE_CACHE_MAX_ENTRIES = 10_000
BUNDLE_SIZE = "python.fn-execution.bundle.size"
BUNDLE_TIME = "python.fn-execution.bundle.time"
BATCH_SIZE = "python.fn-execution.arrow.batch.size"
PASS_ON_MS = 50
"""How often a step hands on what it has, ms."""

PYTHON_OPTIONS = {
    "python.state.cache-size": str(STATE_CACHE_MAX_ENTRIES),
}
"""What every Python worker of ours runs with."""


def table_environment(
    settings: Settings,
    job_name: str,
    restore_path: str | None = None,
    *,
    block_max_messages: int | None = None,
) -> StreamTableEnvironment:
    """Return the environment in which one job is built and submitted.

    Args:
        settings: of the whole engine.
        job_name: shown on Flink's page.
        restore_path: checkpoint or savepoint to resume from; None starts with empty state.
        block_max_messages: of its blocks, where they are not as those of all jobs.
    """
    configuration = Configuration()
    options = _flink_options(settings, job_name, restore_path)
    if block_max_messages is not None:
        options |= dict.fromkeys((BUNDLE_SIZE, BATCH_SIZE), str(block_max_messages))
    for key, value in options.items():
        configuration.set_string(key, value)
    tables = StreamTableEnvironment.create(_remote_environment(settings, configuration))
    tables.add_python_file(str(package_zip()))
    return tables


def _remote_environment(
    settings: Settings, configuration: Configuration
) -> StreamExecutionEnvironment:
    """Return an environment that submits to the cluster.

    PyFlink has no call for it: `execution.target` is read only by Flink's own command line, and
    without that the driver would quietly start a cluster of its own.
    """
    gateway = get_gateway()
    no_jars = gateway.new_array(gateway.jvm.String, 0)  # connectors are in the cluster's lib folder
    environments = gateway.jvm.org.apache.flink.streaming.api.environment
    remote = environments.StreamExecutionEnvironment.createRemoteEnvironment(
        settings.flink.rest_address,
        settings.flink.rest_port,
        configuration._j_configuration,  # noqa: SLF001 - PyFlink hides the Java object there
        no_jars,
    )
    return StreamExecutionEnvironment(remote)


def _flink_options(settings: Settings, job_name: str, restore_path: str | None) -> dict[str, str]:
    flink = settings.flink
    options = {
        "pipeline.name": job_name,
        "parallelism.default": str(flink.parallelism),
        "pipeline.object-reuse": "true",
        "pipeline.generic-types": "true",
        # Append times come as local times: make local mean UTC.
        "table.local-time-zone": "UTC",
        # The interpreter must be named: Flink would look for `python` on the path of the cluster.
        "python.executable": sys.executable,
        "python.client.executable": sys.executable,
        # A bundle is a block. Messages wait for theirs where they are decoded (`hold_blocks`); what
        # was decoded together stays together, and waits at none of the later steps.
        BUNDLE_SIZE: str(flink.block_max_messages),
        BUNDLE_TIME: str(PASS_ON_MS),
        BATCH_SIZE: str(flink.block_max_messages),
        **PYTHON_OPTIONS,
        "execution.checkpointing.interval": f"{flink.checkpoint_interval_ms} ms",
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        # Shard payloads are large and rarely touched twice: keep them in the heap, not in RocksDB.
        "state.backend.type": "hashmap",
    }
    if restore_path is not None:
        options["execution.state-recovery.path"] = restore_path
    return options


def pin_source(stream: DataStream, uid: str) -> DataStream:
    """Give the source that SQL made for a stream a fixed uid: it keeps the offsets.

    Flink would name it by its place in the whole graph, and a savepoint would fit only the very
    same graph. What lies between has no state.
    """
    *_, source = _way_from_source(stream)
    source.setUid(uid)
    return stream


def hold_blocks(streams: Sequence[DataStream], max_age_ms: int) -> None:
    """Let the Python step of raw streams gather messages for longer than other steps wait.

    To be called last: whenever a stream becomes a table, PyFlink gives every Python operator of the
    environment the options of all.

    Args:
        streams: as `jobs.telemetry_source.containers` returns them.
        max_age_ms: how long a message may wait for its block.
    """
    found = 0
    for transformation in (t for stream in streams for t in _way_from_source(stream)):
        if "PythonCalc" in transformation.getName():
            operator = transformation.getOperatorFactory().getOperator()
            operator.getConfiguration().setString(BUNDLE_TIME, str(max_age_ms))
            found += 1
    assert found == len(streams), f"{found} of {len(streams)} decode steps found"


def _way_from_source(stream: DataStream) -> Iterator[Any]:
    """Yield the Java transformations that make a stream, its source last."""
    transformation = stream._j_data_stream.getTransformation()  # noqa: SLF001 - PyFlink hides it
    yield transformation
    while not transformation.getInputs().isEmpty():
        transformation = transformation.getInputs().get(0)
        yield transformation


def pinned_insert(tables: StreamTableEnvironment, sql: str, uid: str) -> StatementSet:
    """Return an insert whose operators have fixed uids: the sink keeps its transactions."""
    configuration = tables.get_config()
    configuration.set("table.exec.uid.generation", "ALWAYS")
    configuration.set("table.exec.uid.format", f"{uid}-<transformation>")
    statements = tables.create_statement_set()
    statements.add_insert_sql(sql)
    return statements


def attach_insert(tables: StreamTableEnvironment, sql: str, uid: str) -> None:
    """Add an insert to a job that has several, each with fixed uids; see `submit_attached`."""
    pinned_insert(tables, sql, uid).attach_as_datastream()


def submit_attached(tables: StreamTableEnvironment, job_name: str) -> str:
    """Submit a job whose inserts are attached and return its id."""
    environment = tables._get_j_env()  # noqa: SLF001 - PyFlink hides the Java object there
    return str(environment.executeAsync(job_name).getJobID().toString())


def package_zip() -> Path:
    """Write our four packages as one zip, the form in which Flink ships Python code."""
    root = Path(__file__).resolve().parent.parent
    folder = Path(tempfile.mkdtemp(prefix="fleetpulse-"))
    path = folder / "fleetpulse.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for package in SHIPPED_PACKAGES:
            for file in sorted((root / package).rglob("*")):
                # Schemas of earlier releases are for the check of a change: no job reads them.
                if file.suffix in SHIPPED_SUFFIXES and file.parent.name != "released":
                    archive.write(file, file.relative_to(root))
    return path
