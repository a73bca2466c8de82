"""What is shown of ClickHouse's answers: one error, one state, one line."""

from prometheus_client import generate_latest

from jobs.loader_health import LoaderHealth
from jobs.loader_status import status_in
from schemas.errors import Unavailable
from schemas.metrics import LOADER_LAG, LOADER_METRICS
from sinks.breaker import BreakerState
from sinks.clickhouse_errors import ClickHouseAway
from sinks.prometheus_endpoint import PrometheusEndpoint


def line(metrics):
    return str(status_in(generate_latest(metrics._registry).decode()))


def test_the_status_line_has_lag_breaker_and_the_last_error_alone():
    metrics = PrometheusEndpoint(LOADER_METRICS)
    health = LoaderHealth(metrics)
    assert line(metrics) == "loader: 0 messages behind, breaker closed"
    metrics.set(LOADER_LAG, 3, topic="alerts", partition="0")
    metrics.set(LOADER_LAG, 4, topic="windows", partition="1")
    health.on_error(Unavailable("the registry"))
    health.on_error(ClickHouseAway("insert into windows", "code 252 TOO_MANY_PARTS"))
    health.on_change(BreakerState.OPEN)
    expected = "loader: 7 messages behind, breaker open, last error code 252 TOO_MANY_PARTS"
    assert line(metrics) == expected
    health.on_change(BreakerState.HALF_OPEN)
    health.on_error(Unavailable("the registry"))
    assert line(metrics).endswith("breaker half-open, last error Unavailable")


def test_metrics_of_something_else_say_nothing():
    assert status_in("").breaker == "unknown"
