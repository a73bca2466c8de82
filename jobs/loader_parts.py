"""What the loader works with; each part can be replaced in a test by another real one."""

from dataclasses import dataclass

from jobs.load_source import LoadSource
from schemas.codec import SchemaOfId
from sinks.clickhouse_writer import ClickHouseWriter
from sinks.dead_letter_writer import DeadLetterWriter
from sinks.ledger_writer import LedgerWriter
from sinks.prometheus_endpoint import PrometheusEndpoint
from sinks.retry import Retry


@dataclass(frozen=True)
class LoaderParts:
    """Source and sinks.

    Args:
        source: of the messages.
        writer: of the tables; behind a breaker, so a call may raise `CircuitOpen`.
        ledger: of the batches; through the same breaker.
        dead_letters: for messages that are refused.
        schema_of_id: of the registry.
        retry: waits for the registry, and for the broker of the dead letters.
        metrics: of the process.
    """

    source: LoadSource
    writer: ClickHouseWriter
    ledger: LedgerWriter
    dead_letters: DeadLetterWriter
    schema_of_id: SchemaOfId
    retry: Retry
    metrics: PrometheusEndpoint
