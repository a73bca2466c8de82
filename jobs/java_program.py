"""The Java programs of the local stack: broker, schema registry and Flink, as command lines.

All listen on the loopback interface only. Programs that do little beside their start are compiled
by the quick compiler alone (`-XX:TieredStopAtLevel=1`): that halves the start on two cores.
"""

import base64
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from string import Template

from jobs.jars import PROJECT_ROOT, Destination, jar_paths, unpacked_registry
from jobs.java_runtime import ENGINE_JAVA_MIN, REGISTRY_JAVA_MIN, find_java
from jobs.ports import LOOPBACK
from jobs.process_group import Program
from jobs.settings import Settings, inherited_environment

TEMPLATE_DIR = PROJECT_ROOT / "docker"
LOG_OPTION = f"file:{TEMPLATE_DIR / 'log4j2.properties'}"
QUICK_START = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")

KAFKA_HEAP_MB = 512
REGISTRY_HEAP_MB = 256
HEALTH_TIMEOUT_S = 2
BROKER_TRANSACTION_MAX_MS = 3_600_000


def engine_java() -> Path:
    """Return the Java program for Kafka and Flink."""
    return find_java(inherited_environment(), ENGINE_JAVA_MIN).executable


def fill_template(name: str, target: Path, values: dict[str, object]) -> Path:
    """Write a configuration file from its template in `docker`.

    Args:
        name: of the template.
        target: the file to write.
        values: every name of the template.
    """
    template = Template((TEMPLATE_DIR / name).read_text(encoding="utf-8"))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(template.substitute(values), encoding="utf-8")
    return target


def kafka_dir(settings: Settings) -> Path:
    """Return the broker's folder."""
    return settings.stack.data_dir.resolve() / "kafka"


def write_kafka_config(settings: Settings) -> Path:
    """Write the broker's configuration and return its path."""
    values: dict[str, object] = {
        "host": LOOPBACK,
        "kafka_port": settings.stack.kafka_port,
        "controller_port": settings.stack.controller_port,
        "log_dir": kafka_dir(settings) / "log",
        "transaction_max_timeout_ms": BROKER_TRANSACTION_MAX_MS,
    }
    target = kafka_dir(settings) / "server.properties"
    return fill_template("kafka/server.properties", target, values)


def is_kafka_formatted(settings: Settings) -> bool:
    """Say whether the broker's folder has been prepared."""
    return (kafka_dir(settings) / "log" / "meta.properties").is_file()


def kafka_format_program(settings: Settings) -> Program:
    """Return the program that prepares the broker's empty folder."""
    options = ["-t", cluster_id(uuid.uuid4), "-c", str(write_kafka_config(settings))]
    argv = [*_kafka_java(settings, *QUICK_START), "kafka.tools.StorageTool", "format", *options]
    return Program("kafka-format", argv, inherited_environment())


def cluster_id(draw: Callable[[], uuid.UUID]) -> str:
    """Return an id as Kafka writes it; one in 64 would begin like an option, and is drawn again.

    >>> cluster_id(iter([uuid.UUID(int=0xF8 << 120), uuid.UUID(int=0)]).__next__)
    'AAAAAAAAAAAAAAAAAAAAAA'
    """
    while True:
        text = base64.urlsafe_b64encode(draw().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text


def kafka_program(settings: Settings) -> Program:
    """Return the broker."""
    config = str(write_kafka_config(settings))
    options = [f"-Xmx{KAFKA_HEAP_MB}m", "-Xms128m", "-XX:+UseSerialGC"]
    argv = [*_kafka_java(settings, *options), "kafka.Kafka", config]
    return Program("kafka", argv, inherited_environment())


def _kafka_java(settings: Settings, *options: str) -> list[str]:
    jars = jar_paths(settings.stack.cache_dir, Destination.KAFKA)
    class_path = ":".join(str(jar) for jar in jars)
    logging = f"-Dlog4j2.configurationFile={LOG_OPTION}"
    return [str(engine_java()), *options, logging, "-cp", class_path]


def registry_program(settings: Settings) -> Program:
    """Return the schema registry; its schemas outlive a restart in a file of its own."""
    stack = settings.stack
    database = stack.data_dir.resolve() / "registry" / "schemas"
    properties = {
        "quarkus.http.host": LOOPBACK,
        "quarkus.http.port": stack.registry_port,
        # Without these the management port listens on every interface.
        "quarkus.management.host": LOOPBACK,
        "quarkus.management.port": stack.registry_management_port,
        "apicurio.storage.kind": "sql",
        "apicurio.storage.sql.kind": "h2",
        "apicurio.datasource.url": f"jdbc:h2:file:{database}",
    }
    java = find_java(inherited_environment(), REGISTRY_JAVA_MIN).executable
    options = [f"-Xmx{REGISTRY_HEAP_MB}m", *QUICK_START]
    options += [f"-D{name}={value}" for name, value in properties.items()]
    jar = unpacked_registry(stack.cache_dir) / "quarkus-run.jar"
    return Program("registry", [str(java), *options, "-jar", str(jar)], inherited_environment())


def is_registry_healthy(settings: Settings) -> bool:
    """Ask the registry whether it is ready for work."""
    url = f"http://{LOOPBACK}:{settings.stack.registry_management_port}/health/ready"
    try:
        with urllib.request.urlopen(url, timeout=HEALTH_TIMEOUT_S) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except (urllib.error.URLError, OSError):
        return False
