"""Shows in metrics and in the log how ClickHouse answers the loader."""

import structlog

from schemas.errors import FleetpulseError
from schemas.metrics import LOADER_BREAKER, LOADER_LAST_ERROR, LOADER_RETRIES
from sinks.breaker import BreakerState
from sinks.clickhouse_errors import ClickHouseAway
from sinks.prometheus_endpoint import PrometheusEndpoint

BREAKER_VALUES = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}

log = structlog.get_logger()


class LoaderHealth:
    """What the loader shows of its attempts.

    Args:
        metrics: of the process.
    """

    def __init__(self, metrics: PrometheusEndpoint) -> None:
        self._metrics = metrics
        self._last_error: str | None = None
        metrics.set(LOADER_BREAKER, BREAKER_VALUES[BreakerState.CLOSED])

    def on_error(self, error: FleetpulseError) -> None:
        """Count an attempt that failed."""
        self._metrics.add(LOADER_RETRIES)
        if self._last_error is not None:
            self._metrics.set(LOADER_LAST_ERROR, 0, error=self._last_error)
        # A code or a class: a label has few values.
        found = error.found if isinstance(error, ClickHouseAway) else None
        self._last_error = found or type(error).__name__
        self._metrics.set(LOADER_LAST_ERROR, 1, error=self._last_error)
        log.warning("trying again", cause=str(error))

    def on_change(self, state: BreakerState) -> None:
        """Show the new state of the breaker."""
        self._metrics.set(LOADER_BREAKER, BREAKER_VALUES[state])
        log.warning("the breaker before ClickHouse has changed", state=state.value)
