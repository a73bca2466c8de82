"""Sends refused messages to the dead-letter topic, with their original bytes."""

from collections.abc import Iterable

from confluent_kafka import KafkaError, KafkaException, Producer

from schemas.dead_letter import Letter
from schemas.errors import Unavailable
from schemas.topics import DEAD_LETTER_MAX_BYTES

DELIVERY_TIMEOUT_S = 30.0


class DeadLetterWriter:
    """Producer of the dead-letter topic.

    Args:
        bootstrap_servers: the broker.
        topic: full name of the dead-letter topic.
    """

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        self._topic = topic
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "client.id": "fleetpulse-loader",
                "enable.idempotence": True,
                "message.max.bytes": DEAD_LETTER_MAX_BYTES,
                "delivery.timeout.ms": int(DELIVERY_TIMEOUT_S * 1000),
                "log_level": 3,
            }
        )

    def send(self, letters: Iterable[Letter]) -> None:
        """Send letters and return when the broker has all of them.

        Raises:
            Unavailable: the broker did not acknowledge one; sending again may duplicate others,
                which the origin in their headers makes harmless.
        """
        failures: list[KafkaError] = []
        for letter in letters:
            self._produce(letter, failures)
        left_count = self._producer.flush(DELIVERY_TIMEOUT_S)
        if left_count or failures:
            cause = failures[0].str() if failures else "no answer"
            raise Unavailable(f"dead-letter topic {self._topic}: {cause}")

    def _produce(self, letter: Letter, failures: list[KafkaError]) -> None:
        def on_delivery(error: KafkaError | None, _: object) -> None:
            if error is not None:
                failures.append(error)

        try:
            self._producer.produce(
                self._topic,
                key=letter.key,
                value=letter.value,
                headers=list(letter.headers),
                timestamp=max(letter.timestamp_ms, 0),
                on_delivery=on_delivery,
            )
        except (BufferError, KafkaException) as error:
            raise Unavailable(f"dead-letter topic {self._topic}: {error}") from error
