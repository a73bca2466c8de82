"""Reads the dead-letter topic from its beginning to the end that it has when it is opened.

The whole topic is read, whatever is looked for: letters carry the time of the original, so their
times do not rise, and a letter's receipt comes later than it. `retention.bytes` of the topic bounds
the reading; memory is bounded by what the caller keeps.
"""

import time
from collections.abc import Callable, Iterator

from jobs.load_source import LoadSource
from jobs.settings import KafkaSettings
from jobs.topic_admin import log_ends
from jobs.whole_topic import read_to_ends
from schemas.errors import Unavailable
from schemas.topics import Topic, topic_name
from sinks.messages import Message

POLL_MAX_MESSAGES = 50
"""Of up to 2 MiB each."""
STALL_MAX_S = 60.0
SETTLING_POLL_S = 0.25


class DeadLetterLog:
    """The committed messages of the dead-letter topic.

    Args:
        kafka: where it is.

    Raises:
        SettingsError: there is no such topic.
        Unavailable: the broker does not answer.
    """

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self.topic = topic_name(Topic.DEAD_LETTERS, kafka.topic_prefix)
        self._source = LoadSource(
            kafka.bootstrap_servers, f"{kafka.topic_prefix}fleetpulse-dead-letters"
        )
        try:
            self._partitions = self._source.partitions([self.topic])[self.topic]
        except BaseException:
            self._source.close()
            raise

    def close(self) -> None:
        """Leave the broker."""
        self._source.close()

    def messages(self, partition: int | None = None, first_offset: int = 0) -> Iterator[Message]:
        """Yield letters and receipts, each partition's in offset order.

        Args:
            partition: only this one; None: all.
            first_offset: where to begin.

        Raises:
            Unavailable: the broker stops delivering.
        """
        wanted = self._partitions if partition is None else [partition]
        limits = self._source.limits(self.topic, set(wanted) & set(self._partitions))
        starts = {p: max(low, first_offset) for p, (low, _) in limits.items()}
        ends = {p: end for p, (_, end) in limits.items() if end > starts[p]}
        self._source.assign({self.topic: {p: starts[p] for p in ends}})
        read = read_to_ends(self._source, self.topic, ends, POLL_MAX_MESSAGES, STALL_MAX_S)
        yield from (message for message in read if message.offset < ends[message.partition])

    def message_at(self, partition: int, offset: int) -> Message | None:
        """Return the message of a position; None when there is none."""
        first = next(self.messages(partition, offset), None)
        return first if first is not None and first.offset == offset else None

    def wait_until_settled(self, patience_s: float, on_wait: Callable[[], None]) -> None:
        """Return when everything that is in the log now is committed or aborted.

        An open transaction hides what was committed behind it, the receipts of an earlier replay
        for one: who does not wait for it sends those letters a second time.

        Args:
            patience_s: how long.
            on_wait: called once, when there is something to wait for.

        Raises:
            Unavailable: a transaction is still open.
        """
        ends = log_ends(self.topic, self._kafka)
        give_up_at_s = time.monotonic() + patience_s
        has_told = False
        while open_partitions := self._unsettled(ends):
            if not has_told:
                on_wait()
                has_told = True
            if time.monotonic() > give_up_at_s:
                raise Unavailable(
                    f"a transaction on partitions {open_partitions} of {self.topic} is open for "
                    f"{patience_s:.0f} s; cure: see `fleetpulse status`; it ends with the next "
                    "checkpoint of the aggregate job, or at flink.transaction_timeout_ms"
                )
            time.sleep(SETTLING_POLL_S)

    def _unsettled(self, ends: dict[int, int]) -> list[int]:
        committed = self._source.limits(self.topic, ends)
        return [partition for partition, end in ends.items() if committed[partition][1] < end]
