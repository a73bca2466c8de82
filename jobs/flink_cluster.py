"""The Flink session cluster that the wheel carries: one job manager, one task manager.

A session cluster rather than the cluster inside the driver: it has the web page, jobs outlive the
program that submitted them, and a real process can be killed and resumed.
"""

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from jobs.jars import Destination, jar_paths
from jobs.java_program import LOG_OPTION, QUICK_START, engine_java, fill_template
from jobs.ports import LOOPBACK
from jobs.process_group import Program
from jobs.settings import Settings
from jobs.settings_file import child_environment
from schemas.errors import SettingsError, Unavailable

JOB_MANAGER_HEAP_MB = 384
TASK_HEAP_MB = 1536
TASK_OFF_HEAP_MB = 1536
"""Limits, not what is taken. PyFlink counts the messages of a block, not their bytes, and holds a
block once as Arrow outside of the heap and up to four times in it: a burst of messages of 1 MiB
needs what no ordinary block does."""
FIRST_HEAP_MB = 512
FRAMEWORK_HEAP_MB = 128
NETWORK_MB = 96
DIRECT_MB = 128 + TASK_OFF_HEAP_MB + NETWORK_MB
METASPACE_MB = 256
MANAGED_MB_PER_SLOT = 48
SLOTS_PER_PARALLELISM = 8
"""Room for the jobs of a later day: a slot that nobody uses costs only its managed memory."""
REST_TIMEOUT_S = 5
ENDED_STATES = ("FAILED", "CANCELED", "FINISHED")

EXPORTED = (
    "java.rmi/sun.rmi.registry",
    "java.security.jgss/sun.security.krb5",
)
OPENED = (
    "java.lang",
    "java.net",
    "java.io",
    "java.nio",
    "sun.nio.ch",
    "java.lang.reflect",
    "java.text",
    "java.time",
    "java.util",
    "java.util.concurrent",
    "java.util.concurrent.atomic",
    "java.util.concurrent.locks",
)
MODULE_OPTIONS = tuple(
    [f"--add-exports={name}=ALL-UNNAMED" for name in EXPORTED]
    + [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in OPENED]
)
"""What Flink reaches inside of Java, as the wheel's own configuration lists it."""


def flink_home() -> Path:
    """Return the folder of the installed wheel that holds Flink itself.

    Raises:
        SettingsError: apache-flink is not installed.
    """
    spec = find_spec("pyflink")
    if spec is None or spec.origin is None:
        raise SettingsError(
            "pyflink", value="not installed", allowed="apache-flink", cure="run `make setup`"
        )
    return Path(spec.origin).parent


def flink_dir(settings: Settings) -> Path:
    """Return the cluster's folder."""
    return settings.stack.data_dir.resolve() / "flink"


