"""Reads the topics that the loader stores, from offsets that the ledger names.

No consumer group assigns partitions: the ledger knows where to go on and the directory lock keeps
a second loader away. The group's offsets are written only so that tools can show the lag.
"""

import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import groupby

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage

from jobs.arrived_messages import PARTITION_END, Wanted, all_wanted, judge, messages_of
from schemas.errors import SettingsError, Unavailable
from sinks.load_ledger import LedgerEntry
from sinks.messages import Arrived, Message

REQUEST_TIMEOUT_S = 15.0
READ_AGAIN_TIMEOUT_S = 60.0
LAG_TIMEOUT_S = 0.5
QUEUED_MAX_KBYTES = 64 * 1024

Positions = dict[str, dict[int, int]]
"""Topic -> partition -> next offset."""


class LoadSource:
    """A consumer of committed messages.

    Args:
        bootstrap_servers: the broker.
        group_id: under which the lag is shown.
    """

    def __init__(self, bootstrap_servers: str, group_id: str) -> None:
        self._address = bootstrap_servers
        self._config: dict[str, str | int | float | bool] = {
            "bootstrap.servers": bootstrap_servers,
            "group.id": group_id,
            "client.id": "fleetpulse-loader",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "queued.max.messages.kbytes": QUEUED_MAX_KBYTES,
            # The end of a partition is noticed with the first empty answer: it should come soon.
            "fetch.wait.max.ms": 100,
            "log_level": 3,
        }
        self._consumer = Consumer(self._config)
        self._next_offsets: Positions = defaultdict(dict)
        self._ended: dict[str, set[int]] = defaultdict(set)
        self._is_paused = False
        self._held: set[str] = set()

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()

    def names(self) -> list[str]:
        """Return the topics on the broker.

        Raises:
            Unavailable: the broker does not answer.
        """
        return list(self._known())

    def partitions(self, topics: Iterable[str]) -> dict[str, list[int]]:
        """Return the partitions of each topic.

        Raises:
            SettingsError: a topic does not exist.
            Unavailable: the broker does not answer.
        """
        known = self._known()
        for topic in topics:
            if topic not in known:
                raise SettingsError(
                    "kafka.topic_prefix",
                    value=topic,
                    allowed=f"a prefix whose topics exist on {self._address}",
                    cure="create them with `fleetpulse up`, or correct the prefix",
                )
        return {topic: known[topic] for topic in topics}

    def _known(self) -> dict[str, list[int]]:
        """Return the partitions of every topic on the broker."""
        try:
            found = self._consumer.list_topics(timeout=REQUEST_TIMEOUT_S).topics
        except KafkaException as error:
            raise Unavailable(f"Kafka at {self._address}: {_text(error)}") from error
        return {name: sorted(about.partitions) for name, about in found.items() if not about.error}

    def limits(self, topic: str, partitions: Iterable[int]) -> dict[int, tuple[int, int]]:
        """Return the first offset and the one after the last, by partition.

        Raises:
            Unavailable: the broker does not answer.
        """
        try:
            return {
                partition: self._consumer.get_watermark_offsets(
                    TopicPartition(topic, partition), timeout=REQUEST_TIMEOUT_S
                )
                for partition in partitions
            }
        except KafkaException as error:
            raise Unavailable(f"Kafka at {self._address}: {_text(error)}") from error

    def assign(self, positions: Mapping[str, Mapping[int, int]]) -> None:
        """Read from these offsets on."""
        self._next_offsets = {topic: dict(starts) for topic, starts in positions.items()}
        self._ended.clear()
        self._is_paused = False
        self._held.clear()
        self._consumer.assign(
            [
                TopicPartition(topic, partition, offset if offset > 0 else OFFSET_BEGINNING)
                for topic, starts in positions.items()
                for partition, offset in starts.items()
            ]
        )

    def pause(self) -> None:
        """Get nothing from now on; what was fetched and not polled is fetched again later."""
        if not self._is_paused:
            self._consumer.pause(self._assigned(self._next_offsets.keys()))
            self._is_paused = True

    def resume(self) -> None:
        """Go on where `pause` stopped, but for topics that are held."""
        if self._is_paused:
            self._consumer.resume(self._assigned(self._next_offsets.keys() - self._held))
            self._is_paused = False

    def hold(self, topic: str) -> None:
        """Get nothing of one topic until it is released; the others go on."""
        if topic not in self._held:
            self._consumer.pause(self._assigned({topic}))
            self._held.add(topic)

    def release(self, topic: str) -> None:
        """Go on with a topic that was held."""
        if topic in self._held:
            self._held.discard(topic)
            if not self._is_paused:
                self._consumer.resume(self._assigned({topic}))

    def _assigned(self, topics: Collection[str]) -> list[TopicPartition]:
        return [
            TopicPartition(topic, partition)
            for topic in topics
            for partition in self._next_offsets[topic]
        ]

    def poll(self, max_messages: int, timeout_s: float) -> dict[str, list[Message]]:
        """Return new messages by topic; may be empty. Raises as `arrivals`."""
        found = self.arrivals(max_messages, timeout_s)
        return {topic: arrived.messages for topic, arrived in found.items()}

    def arrivals(
        self, max_messages: int, timeout_s: float, wanted: Wanted = all_wanted
    ) -> dict[str, Arrived]:
        """Return what is new by topic; may be empty.

        Args:
            max_messages: at most so many are read.
            timeout_s: how long to wait for them.
            wanted: says which are worth a look.

        Raises:
            SettingsError: the broker refuses to let us read.
            Unavailable: it cannot be read for another reason.
        """
        return self._collect(self._consumer.consume(max_messages, timeout_s), wanted)

    def read_again(self, entry: LedgerEntry) -> list[Message]:
        """Return exactly the messages of a batch that was begun earlier.

        Raises:
            Unavailable: the broker did not deliver them in time.
        """
        self.assign({entry.topic: {r.partition: r.first_offset for r in entry.ranges}})
        ends = {r.partition: r.last_offset + 1 for r in entry.ranges}
        give_up_at_s = time.monotonic() + READ_AGAIN_TIMEOUT_S
        found: list[Message] = []
        while left := self._count_before(entry.topic, ends):
            if time.monotonic() > give_up_at_s:
                raise Unavailable(f"Kafka at {self._address}: batch {entry.token} is not delivered")
            # A poll for more than there is would wait until its time is over.
            found += self.poll(min(left, 500), 0.1).get(entry.topic, [])
        return [message for message in found if message.offset < ends[message.partition]]

    def is_all_read(self, topic: str) -> bool:
        """Say whether all that is committed so far in a topic was read."""
        return self._ended[topic] == self._next_offsets[topic].keys()

    def has_reached(self, topic: str, ends: Mapping[int, int]) -> bool:
        """Say whether every partition of a topic was read up to its end, exclusive."""
        return self._count_before(topic, ends) == 0

    def _count_before(self, topic: str, ends: Mapping[int, int]) -> int:
        """Return how many offsets are to be read up to the ends, exclusive."""
        return sum(max(0, end - self._next_offsets[topic][p]) for p, end in ends.items())

    def lag(self) -> Positions:
        """Return how many messages are still to be read, by topic and partition."""
        lag: Positions = defaultdict(dict)
        for topic, starts in self._next_offsets.items():
            for partition, next_offset in starts.items():
                end = self._end(TopicPartition(topic, partition))
                lag[topic][partition] = max(0, end - max(next_offset, 0))
        return lag

    def _end(self, partition: TopicPartition) -> int:
        """Return the end of a partition as far as it is known."""
        if self._is_paused:
            # What is known comes with the messages, of which there are none now: ask.
            try:
                return self._consumer.get_watermark_offsets(partition, timeout=LAG_TIMEOUT_S)[1]
            except KafkaException:
                pass  # the broker is away, too; what was known last must do
        answer = self._consumer.get_watermark_offsets(partition, cached=True)
        return answer[1] if answer else 0

    def show_progress(self, positions: Mapping[str, Mapping[int, int]]) -> None:
        """Write the loaded offsets under our group, for tools; nothing depends on it."""
        offsets = [
            TopicPartition(topic, partition, offset)
            for topic, starts in positions.items()
            for partition, offset in starts.items()
            if offset > 0
        ]
        if offsets:
            self._consumer.commit(offsets=offsets, asynchronous=True)

    def _collect(self, arrived: Sequence[KafkaMessage], wanted: Wanted) -> dict[str, Arrived]:
        """Sort what arrived by topic; the messages of a partition come in runs."""
        found: dict[str, Arrived] = defaultdict(Arrived)
        errors = list(map(KafkaMessage.error, arrived))
        kinds = zip(
            map(KafkaMessage.topic, arrived),
            map(KafkaMessage.partition, arrived),
            (error is None for error in errors),
            strict=True,
        )
        start = 0
        for (topic, partition, is_message), same in groupby(kinds):
            stop = start + sum(1 for _ in same)
            if is_message:
                assert topic is not None
                assert partition is not None
                run = arrived[start:stop]
                messages, read = messages_of(run, partition, topic, wanted)
                found[topic].add(messages, read, partition, len(run))
                self._ended[topic].discard(partition)
                self._next_offsets[topic][partition] = read.stop
            else:
                self._note_ends(arrived[start:stop])
            start = stop
        return found

    def _note_ends(self, events: Iterable[KafkaMessage]) -> None:
        """Remember which partitions were read to their end; judge what else is no message."""
        for event in events:
            error, topic = event.error(), event.topic()
            partition, offset = event.partition(), event.offset()
            assert error is not None
            if error.code() != PARTITION_END:
                judge(error, self._address)
                continue
            assert topic is not None
            assert partition is not None
            assert offset is not None
            self._ended[topic].add(partition)
            # The end of a partition may lie behind transaction markers, which are no messages.
            self._next_offsets[topic][partition] = offset


def _text(error: KafkaException) -> str:
    cause = error.args[0]
    return cause.str() if isinstance(cause, KafkaError) else str(cause)
