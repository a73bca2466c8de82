"""Sends dead letters back to where they came from: each with its receipt, in transactions."""

import contextlib
import time
from collections.abc import Callable, Sequence

from confluent_kafka import KafkaError, KafkaException, Producer

from schemas.errors import SettingsError, Unavailable
from schemas.topics import DEAD_LETTER_MAX_BYTES
from sinks.dead_letter_replay import Replay

TRANSACTION_TIMEOUT_S = 10.0
"""Readers of committed messages wait for an open transaction, also for one of a killed replay."""
REQUEST_TIMEOUT_S = 30.0
POLL_TIMEOUT_S = 0.1
BATCH_MAX_COUNT = 500
COMMIT_ATTEMPT_COUNT = 3

FENCED = frozenset(
    {
        KafkaError._FENCED,  # noqa: SLF001 - a public error code
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.PRODUCER_FENCED,
    }
)
HOPELESS = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
    }
)
"""The broker will never take this message, whatever else happens."""


class ReplayWriter:
    """Transactional producer; there is one for each prefix, and a new one ends the former.

    When it is open, no transaction of another replay is under way any more: what was sent again
    before is committed, or will never be.

    Args:
        bootstrap_servers: the broker.
        transactional_id: the same for everybody who replays these dead letters.

    Raises:
        SettingsError: the broker does not allow it.
        Unavailable: it does not answer.
    """

    def __init__(self, bootstrap_servers: str, transactional_id: str) -> None:
        self._id = transactional_id
        self._is_open = False
        self.sent_count = 0
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "client.id": "fleetpulse-replay",
                "transactional.id": transactional_id,
                "transaction.timeout.ms": int(TRANSACTION_TIMEOUT_S * 1000),
                # The broker's own limits decide, topic by topic.
                "message.max.bytes": 2 * DEAD_LETTER_MAX_BYTES,
                "compression.type": "lz4",
                "log_level": 2,
            }
        )
        self._ask("init", lambda: self._producer.init_transactions(REQUEST_TIMEOUT_S))

    def close(self) -> None:
        """Abort what is not committed, so that no reader waits for it."""
        if self._is_open:
            with contextlib.suppress(KafkaException):
                self._abort()
            self._is_open = False

    def send(self, replays: Sequence[Replay]) -> list[Replay]:
        """Send all of them, or none but for those that the broker refuses for good.

        Args:
            replays: at most 500.

        Returns:
            what the broker refuses, by what it is; nothing of it was sent.

        Raises:
            SettingsError: another replay has begun since, or the broker does not allow it.
            Unavailable: the broker did not answer; whether this batch was sent, its receipts say.
        """
        assert len(replays) <= BATCH_MAX_COUNT, "a transaction is bounded"
        refused: list[Replay] = []
        waiting = list(replays)
        while waiting:
            hopeless = self._send_once(waiting)
            if not hopeless:
                break
            refused += hopeless
            waiting = [replay for replay in waiting if replay not in hopeless]
        self.sent_count += len(waiting)
        return refused

    def _send_once(self, replays: Sequence[Replay]) -> list[Replay]:
        """Try one transaction; return what spoils it, in which case it is aborted."""
        failures: list[tuple[Replay, KafkaError]] = []
        self._ask("begin", self._producer.begin_transaction)
        self._is_open = True
        try:
            for replay in replays:
                self._produce(replay, failures)
            # A flush would go on for the neighbours of a refused message until their time is over.
            while len(self._producer) and not failures:
                self._producer.poll(POLL_TIMEOUT_S)
            hopeless = _hopeless(failures)
            if not hopeless:
                self._commit()  # says what is wrong, should anything else have failed
                self._is_open = False
        except KafkaException as error:
            hopeless = self._hopeless_at_last(failures)
            if not hopeless or error.args[0].fatal():
                self.close()
                raise self._judged("send", error) from error
        if hopeless:
            self._ask("abort", self._abort)
            self._is_open = False
        return hopeless

    def _hopeless_at_last(self, failures: list[tuple[Replay, KafkaError]]) -> list[Replay]:
        """Return what spoils a transaction that failed: a neighbour may have been told of first."""
        give_up_at_s = time.monotonic() + REQUEST_TIMEOUT_S
        while not (hopeless := _hopeless(failures)) and len(self._producer):
            if time.monotonic() > give_up_at_s:
                break
            self._producer.poll(POLL_TIMEOUT_S)
        return hopeless

    def _abort(self) -> None:
        """Abort at once: else the neighbours of a refused message would first be timed out."""
        self._producer.purge(in_flight=False)
        self._producer.abort_transaction(REQUEST_TIMEOUT_S)

    def _commit(self) -> None:
        """Commit; a commit without an answer is asked for again, for it may have taken place."""
        for _ in range(COMMIT_ATTEMPT_COUNT - 1):
            try:
                return self._producer.commit_transaction(REQUEST_TIMEOUT_S)
            except KafkaException as error:
                if not error.args[0].retriable():
                    raise
        return self._producer.commit_transaction(REQUEST_TIMEOUT_S)

    def _produce(self, replay: Replay, failures: list[tuple[Replay, KafkaError]]) -> None:
        def on_delivery(error: KafkaError | None, _: object) -> None:
            if error is not None:
                failures.append((replay, error))

        letter, origin = replay.letter, replay.summary.origin
        try:
            self._producer.produce(
                origin.topic,
                key=letter.key,
                value=letter.value,
                # Where it lay: another client's partitioner would put its key elsewhere.
                partition=origin.partition,
                headers=list(replay.headers()),
                timestamp=max(letter.timestamp_ms, 0),
                on_delivery=on_delivery,
            )
        except KafkaException as error:
            failures.append((replay, error.args[0]))
            raise
        self._producer.produce(
            replay.dead_letter_topic,
            key=letter.key,
            value=b"",
            partition=letter.partition,
            headers=list(replay.receipt_headers()),
            on_delivery=on_delivery,
        )
        self._producer.poll(0)

    def _ask(self, what: str, request: Callable[[], object]) -> None:
        try:
            request()
        except KafkaException as error:
            raise self._judged(what, error) from error

    def _judged(self, what: str, error: KafkaException) -> SettingsError | Unavailable:
        cause: KafkaError = error.args[0]
        if cause.code() in FENCED:
            return SettingsError(
                "dead-letters replay",
                value=f"ended by another replay after {self.sent_count} messages",
                allowed="one replay at a time",
                cure="wait for the other one; what was sent again is not sent a second time",
            )
        if cause.code() in (
            KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
            KafkaError.TOPIC_AUTHORIZATION_FAILED,
        ):
            return SettingsError(
                "kafka.bootstrap_servers",
                value=cause.str(),
                allowed="a broker that lets us write",
                cure=f"grant WRITE on the topics and on the transactional id {self._id}",
            )
        return Unavailable(f"Kafka, {what} the replay's transaction: {cause.str()}")


def _hopeless(failures: Sequence[tuple[Replay, KafkaError]]) -> list[Replay]:
    return [replay for replay, cause in failures if cause.code() in HOPELESS]
