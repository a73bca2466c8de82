"""What a running loader says of itself: how far it is behind, and how ClickHouse answers it."""

import http.client
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from jobs.loader_health import BREAKER_VALUES
from jobs.settings import StackSettings
from schemas.errors import Unavailable
from schemas.metrics import LOADER_BREAKER, LOADER_LAG, LOADER_LAST_ERROR

TIMEOUT_S = 2.0


@dataclass(frozen=True)
class LoaderStatus:
    """One loader.

    Args:
        lag: messages that are in the log and not yet in a table.
        breaker: closed, half-open or open.
        last_error: code or class; None when there was none since its start.
    """

    lag: int
    breaker: str
    last_error: str | None

    def __str__(self) -> str:
        """Return the line for people."""
        last = f", last error {self.last_error}" if self.last_error else ""
        return f"loader: {self.lag} messages behind, breaker {self.breaker}{last}"


def loader_status(stack: StackSettings) -> LoaderStatus:
    """Ask the loader of a stack.

    Raises:
        Unavailable: it does not answer.
    """
    connection = http.client.HTTPConnection(
        stack.metrics_host, stack.metrics_port, timeout=TIMEOUT_S
    )
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"loader: no answer at port {stack.metrics_port}") from error
    finally:
        connection.close()
    return status_in(text)


def status_in(text: str) -> LoaderStatus:
    """Read the state from the metrics as Prometheus gets them."""
    samples = [
        sample for family in text_string_to_metric_families(text) for sample in family.samples
    ]
    states = {value: state.value for state, value in BREAKER_VALUES.items()}
    lag = sum(sample.value for sample in samples if sample.name == LOADER_LAG.name)
    breakers = [sample.value for sample in samples if sample.name == LOADER_BREAKER.name]
    errors = [
        sample.labels["error"]
        for sample in samples
        if sample.name == LOADER_LAST_ERROR.name and sample.value == 1
    ]
    breaker = states.get(int(breakers[0]), "unknown") if breakers else "unknown"
    return LoaderStatus(int(lag), breaker, errors[0] if errors else None)
