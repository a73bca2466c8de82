"""Serves a process's metrics to Prometheus, on the loopback interface unless told otherwise."""

from collections.abc import Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from schemas.errors import SettingsError
from schemas.metrics import Metric, MetricKind

LOOPBACK = "127.0.0.1"


class PrometheusEndpoint:
    """The metrics of one process; they count even when they are not served.

    Args:
        metrics: all that may be used.
    """

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._registry = CollectorRegistry()
        self._metrics = {metric.name: self._collector(metric) for metric in metrics}
        self._server: Any = None

    def _collector(self, metric: Metric) -> Counter | Gauge:
        collector = Counter if metric.kind is MetricKind.COUNTER else Gauge
        return collector(metric.name, metric.says, metric.labels, registry=self._registry)

    def serve(self, port: int, host: str = LOOPBACK) -> None:
        """Answer on the port until the process ends.

        Raises:
            SettingsError: the port is taken.
        """
        try:
            self._server, _ = start_http_server(port, host, self._registry)
        except OSError as error:
            raise SettingsError(
                "stack.metrics_port",
                value=port,
                allowed=f"a free port on {host}",
                cure="end the program that has it, or set FLEETPULSE_STACK__METRICS_PORT",
            ) from error

    def close(self) -> None:
        """Stop answering."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def add(self, metric: Metric, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""
        collector = self._labelled(metric, labels)
        assert metric.kind is MetricKind.COUNTER, f"{metric.name} is no counter"
        collector.inc(amount)

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        """Set a gauge."""
        assert metric.kind is MetricKind.GAUGE, f"{metric.name} is no gauge"
        self._labelled(metric, labels).set(value)

    def value(self, metric: Metric, **labels: str) -> float:
        """Return the present value; 0 when it was never touched."""
        name = metric.name
        return self._registry.get_sample_value(name, labels) or 0.0

    def _labelled(self, metric: Metric, labels: dict[str, str]) -> Any:
        collector = self._metrics[metric.name]
        return collector.labels(**labels) if labels else collector