def prepare_flink(settings: Settings) -> None:
    """Write the cluster's configuration and link its jars."""
    directory = flink_dir(settings)
    for name in ("tmp", "checkpoints", "savepoints", "lib", "log"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    values: dict[str, object] = {
        "host": LOOPBACK,
        "rpc_port": settings.stack.flink_rpc_port,
        "rest_port": settings.stack.flink_port,
        "slot_count": slot_count(settings),
        "task_heap_mb": TASK_HEAP_MB,
        "task_off_heap_mb": TASK_OFF_HEAP_MB,
        "network_mb": NETWORK_MB,
        "managed_mb": MANAGED_MB_PER_SLOT * slot_count(settings),
        "metaspace_mb": METASPACE_MB,
        "directory": directory,
        "module_options": " ".join(MODULE_OPTIONS),
        "python": sys.executable,
        "checkpoint_interval_ms": settings.flink.checkpoint_interval_ms,
    }
    fill_template("flink/config.yaml", directory / "conf" / "config.yaml", values)
    _link_jars(directory / "lib", _library(settings))


def slot_count(settings: Settings) -> int:
    """Return how many slots the task manager offers."""
    return SLOTS_PER_PARALLELISM * settings.flink.parallelism


def _library(settings: Settings) -> list[Path]:
    home = flink_home()
    own = [*(home / "lib").glob("*.jar"), *(home / "opt").glob("flink-python-*.jar")]
    return sorted(own) + jar_paths(settings.stack.cache_dir, Destination.FLINK)


def _link_jars(folder: Path, jars: Iterable[Path]) -> None:
    # Links of an older installation must not stay: two versions of one class are worse than none.
    for link in folder.glob("*.jar"):
        link.unlink()
    for jar in jars:
        (folder / jar.name).symlink_to(jar)


def flink_environment(settings: Settings) -> dict[str, str]:
    """Return the environment of every process that is part of Flink or submits jobs to it."""
    home, directory = flink_home(), flink_dir(settings)
    return child_environment(settings) | {
        "FLINK_HOME": str(home),
        "FLINK_CONF_DIR": str(directory / "conf"),
        "FLINK_LIB_DIR": str(directory / "lib"),
        "FLINK_PLUGINS_DIR": str(home / "plugins"),
        "FLINK_LOG_DIR": str(directory / "log"),
        "JAVA_HOME": str(engine_java().parent.parent),
        # Python workers inherit these. Each slot is one thread of work: more threads of Polars
        # would only fight over the cores. A bad message makes the reader panic: that is handled,
        # and a backtrace each time is slow and fills the log.
        "POLARS_MAX_THREADS": "1",
        "RUST_BACKTRACE": "0",
    }


def job_manager_program(settings: Settings) -> Program:
    """Return the job manager, which also serves the web page."""
    options = [f"-Xmx{JOB_MANAGER_HEAP_MB}m", *QUICK_START]
    entry = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
    return _flink_program("jobmanager", settings, options, entry)


def task_manager_program(settings: Settings) -> Program:
    """Return the task manager; it computes, so it gets the full compiler."""
    heap_mb = TASK_HEAP_MB + FRAMEWORK_HEAP_MB
    options = [
        f"-Xmx{heap_mb}m",
        f"-Xms{FIRST_HEAP_MB}m",
        f"-XX:MaxDirectMemorySize={DIRECT_MB}m",
        f"-XX:MaxMetaspaceSize={METASPACE_MB}m",
    ]
    entry = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
    return _flink_program("taskmanager", settings, options, entry)


def _flink_program(name: str, settings: Settings, options: list[str], entry: str) -> Program:
    directory = flink_dir(settings)
    class_path = ":".join(str(jar) for jar in sorted((directory / "lib").glob("*.jar")))
    argv = [
        str(engine_java()),
        *options,
        *MODULE_OPTIONS,
        f"-Dlog4j.configurationFile={LOG_OPTION}",
        "-cp",
        class_path,
        entry,
        "--configDir",
        str(directory / "conf"),
    ]
    return Program(name, argv, flink_environment(settings))


def ask_flink(settings: Settings, path: str) -> dict[str, Any]:
    """Ask the cluster's REST interface.

    Args:
        settings: name its address.
        path: such as `/overview`.

    Raises:
        Unavailable: it does not answer.
    """
    url = f"{flink_url(settings)}{path}"
    try:
        with urllib.request.urlopen(url, timeout=REST_TIMEOUT_S) as answer:  # noqa: S310 - our own
            return cast("dict[str, Any]", json.load(answer))
    except (urllib.error.URLError, OSError, json.JSONDecodeError) as error:
        raise Unavailable(f"Flink does not answer at {url} ({error})") from error


def flink_url(settings: Settings) -> str:
    """Return the address of the cluster's web page and REST interface."""
    return f"http://{settings.flink.rest_address}:{settings.flink.rest_port}"


def has_slots(settings: Settings) -> bool:
    """Say whether the task manager has joined the cluster."""
    try:
        return bool(ask_flink(settings, "/overview")["slots-total"] > 0)
    except Unavailable:
        return False


def running_jobs(settings: Settings) -> dict[str, str]:
    """Return name and state of the cluster's jobs; of several of one name the newest.

    Raises:
        Unavailable: the cluster does not answer.
    """
    jobs = ask_flink(settings, "/jobs/overview")["jobs"]
    return {job["name"]: job["state"] for job in sorted(jobs, key=lambda job: job["start-time"])}


def live_jobs(settings: Settings) -> set[str]:
    """Return the names of the jobs that the cluster runs or is about to run.

    Raises:
        Unavailable: the cluster does not answer.
    """
    jobs = ask_flink(settings, "/jobs/overview")["jobs"]
    return {job["name"] for job in jobs if job["state"] not in ENDED_STATES}


def are_tasks_running(settings: Settings) -> bool:
    """Say whether every task of every live job has started its work."""
    try:
        jobs = ask_flink(settings, "/jobs/overview")["jobs"]
    except Unavailable:
        return False
    live = [job["tasks"] for job in jobs if job["state"] not in ENDED_STATES]
    return bool(live) and all(tasks["running"] == tasks["total"] for tasks in live)
