"""The loader as a process: Kafka topics into ClickHouse tables, and questions while it runs."""

import contextlib
import gc
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import structlog

from jobs.bounded_stop import StopOverdue, bounded_stop
from jobs.clickhouse_settings import clickhouse_address, kept_days, query_socket
from jobs.directory_lock import directory_lock
from jobs.load_source import LoadSource
from jobs.loader import Loader
from jobs.loader_health import LoaderHealth
from jobs.loader_parts import LoaderParts
from jobs.loader_topics import loaded_topics
from jobs.settings import Settings, load_settings
from schemas.codec import SchemaOfId
from schemas.errors import RejectLimitExceeded, SettingsError, Unavailable
from schemas.metrics import LOADER_METRICS
from schemas.records import Schema
from schemas.registry import SchemaRegistry
from schemas.tables import migrations
from schemas.topics import Topic, topic_name
from sinks.breaker import BreakerPolicy
from sinks.clickhouse_endpoint import open_client
from sinks.clickhouse_writer import ClickHouseWriter
from sinks.dead_letter_writer import DeadLetterWriter
from sinks.ledger_writer import LedgerWriter
from sinks.migration_writer import migrate
from sinks.prometheus_endpoint import PrometheusEndpoint
from sinks.query_endpoint import QueryEndpoint
from sinks.retention_writer import keep_days
from sinks.retry import Circuit, CircuitOpen, Retry, RetryPolicy

GROUP_ID = "fleetpulse-loader"
READY_MARKER = "loader.ready"
LONGEST_POLL_S = 0.25
LAG_INTERVAL_MS = 1_000
MISSING_INTERVAL_MS = 15_000
TOPICS_INTERVAL_MS = 30_000
EXIT_UNAVAILABLE = 1
EXIT_SETTINGS = 2

log = structlog.get_logger()


def run(settings: Settings) -> None:
    """Load until SIGTERM or SIGINT; what was read by then is still inserted if it can be.

    Raises:
        StopOverdue: it was told to stop, and something did not answer in time.
        SettingsError: it cannot work like this; nothing was changed that is not whole.
        RejectLimitExceeded: a table refuses too many messages.
        Unavailable: a part was away for too long.
    """
    stop = bounded_stop()
    with contextlib.ExitStack() as exits:
        loader = exits.enter_context(open_loader(settings, stop))
        run_dir = settings.stack.data_dir / "run"
        run_dir.mkdir(parents=True, exist_ok=True)
        exits.enter_context(_queries(settings))
        # Before anything is read there is nothing else to do than to wait for ClickHouse.
        recovered = Retry(RetryPolicy(), stop)(loader.recover)
        exits.enter_context(_marked(run_dir / READY_MARKER))
        # What was made so far stays: the collector need not look at it after each block.
        gc.collect()
        gc.freeze()
        log.info("ready", unfinished_batches=recovered)
        _loop(loader, settings, stop)
    log.info("stopped")


@contextlib.contextmanager
def open_loader(settings: Settings, stop: threading.Event) -> Iterator[Loader]:
    """Open everything that the loader works with, the tables migrated.

    Raises:
        SettingsError: the directory is locked, the tables are newer, a port is taken.
        Unavailable: ClickHouse does not answer.
    """
    with contextlib.ExitStack() as exits:
        exits.enter_context(directory_lock(settings.stack.data_dir))
        metrics = PrometheusEndpoint(LOADER_METRICS)
        metrics.serve(settings.stack.metrics_port, settings.stack.metrics_host)
        exits.callback(metrics.close)
        health = LoaderHealth(metrics)
        retry = Retry(RetryPolicy(), stop, on_retry=health.on_error)
        circuit = Circuit(BreakerPolicy(), stop, _monotonic_ms, health.on_error, health.on_change)
        address = clickhouse_address(settings)
        retry(lambda: migrate(address, migrations()))
        for table, days in retry(lambda: keep_days(address, kept_days(settings))).items():
            log.info("keeps", table=table, days=days or "for ever")
        client = exits.enter_context(contextlib.closing(retry(lambda: open_client(address))))
        writer = ClickHouseWriter(client, circuit)
        kafka, registry_at = settings.kafka, settings.registry
        registry = SchemaRegistry(registry_at.url, registry_at.timeout_s)
        exits.callback(registry.close)
        asking = Circuit(BreakerPolicy(open_after_count=1), stop, _monotonic_ms, health.on_error)
        source = LoadSource(kafka.bootstrap_servers, kafka.topic_prefix + GROUP_ID)
        exits.callback(source.close)
        dead_letter_topic = topic_name(Topic.DEAD_LETTERS, kafka.topic_prefix)
        parts = LoaderParts(
            source=source,
            writer=writer,
            ledger=LedgerWriter(writer),
            dead_letters=DeadLetterWriter(kafka.bootstrap_servers, dead_letter_topic),
            schema_of_id=_schema_of_id(registry, asking),
            retry=retry,
            metrics=metrics,
        )
        yield Loader(parts, loaded_topics(settings, source.names()))


