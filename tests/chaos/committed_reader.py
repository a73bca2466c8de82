"""What a reader of committed results sees while something is killed: when it waited, for how long.

    log of one partition   r r r C r r r r r        r: result, C: mark of a commit
                                 ^ stable end ^ end
A reader gets nothing behind the stable end: the oldest transaction that is still open begins there.
"""

import threading
import time
from collections.abc import Iterable
from typing import Any, Self

from confluent_kafka import Consumer, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]  # not exported

from jobs.settings import Settings
from jobs.topic_admin import admin_client, topic_partition_counts
from schemas.topics import Topic, topic_name
from tests.chaos.victims import wait_for

WATCHED = (Topic.WINDOWS, Topic.ACCOUNTS)
SAMPLE_S = 0.2
REQUEST_TIMEOUT_S = 2.0


class CommittedReader:
    """Reads the results of the aggregate job as they are committed, in a thread.

    Args:
        settings: name broker and topics.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        counts = topic_partition_counts(settings.kafka)
        names = [topic_name(topic, settings.kafka.topic_prefix) for topic in WATCHED]
        self._places = [(name, p) for name in names for p in range(counts[name])]
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=run) for run in (self._read, self._sample)]
        self._newest_written_ms = 0
        self._blocked_since_s: dict[tuple[str, int], tuple[int, float]] = {}
        self._longest_s = 0.0

    def __enter__(self) -> Self:
        """Begin to read."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def has_read_of(self, written_ms: int) -> bool:
        """Say whether something was read that was written at an instant or after it, UTC ms."""
        return self._newest_written_ms >= written_ms

    def forget_waits(self) -> None:
        """Measure the longest wait from now on."""
        self._longest_s = 0.0

    @property
    def longest_wait_s(self) -> float:
        """Return how long an open transaction has held back what lay behind it, at most."""
        now_s = time.monotonic()
        held = [now_s - since_s for _, since_s in list(self._blocked_since_s.values())]
        return max([self._longest_s, *held])

    @property
    def is_held_back(self) -> bool:
        """Say whether a transaction is open now."""
        return bool(self._blocked_since_s)

    def _read(self) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": self._settings.kafka.bootstrap_servers,
                "group.id": "committed-reader",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "log_level": 2,
            }
        )
        consumer.assign([TopicPartition(name, p, 0) for name, p in self._places])
        while not self._stopped.is_set():
            for message in consumer.consume(1_000, timeout=SAMPLE_S):
                if message.error() is None:
                    written_ms = message.timestamp()[1]
                    self._newest_written_ms = max(self._newest_written_ms, written_ms)
        consumer.close()

    def _sample(self) -> None:
        client = admin_client(self._settings.kafka)
        while not self._stopped.wait(SAMPLE_S):
            try:
                stable = self._ends(client, IsolationLevel.READ_COMMITTED)
                ends = self._ends(client, IsolationLevel.READ_UNCOMMITTED)
            except KafkaException:
                continue  # the broker is away: who was held back still is
            self._note(stable, ends, self._places)

    def _ends(self, client: Any, level: IsolationLevel) -> dict[tuple[str, int], int]:
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # the library says no type
        asked = {TopicPartition(name, p): latest for name, p in self._places}
        answers = client.list_offsets(
            asked, isolation_level=level, request_timeout=REQUEST_TIMEOUT_S
        )
        return {(at.topic, at.partition): end.result().offset for at, end in answers.items()}

    def _note(
        self,
        stable: dict[tuple[str, int], int],
        ends: dict[tuple[str, int], int],
        places: Iterable[tuple[str, int]],
    ) -> None:
        now_s = time.monotonic()
        for place in places:
            offset, since_s = self._blocked_since_s.get(place, (-1, now_s))
            if offset == stable[place] and offset < ends[place]:
                continue
            if offset >= 0:
                self._longest_s = max(self._longest_s, now_s - since_s)
                del self._blocked_since_s[place]
            if stable[place] < ends[place]:
                self._blocked_since_s[place] = (stable[place], now_s)


class RecoveryWatch:
    """Measures how long after a fault it takes until fresh results can be read."""

    def __init__(self, reader: CommittedReader) -> None:
        self._reader = reader
        self._struck_s = 0.0
        self._fresh_from_ms = 0
        self.longest_s = 0.0

    def strike(self) -> None:
        """Count from now on: call it when the harm is about to be done."""
        self._struck_s = time.monotonic()
        self.ignore_results_until_now()

    def ignore_results_until_now(self) -> None:
        """Take only what is written from now on for a sign of recovery."""
        self._fresh_from_ms = now_ms()

    def wait_until_recovered(self) -> None:
        """Wait for a result that was written after the last strike."""
        wait_for(lambda: self._reader.has_read_of(self._fresh_from_ms), "results after the fault")
        self.longest_s = max(self.longest_s, time.monotonic() - self._struck_s)


def now_ms() -> int:
    """Return the time, UTC ms."""
    return int(time.time() * 1000)