def _schema_of_id(registry: SchemaRegistry, asking: Circuit) -> SchemaOfId:
    """Let the registry be asked for what we do not know, ever less often while it is away."""

    def schema_of_id(schema_id: int) -> Schema:
        if registry.knows(schema_id):
            return registry.schema_by_id(schema_id)
        return asking(lambda: registry.schema_by_id(schema_id))

    return schema_of_id


def _loop(loader: Loader, settings: Settings, stop: threading.Event) -> None:
    poll_timeout_s = min(LONGEST_POLL_S, settings.loader.batch_max_age_ms / 2000)
    lag_due_ms = missing_due_ms = 0
    topics_due_ms = _monotonic_ms() + TOPICS_INTERVAL_MS
    while not stop.is_set():
        now_ms = _monotonic_ms()
        loader.step(now_ms, poll_timeout_s)
        if now_ms >= lag_due_ms:
            loader.show_lag()
            # While nothing is read, each look at the lag asks the broker.
            lag_due_ms = now_ms + LAG_INTERVAL_MS * (5 if loader.is_waiting else 1)
        if now_ms >= missing_due_ms:
            with contextlib.suppress(CircuitOpen):
                loader.show_missing()
            missing_due_ms = now_ms + MISSING_INTERVAL_MS
        if now_ms >= topics_due_ms:
            _follow(loader, settings, now_ms)
            topics_due_ms = now_ms + TOPICS_INTERVAL_MS
    _flush(loader)


def _flush(loader: Loader) -> None:
    """Insert what was read, unless ClickHouse is away: the ledger knows where to go on."""
    try:
        if not loader.is_waiting:
            loader.flush(_monotonic_ms())
    except CircuitOpen:
        pass
    if loader.is_waiting:
        log.warning("ClickHouse is away: the next start goes on where the ledger ends")


def _follow(loader: Loader, settings: Settings, now_ms: int) -> None:
    """Notice the telemetry topics of new tenants, and new partitions."""
    try:
        if loader.follow(loaded_topics(settings, loader.topic_names()), now_ms):
            log.info("loads other topics or partitions than before")
    except Unavailable as error:
        # The broker is away: there will be another look.
        log.warning("could not look for new topics", cause=str(error))


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


@contextlib.contextmanager
def _queries(settings: Settings) -> Iterator[None]:
    """Answer questions while we hold the embedded engine; a server answers by itself."""
    if settings.clickhouse.interface != "chdb":
        yield
        return
    endpoint = QueryEndpoint(query_socket(settings), clickhouse_address(settings))
    with contextlib.closing(endpoint):
        endpoint.start()
        yield


@contextlib.contextmanager
def _marked(marker: Path) -> Iterator[None]:
    """Show by a file that the service is ready."""
    marker.touch()
    try:
        yield
    finally:
        marker.unlink(missing_ok=True)


def main() -> int:
    """Run with the settings of the environment; return the exit code."""
    try:
        run(load_settings())
    except (SettingsError, RejectLimitExceeded) as error:
        print(f"loader: {error}", file=sys.stderr)
        return EXIT_SETTINGS
    except Unavailable as error:
        print(f"loader: {error}", file=sys.stderr)
        return EXIT_UNAVAILABLE
    except StopOverdue:
        log.warning("stopped without an answer: the next start goes on where the ledger ends")
    return 0


if __name__ == "__main__":
    sys.exit(main())
